"""Attention of a shared pass beside transformers' own, on the same numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from harness.engines.transformers.attention import attends_apart, attention_apart, put_before
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import load_model
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.score import Scorer
from harness.engines.transformers.transformers_engine import load
from tests.engines.tiny import Build, Spec
from tests.engines.transformers.test_score import EXACT, nested, requests

ROWS, OWN, BEFORE, WIDTH = 3, 7, 11, 16


def tensors(heads: int, kept: int, dtype: torch.dtype) -> tuple[Any, ...]:
    source = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source).to(dtype)

    query, own = drawn(ROWS, OWN, heads, WIDTH).transpose(1, 2), [drawn(ROWS, kept, OWN, WIDTH) for _ in range(2)]
    before = [drawn(1, kept, BEFORE, WIDTH) for _ in range(2)]
    hidden = torch.ones(OWN, OWN).triu(1).bool()[None, None].repeat(ROWS, 1, 1, 1)
    hidden[1, 0, 5:, 2:5] = True  # a branch that two later tokens do not see
    mask = torch.zeros(ROWS, 1, OWN, OWN, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)
    return query, *own, *before, mask


@pytest.mark.parametrize("scaling", [None, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("heads", "kept"), [(9, 3), (4, 4), (8, 1)])
def test_apart_is_as_together(heads: int, kept: int, dtype: torch.dtype, scaling: float | None) -> None:
    """Behind a prefix and without one, as transformers' attention over everything written out says."""
    query, keys, values, first_keys, first_values, mask = tensors(heads, kept, dtype)
    module = SimpleNamespace(num_key_value_groups=heads // kept, is_causal=True)
    plain, room = ALL_ATTENTION_FUNCTIONS["sdpa"], torch.zeros(ROWS, 1, OWN, BEFORE, dtype=dtype)
    both = [
        torch.cat([first.expand(ROWS, -1, -1, -1), own], -2)
        for first, own in ((first_keys, keys), (first_values, values))
    ]
    expected = plain(module, query, *both, torch.cat([room, mask], -1), scaling=scaling)[0]
    alone = plain(module, query, keys, values, mask, scaling=scaling)[0]
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    with attention_apart():
        apart = ALL_ATTENTION_FUNCTIONS["sdpa"]
        apart(module, query, keys, values, torch.zeros_like(mask), scaling=scaling)  # a mask does not stay
        torch.testing.assert_close(
            apart(module, query, keys, values, mask, scaling=scaling)[0], alone, atol=tolerance, rtol=0
        )
        told = put_before(keys, (first_keys, first_values))
        found = apart(module, query, told, values, mask, scaling=scaling)[0]
    assert found.dtype == dtype
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is plain


def test_what_it_cannot_take_is_refused() -> None:
    """A prefix without a mask, or with a bias by position, would be wrong."""
    query, keys, values, *before, mask = tensors(4, 4, torch.float32)
    module, told = SimpleNamespace(num_key_value_groups=1, is_causal=True), put_before(keys, tuple(before))
    with attention_apart():
        apart = ALL_ATTENTION_FUNCTIONS["sdpa"]
        with pytest.raises(ValueError, match="without a mask"):
            apart(module, query, told, values, None)
        with pytest.raises(ValueError, match="mask of numbers"):
            apart(module, query, told, values, mask == 0)
        with pytest.raises(ValueError, match="bias by position"):
            apart(module, query, told, values, mask, position_bias=mask)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "granite"])
def test_both_ways_to_a_prefix_agree(family: str, build: Build, spec: Spec) -> None:
    model = load_model(spec(build(family))).model
    assert attends_apart(model)
    head = LmHead.find(model)
    budget = MemoryBudget.of(model, head, None)
    apart, together = (
        Scorer(model, head, budget, path="tree", reason="", keeps_prefixes=True, apart=each) for each in (True, False)
    )
    for asked in (requests(seed=3), nested()):
        for one, other in zip(apart.score(asked), together.score(asked), strict=True):
            for first, second in zip(one, other, strict=True):
                assert first.log_probs == pytest.approx(second.log_probs, abs=EXACT)


def test_a_transformers_without_a_table_of_attention_attends_as_it_does(build: Build, spec: Spec) -> None:
    """auto-gptq's environment holds transformers 4.45."""
    model = load_model(spec(build("llama"))).model
    assert attends_apart(model)
    assert not attends_apart(model, library=SimpleNamespace())


@pytest.mark.parametrize(("family", "expected"), [("llama", True), ("gpt2", True), ("gptoss", False)])
def test_the_fastest_way_that_holds_is_taken(family: str, expected: bool, build: Build, spec: Spec) -> None:
    """gpt-oss attends in a way of its own, with sinks."""
    engine = load(spec(build(family)))
    assert engine._scorer.path == "tree"
    assert engine._scorer._apart is expected
    assert engine._scorer.prefixes is not None
    assert not [note for note in engine.facts().notes if "shared prefixes" in note]
