"""Sampled answers of tiny models: the library's probabilities, and the same answers in whatever batches."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from harness.engines.decoding import Decoding
from harness.engines.protocol import GenerateRequest
from harness.engines.transformers.transformers_engine import TransformersEngine, load
from tests.engines.tiny import Build, Spec, plain_model

PROMPTS = ((5, 9, 33, 7), (5, 9, 33, 7, 8, 12, 40), (11, 3), (90, 91, 92, 93, 94))
SETTINGS: dict[str, Any] = {"temperature": 1.3, "top_p": 0.95, "top_k": 40, "min_p": 0.01}


def repeated(count: int, new: int = 8, **more: Any) -> list[GenerateRequest]:
    """Every prompt so many times, each time with a seed of its own."""
    return [
        GenerateRequest(prompt=prompt, max_new_tokens=new, seed=100 * place + repeat, **{**SETTINGS, **more})
        for place, prompt in enumerate(PROMPTS)
        for repeat in range(count)
    ]


def tokens(engine: TransformersEngine, asked: Sequence[GenerateRequest]) -> list[tuple[int, ...]]:
    return [each.tokens for each in engine.generate(asked)]


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_first_tokens_have_the_probabilities_of_the_library(family: str, build: Build, spec: Spec) -> None:
    """Chi-square of 3,000 first tokens against transformers' own logits and warpers, in our loop and in theirs."""
    import torch
    from scipy.stats import chisquare

    from tests.engines.test_sampler import warped

    folder = build(family)
    with torch.no_grad():
        logits = plain_model(folder)(input_ids=torch.tensor([PROMPTS[0]])).logits[0, -1].float().numpy()
    expected = warped(logits, SETTINGS)
    asked = [GenerateRequest(prompt=PROMPTS[0], max_new_tokens=1, seed=seed, **SETTINGS) for seed in range(3000)]
    engine = load(spec(folder))
    counts = Counter(each[0] if each else 2 for each in tokens(engine, asked))  # 2 ended an answer at once
    drawn = np.array([counts[token] for token in range(expected.size)])
    assert drawn.sum() == 3000
    assert (drawn[expected == 0] == 0).all()
    often = expected * 3000 >= 5
    rest = ~often & (expected > 0)
    seen = [*drawn[often], *([drawn[rest].sum()] if rest.any() else [])]
    wanted = [*expected[often], *([expected[rest].sum()] if rest.any() else [])]
    assert chisquare(seen, 3000 * np.array(wanted) / sum(wanted)).pvalue > 1e-4


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_answers_do_not_depend_on_batches(family: str, build: Build, spec: Spec) -> None:
    """Alone, all together, in another order, in halves and with little memory: the same answers, and answers to one
    question differ."""
    folder = build(family)
    engine, narrow, asked = load(spec(folder)), load(spec(folder, memory_budget=1)), repeated(4)
    together = tokens(engine, asked)
    assert [tokens(engine, [each])[0] for each in asked] == together
    assert tokens(engine, asked[::-1])[::-1] == together
    assert tokens(engine, asked[:7]) + tokens(engine, asked[7:]) == together
    assert tokens(narrow, asked) == together
    assert all(len(set(together[start : start + 4])) > 1 for start in range(0, len(together), 4))


def test_both_loops_draw_alike(build: Build, spec: Spec) -> None:
    """Ours and transformers' own choose the same tokens; a rule is followed before anything is drawn."""
    engine, asked = load(spec(build("llama"))), repeated(3)
    ours = tokens(engine, asked)
    assert engine._generator.reason == ""
    ruled = [dataclasses.replace(each, decoding=Decoding(end_tokens=(2,), suppress_tokens=(3, 8))) for each in asked]
    never = tokens(engine, ruled)
    assert not any({3, 8} & set(each) for each in never)
    engine._generator._decoder = None
    assert tokens(engine, asked) == ours
    assert tokens(engine, ruled) == never


def test_a_prompt_that_is_asked_several_times_is_computed_once(build: Build, spec: Spec) -> None:
    """The prefill has a row for each prompt, behind a shared prefix too; answers are those of each request alone."""
    engine = load(spec(build("llama")))
    head = tuple(range(30, 42))
    asked = [
        dataclasses.replace(each, prompt=(*head, *each.prompt), shared=len(head), root_prefix=4) for each in repeated(5)
    ]
    shapes: list[tuple[int, ...]] = []

    def noting(_: Any, args: Any, given: Any) -> None:
        shapes.append(tuple(given["input_ids"].shape))

    with engine._generator._head.trunk.register_forward_pre_hook(noting, with_kwargs=True):
        together = tokens(engine, asked)
    assert sum(rows for rows, width in shapes if width > 1 and rows > 1) == len(PROMPTS)
    assert together == [tokens(engine, [each])[0] for each in asked]


def test_greedy_and_sampled_requests_go_side_by_side(build: Build, spec: Spec) -> None:
    """One batch of both: each as it is answered alone."""
    engine = load(spec(build("llama")))
    asked = [*repeated(2), *(dataclasses.replace(each, temperature=0.0) for each in repeated(1))]
    assert tokens(engine, asked) == [tokens(engine, [each])[0] for each in asked]
