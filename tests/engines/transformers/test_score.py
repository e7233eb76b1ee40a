"""Continuation scores of every way and family against one plain forward pass per sequence."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import ScoreRequest, Window
from harness.engines.transformers.context_limits import WINDOW_NAMES, ContextLimits
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import load_model
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.score import Scorer
from harness.engines.transformers.transformers_engine import load
from tests.engines.tiny import Build, Spec, plain_log_probs, plain_model

REQUESTS = 6
EXACT = 1e-3
"""Largest difference in nats that equals lm-eval's own agreement between batch sizes in float32."""


def requests(count: int = REQUESTS, *, longest: int = 20, seed: int = 0) -> list[ScoreRequest]:
    """Contexts and continuations of mixed lengths, single tokens among them."""
    source = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, 200) for _ in range(source.randint(low, high)))

    begin = ids(5, 5)
    return [
        ScoreRequest(
            context=(*begin, *ids(1, longest)) if number % 2 else ids(1, longest),
            continuations=tuple(ids(1, 8) for _ in range(source.randint(1, 5))),
            shared=len(begin) if number % 2 else 0,
        )
        for number in range(count)
    ]


def assert_equal_to_plain(folder: Path, got: object, asked: list[ScoreRequest]) -> None:
    model = plain_model(folder)
    assert isinstance(got, list)
    assert [len(each) for each in got] == [len(each.continuations) for each in asked]
    for request, scores in zip(asked, got, strict=True):
        for continuation, score in zip(request.continuations, scores, strict=True):
            # A copy, since frequencies of the dynamic kind stay as the longest text before left them.
            log_probs, greedy = plain_log_probs(copy.deepcopy(model), request.context, continuation)
            assert score.log_probs == pytest.approx(log_probs, abs=EXACT)
            assert score.greedy == greedy


def nested(count: int = 12) -> list[ScoreRequest]:
    """A system prompt, three documents behind it, questions about each."""
    source = random.Random(3)
    ids = [source.randrange(3, 200) for _ in range(400)]
    system, documents = tuple(ids[:9]), [tuple(ids[start : start + 11]) for start in (20, 40, 60)]
    heads = [(*system, *documents[number % 3]) for number in range(count)]
    return [
        ScoreRequest(
            context=(*head, *ids[100 + 5 * number : 103 + 5 * number]),
            continuations=((ids[number],), tuple(ids[number : number + 3])),
            shared=len(head),
            root_prefix=len(system),
        )
        for number, head in enumerate(heads)
    ]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2"])
def test_documents_behind_a_system_prompt_score_like_plain_passes(build: Build, spec: Spec, family: str) -> None:
    """A prefix computed on top of another gives the same answers, whatever was asked and held before."""
    folder = build(family)
    asked = nested()
    engine = load(spec(folder))
    assert engine.facts().scoring_path == "tree"
    together = engine.score(asked)
    assert_equal_to_plain(folder, together, asked)
    again = load(spec(folder))
    again.score(asked[7:8])
    assert again.score(asked) == together


@pytest.mark.parametrize(
    ("family", "path"),
    [
        ("llama", "tree"),
        ("gpt2", "tree"),
        ("mistral", "tree"),
        ("gemma2", "tree"),
        ("cohere", "tree"),
        ("granite", "tree"),
        ("gptneo", "plain"),
        ("gptoss", "tree"),
        ("longrope", "tree"),
        ("dynamic", "tree"),
        ("bloom", "plain"),
        ("mamba", "plain"),
    ],
)
def test_scores_equal_a_plain_loop(family: str, path: str, build: Build, spec: Spec) -> None:
    """Every family gets right scores; what cannot share a pass (ALiBi, state space) is found out and scored alone."""
    folder = build(family)
    engine = load(spec(folder))
    assert engine.facts().scoring_path == path
    asked = requests()
    assert_equal_to_plain(folder, engine.score(asked), asked)
    reasons = [note for note in engine.facts().notes if note.startswith("scored option by option")]
    assert bool(reasons) == (path == "plain")
    assert not [note for note in engine.facts().notes if note.startswith("shared prefixes are computed")]


def test_both_ways_agree(build: Build, spec: Spec) -> None:
    """The shared pass and the pass per option give one answer."""
    model = load_model(spec(build("llama"))).model
    head = LmHead.find(model)
    budget = MemoryBudget.of(model, head, None)
    shared, alone = (
        Scorer(model, head, budget, path=path, reason="", keeps_prefixes=path == "tree") for path in ("tree", "plain")
    )
    asked = requests(seed=3)
    for one, other in zip(shared.score(asked), alone.score(asked), strict=True):
        for first, second in zip(one, other, strict=True):
            assert first.log_probs == pytest.approx(second.log_probs, abs=EXACT)


def test_only_a_window_in_use_counts(build: Build, spec: Spec) -> None:
    """Rows longer than a window go option by option; a window that is named and switched off costs nothing."""
    assert ContextLimits.of(load_model(spec(build("llama"))).model) == ContextLimits()
    model = load_model(spec(build("mistral"))).model
    assert ContextLimits.of(model).window == 12
    model.config.use_sliding_window = False
    assert ContextLimits.of(model).window is None
    assert [ContextLimits.of(load_model(spec(build(family))).model).window for family in ("gptneo", "gptoss")] == [
        16,
        16,
    ]


LIMITED = ("gptneo", "gptoss", "mistral", "longrope", "dynamic")


@pytest.mark.parametrize("size", [4, 10, 28, 60])
@pytest.mark.parametrize("family", LIMITED)
def test_rows_about_and_beyond_a_limit(family: str, size: int, build: Build, spec: Spec) -> None:
    """Rows around a window's or the original length and far beyond it, in one batch, score as each text alone.

    Options together are longer than the window, also where no single one reaches it.
    """
    source, folder = random.Random(size), build(family)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, 200) for _ in range(count))

    begin = ids(3)
    asked = [
        ScoreRequest(
            context=(*begin, *ids(size - 3 + number)),
            continuations=tuple(ids(length) for length in (1, 4, 7, 6, 6, 6)),
            shared=len(begin) if number % 2 else 0,
        )
        for number in range(6)
    ]
    engine = load(spec(folder))
    assert_equal_to_plain(folder, engine.score(asked), asked)
    assert_equal_to_plain(folder, engine.score(asked[::-1]), asked[::-1])
    told = [note for note in engine.facts().notes if note.startswith("rows of more than")]
    assert len(told) == 1, engine.facts().notes


@pytest.mark.parametrize("family", ["gptneo", "longrope", "dynamic"])
def test_windows_beyond_a_limit(family: str, build: Build, spec: Spec) -> None:
    """Perplexity windows of unlike length in one call score as each text alone."""
    source, folder = random.Random(2), build(family)
    texts = [tuple(source.randrange(3, 200) for _ in range(size)) for size in (60, 10, 33, 34, 32, 50, 20)]
    engine, model = load(spec(folder)), plain_model(folder)
    for text, score in zip(
        texts, engine.score_windows([Window(tokens=text, scored_from=4) for text in texts]), strict=True
    ):
        expected, _ = plain_log_probs(copy.deepcopy(model), text[:4], text[4:])
        assert score.log_probs == pytest.approx(expected, abs=EXACT)


def unnamed(folder: Path, spec: Spec) -> Any:
    """A model whose layers look back 16 tokens and whose settings do not say so."""
    model = load_model(spec(folder)).model
    model.config.window_size = 0
    return model


def test_a_window_that_no_setting_names_is_found(build: Build, spec: Spec) -> None:
    """The trial's long row is wrong in a shared pass, so everything goes option by option."""
    model = unnamed(build("gptneo"), spec)
    head = LmHead.find(model)
    assert ContextLimits.of(model).window is None
    scorer = Scorer.choose(model, head, MemoryBudget.of(model, head, None), quantized=False)
    assert scorer.path == "plain"
    assert "in a row of 160 tokens: differs by" in scorer.reason


def test_models_with_their_own_code_are_trusted_as_far_as_tried(build: Build, spec: Spec) -> None:
    """A class outside transformers shares passes up to the length of its trial and says so."""
    model = load_model(spec(build("llama"))).model
    model.__class__ = type("Ours", (type(model),), {"__module__": "modeling_ours"})
    head = LmHead.find(model)
    scorer = Scorer.choose(model, head, MemoryBudget.of(model, head, None), quantized=False)
    assert (scorer.path, scorer.limits.shared) == ("tree", 256)
    assert "own code was tried" in scorer.limits.notes[0]


NO_WINDOWS = {
    *("max_window_layers", "num_windows", "use_sliding_window", "sliding_window_pattern", "chunk_size_feed_forward"),
    *("prefix_dense_sliding_window_pattern", "chunkwise_kernel", "conv_window", "local_num_chunks_after"),
    *("local_num_chunks_before", "local_attention_probs_dropout_prob", "lsh_num_chunks_after", "lsh_num_chunks_before"),
    *("chunk_size", "mamba_chunk_size", "chunk_length", "chunk_size_lm_head", "max_inference_chunksize"),
    *("audio_chunk_size", "left_chunk"),
}
"""Settings of causal language models that sound like a window and are none."""


def test_every_window_of_the_library_has_a_known_name() -> None:
    """Settings of transformers' causal language models that speak of windows or chunks are recognised or sorted out."""
    import re

    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    field = re.compile(r"^    (\w*(?:window|chunk|local_att)\w*)\s*:", re.MULTILINE)
    root = Path(transformers.__file__).parent / "models"
    names = {
        name
        for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        for file in (root / kind.replace("-", "_")).glob("configuration_*.py")
        for name in field.findall(file.read_text())
    }
    assert {"sliding_window", "window_size", "attention_window_size"} <= names
    assert {name for name in names if not WINDOW_NAMES.fullmatch(name)} <= NO_WINDOWS


def test_order_and_company_do_not_matter(build: Build, spec: Spec) -> None:
    """A request scored alone, in a batch, or in a shuffled batch has the same log-probabilities."""
    engine = load(spec(build("llama")))
    asked = requests(seed=5)
    together = engine.score(asked)
    backwards = engine.score(asked[::-1])[::-1]
    for request, one, other in zip(asked, together, backwards, strict=True):
        alone = engine.score([request])[0]
        for a, b, c in zip(one, other, alone, strict=True):
            assert a.log_probs == pytest.approx(b.log_probs, abs=EXACT)
            assert a.log_probs == pytest.approx(c.log_probs, abs=EXACT)


def test_a_packed_row_may_exceed_the_context_length(build: Build, spec: Spec) -> None:
    """Many options in one row are longer together than the model's context; no single option is."""
    folder = build("gpt2", n_positions=32)
    source = random.Random(1)
    tails = tuple(tuple(source.randrange(3, 200) for _ in range(12)) for _ in range(6))
    asked = [ScoreRequest(context=tuple(range(3, 19)), continuations=tails)]
    assert_equal_to_plain(folder, load(spec(folder)).score(asked), asked)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_share_a_pass(dtype: str, build: Build, spec: Spec) -> None:
    """Rounding in 16 bits does not push a capable model off the fast way, capped logits included."""
    for family in ("llama", "gemma2"):
        engine = load(spec(build(family), dtype=dtype))
        assert engine.facts().scoring_path == "tree", engine.facts().notes
        assert engine.facts().dtype == dtype


def test_greedy_is_every_token(build: Build, spec: Spec) -> None:
    """`greedy` holds for the arg-max continuation and for no continuation with another token in it."""
    import torch

    folder = build("llama")
    model = plain_model(folder)
    ids = [5, 9, 60, 31]
    best: list[int] = []
    for _ in range(3):
        with torch.inference_mode():
            best.append(int(model(input_ids=torch.tensor([[*ids, *best]])).logits[0, -1].argmax()))
    other = (*best[:2], (best[2] + 1) % 200)
    found = load(spec(folder)).score([ScoreRequest(context=tuple(ids), continuations=(tuple(best), other))])[0]
    assert [score.greedy for score in found] == [True, False]


def test_no_requests_no_answers(build: Build, spec: Spec) -> None:
    """An empty batch is answered with an empty list."""
    assert load(spec(build("llama"))).score([]) == []
