"""Models whose weights a device map puts on disk or keeps in memory: measured as if they lay in one place."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.resolve import Reference, resolve
from harness.engines.hidden_states import read_lm_head_files
from harness.engines.protocol import SCRATCH, GenerateRequest, ScoreRequest, Window, Workload
from harness.engines.transformers import transformers_engine as engine
from harness.engines.transformers.generate import Generator
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import Loaded
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.placement import held, is_moved, places, places_note, runs_on, values_of
from harness.engines.transformers.score import Scorer
from harness.errors import EngineError
from tests.engines.tiny import Build, Make, Spec, plain_model

REQUESTS = [
    ScoreRequest(context=(5, 9, 12), continuations=((7, 8), (11,), (30, 31, 32, 33))),
    ScoreRequest(context=tuple(range(3, 23)), continuations=((70,), (71, 72, 73))),
]
PROMPTS = [GenerateRequest(prompt=(5, 6, 7), max_new_tokens=6), GenerateRequest(prompt=(9, 4), max_new_tokens=6)]
WINDOWS = [Window(tokens=tuple(range(10, 30)), scored_from=1)]
PARTLY = {
    "model.embed_tokens": "cpu",
    "model.layers.0": "cpu",
    "model.layers.1": "disk",
    "model.norm": "cpu",
    "model.rotary_emb": "cpu",
    "lm_head": "disk",
}
EMBEDDED = {**PARTLY, "model.embed_tokens": "disk", "model.layers.1": "cpu"}
SMALL = {"device_map": "auto", "max_memory": {"cpu": "300KB"}}
"""Room for about half of the tiny model, so that the rest goes to disk."""


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a worker would be given."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv(SCRATCH, str(folder))
    return folder


def answers(loaded: engine.TransformersEngine) -> tuple[list[float], list[tuple[int, ...]]]:
    """Every log-probability of scoring and of windows, and the tokens of the answers."""
    scored = [value for item in loaded.score(REQUESTS) for each in item for value in each.log_probs]
    rolled = [value for window in loaded.score_windows(WINDOWS) for value in window.log_probs]
    return [*scored, *rolled], [each.tokens for each in loaded.generate(PROMPTS)]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    "placement",
    [{"device_map": PARTLY}, {"device_map": EMBEDDED}, {"device_map": {"": "disk"}}, SMALL],
    ids=["some layers", "embedding and head", "everything", "auto"],
)
def test_weights_on_disk_change_no_number(
    build: Build, spec: Spec, scratch: Path, placement: dict[str, Any], tied: bool
) -> None:
    """Scores, answers, digest, bits and bytes are those of the model loaded plainly; the facts say what lies where."""
    folder = build("llama", tie_word_embeddings=tied)
    if tied and placement["device_map"] in (PARTLY, EMBEDDED):
        together = placement["device_map"]["model.embed_tokens"]
        placement = {"device_map": {**placement["device_map"], "lm_head": together}}
    plain, placed = engine.load(spec(folder)), engine.load(spec(folder, **placement))
    expected, facts = plain.facts(), placed.facts()
    assert (facts.device, facts.non_finite, facts.scoring_path) == ("cpu,disk", (), "tree")
    assert (facts.weights_digest, facts.parameters) == (expected.weights_digest, expected.parameters)
    assert (facts.weight_bytes, facts.bits_per_weight) == (expected.weight_bytes, 32.0)
    note = next(note for note in facts.notes if note.startswith("weights: "))
    said = [int(part.split()[0].replace(",", "")) for part in note.removeprefix("weights: ").split("; ")[0].split(", ")]
    assert sum(said) == facts.weight_bytes
    assert "bytes on disk" in note
    assert note.endswith("; what lies on disk is moved to cpu for every pass")
    numbers, tokens = answers(placed)
    reference = answers(plain)
    assert numbers == pytest.approx(reference[0], abs=1e-5)
    assert tokens == reference[1]
    assert placed.time(Workload(batch=1, prompt_tokens=4, new_tokens=2)).ttft_s > 0
    placed.close()
    assert list(scratch.iterdir()) == []


def test_a_model_in_one_place_has_no_note_and_no_hook(build: Build, spec: Spec) -> None:
    """`auto` with room for everything is the model loaded plainly."""
    loaded = engine.load(spec(build("llama"), device_map="auto"))
    assert loaded.facts().device == "cpu"
    assert not [note for note in loaded.facts().notes if note.startswith("weights: ")]


def test_nan_on_disk_is_found(make_model: Make, spec: Spec) -> None:
    """A damaged weight is named though it is never in the model's own memory, and its layer alone is named."""

    def damage(model: Any) -> None:
        model.model.layers[1].mlp.down_proj.weight.data[0, 0] = float("nan")

    facts = engine.load(spec(make_model("llama", damage), device_map=PARTLY)).facts()
    assert facts.non_finite == ("model.layers.1.mlp.down_proj.weight",)


def test_divergence_of_a_baseline_on_disk(build: Build, spec: Spec, tmp_path: Path) -> None:
    """The stored output layer is the one on disk, and a plain variant does not diverge from stored states."""
    folder = build("llama", tie_word_embeddings=False)
    states = tmp_path / "states" / "000000.npy"
    engine.load(spec(folder, device_map=PARTLY)).score_windows(WINDOWS, states_out=str(states))
    weight = read_lm_head_files(states.parent)[0]
    assert (weight == plain_model(folder).lm_head.weight.detach().numpy()).all()
    found = engine.load(spec(folder, device_map=EMBEDDED)).score_windows(WINDOWS, states_in=str(states))
    assert max(found[0].kl or ()) < 1e-5


def moved(folder: Path, spec: Spec) -> engine.TransformersEngine:
    """The model as accelerate keeps it beside a GPU: its weights in memory, moved to the device for every pass."""
    import torch
    import transformers

    accelerate = pytest.importorskip("accelerate")
    model = plain_model(folder)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"), state_dict=dict(model.state_dict()))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    loaded = Loaded(model=model, tokenizer=tokenizer, checkpoint=resolve(Reference(path=str(folder))), quantized=False)
    head = LmHead.find(model)
    scorer = Scorer.choose(model, head, MemoryBudget.of(model, head, None), quantized=False)
    generator = Generator(model, tokenizer, head, scorer)
    return engine.TransformersEngine(spec(folder), loaded, head, scorer, generator, 0.0)


def test_weights_kept_in_memory_change_no_number(build: Build, spec: Spec) -> None:
    """What a GPU with too little memory leaves in the machine's own is measured where it is."""
    folder = build("llama", tie_word_embeddings=True)
    plain, kept = engine.load(spec(folder)), moved(folder, spec)
    for key in ("weights_digest", "weight_bytes", "bits_per_weight", "parameters", "linear_modules", "non_finite"):
        assert getattr(kept.facts(), key) == getattr(plain.facts(), key), key
    (numbers, tokens), reference = answers(kept), answers(plain)
    assert numbers == pytest.approx(reference[0], abs=1e-5)
    assert tokens == reference[1]


def test_a_hook_among_others_is_found(build: Build) -> None:
    """accelerate chains hooks; the one that keeps the weights is taken."""
    import torch

    accelerate = pytest.importorskip("accelerate")
    hooks = pytest.importorskip("accelerate.hooks")
    layer = torch.nn.Linear(4, 3)
    expected = layer.weight.detach().clone()
    accelerate.cpu_offload(layer, execution_device=torch.device("cpu"))
    hooks.add_hook_to_module(layer, hooks.ModelHook(), append=True)
    assert type(layer._hf_hook).__name__ == "SequentialHook"
    assert is_moved(layer)
    assert runs_on(layer) == torch.device("cpu")
    assert torch.equal(values_of(layer, "weight"), expected)
    one, two = held(layer, layer.parameters())
    assert (one.place, one.name, two.name) == ("cpu", "weight", "bias")
    assert torch.equal(one.values(), expected)


def test_values_that_are_nowhere_are_an_error() -> None:
    """An empty tensor is never taken for a weight of zeros."""
    import torch

    layer = torch.nn.Linear(2, 2, device="meta")
    with pytest.raises(EngineError, match=r"weight of a Linear holds no values.*device_map"):
        list(held(layer, layer.parameters()))


def test_places_are_those_of_the_map_and_the_one_that_computes() -> None:
    """GPUs come first, so that whoever reads the facts sees that one is used."""
    assert places(None, "cuda:0") == "cuda:0"
    assert places({"": "cuda"}, "cuda:0") == "cuda"
    assert places({"a": "cpu", "b": 1, "c": 0}, "cuda:0") == "cuda:0,cuda:1,cpu"
    assert places({"": "disk"}, "cpu") == "cpu,disk"


def test_the_note_says_what_is_moved() -> None:
    """Weights in memory beside a GPU are moved; those on the device that computes are not."""
    assert places_note({"cpu": 7}, "cpu") is None
    assert places_note({"cuda:0": 5000, "cuda:1": 7}, "cuda:0") == "weights: 5,000 bytes on cuda:0, 7 bytes on cuda:1"
    assert places_note({"cuda:0": 9, "cpu": 5, "disk": 1}, "cuda:0") == (
        "weights: 9 bytes on cuda:0, 5 bytes on cpu, 1 bytes on disk; "
        "what lies on cpu and disk is moved to cuda:0 for every pass"
    )


def test_the_offload_folder_is_removed(make_model: Make, spec: Spec, scratch: Path) -> None:
    """Weights that no file has as they are needed lie in it while the model lives, and nowhere afterwards."""
    import torch

    folder = make_model("llama")
    model = plain_model(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    plain = engine.load(spec(folder, allow_pickle=True))
    loaded = engine.load(spec(folder, device_map=PARTLY, allow_pickle=True))
    assert len([each for each in scratch.rglob("*") if each.is_file()]) >= 8
    assert loaded.facts().weights_digest == plain.facts().weights_digest
    assert answers(loaded)[0] == pytest.approx(answers(plain)[0], abs=1e-5)
    loaded.close()
    assert list(scratch.iterdir()) == []
    forgotten = engine.load(spec(folder, device_map=PARTLY, allow_pickle=True))
    assert list(scratch.iterdir()) != []
    del forgotten
    gc.collect()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"device_map": {"": 7}}, "device_map names GPU 7, and .* visible here"),
        ({"device_map": "cuda:9"}, "device_map names GPU 9"),
        ({"device_map": "auto", "max_memory": {"9": "1GB"}}, "max_memory names GPU 9"),
        ({"max_memory": {"cpu": "1GB"}}, "no device_map"),
        ({"device_map": "nowhere"}, "with device_map: nowhere: .*leave device_map out"),
        ({"device_map": "auto", "max_memory": {"cpu": "lots"}}, "max_memory: {'cpu': 'lots'}: .*valid format"),
        ({**SMALL, "quantize": {"method": "hqq", "nbits": 4, "group_size": 64}}, "hqq .*leave device_map and max_me"),
    ],
)
def test_placements_that_cannot_be(
    build: Build, spec: Spec, scratch: Path, asked: dict[str, Any], message: str
) -> None:
    """The message names the key and what to do, and nothing is left behind."""
    if "quantize" in asked:
        pytest.importorskip("hqq")
    with pytest.raises(EngineError, match=message):
        engine.load(spec(build("llama"), **asked))
    assert list(scratch.iterdir()) == []
