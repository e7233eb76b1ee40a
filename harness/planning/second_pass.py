"""The baseline's second pass: a sample of a task's items, in other batches than the first time.

Batched arithmetic is not exact, so the same model answers a little differently in other batches. By how much, is the
noise floor under every comparison. Owns which items are repeated and how they are batched; runs nothing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

from harness.planning.task_plan import Answer, TaskPlan, sample
from harness.records.items import ItemRecord
from harness.suite.models import NoiseFloor

ITEMS, DOCUMENTS = 64, 4
"""The most items of a task that a second pass repeats, where the suite gives no number."""
SHARE = 4
"""Where the suite gives no number, at most one item in so many: a small task is not run twice for its noise."""
FEWEST_ITEMS, FEWEST_DOCUMENTS = 8, 2
"""The least share of a small task. Two documents can share a batch."""
WIDEST = 32
"""Items of a batch, where the first pass goes up to twice as many."""
BATCHING, DOCUMENT_BATCHING = "second-pass-1", "second-pass-documents-1"
"""Codes of the batches of items, `_mixed` with the figures above and those of the first pass, and of documents,
`_apart`. A change gives a code the next number."""


@dataclass(frozen=True, kw_only=True)
class SecondPass(TaskPlan):
    """A part of a task's plan in other batches."""

    chosen: tuple[int, ...]
    """Index in the first pass of each item."""
    batches: tuple[tuple[int, ...], ...]

    @cached_property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Indices into this plan's items."""
        return self.batches


def second_pass(plan: TaskPlan, noise: NoiseFloor, seed: int) -> SecondPass | None:
    """The part of a task that the baseline repeats; None where no item fits the model's context."""
    askable = [index for index, item in enumerate(plan.items) if item.too_long is None]
    if not askable:
        return None
    documents = plan.kind == "perplexity"
    if documents:
        wanted = _wanted(len(askable), noise.documents, FEWEST_DOCUMENTS, DOCUMENTS)
    else:
        wanted = _wanted(len(askable), noise.items, FEWEST_ITEMS, ITEMS)
    chosen = tuple(askable[place] for place in sample(len(askable), wanted, seed, f"{plan.name}/second pass"))

    def score(index: int, answers: Sequence[Answer]) -> ItemRecord:
        return plan.scorer(chosen[index], answers)

    same = {each.name: getattr(plan, each.name) for each in fields(TaskPlan)}
    return SecondPass(
        **{
            **same,
            "items": tuple(plan.items[index] for index in chosen),
            "requests": tuple(plan.requests[index] for index in chosen),
            "texts": (),
            "token_texts": None,
            "scorer": score,
            "batching": DOCUMENT_BATCHING if documents else BATCHING,
        },
        chosen=chosen,
        batches=_apart(plan, chosen) if documents else _mixed(plan, chosen, seed),
    )


def _wanted(there: int, asked: int | None, fewest: int, most: int) -> int:
    """How many are repeated: as many as the suite says, or a share of them within bounds."""
    return min(asked if asked is not None else min(most, max(fewest, there // SHARE)), there)


def _mixed(plan: TaskPlan, chosen: Sequence[int], seed: int) -> tuple[tuple[int, ...], ...]:
    """Batches in a seeded order, so that items are not grouped by length again; in one where that differs from the
    first pass."""
    order = list(range(len(chosen)))
    random.Random(f"{seed}/{plan.name}/batches").shuffle(order)
    same = any(set(chunk) == set(chosen) for chunk in plan.chunks)
    most = min(WIDEST, max(1, len(order) // 2)) if same else WIDEST
    batches: list[list[int]] = []
    widest = 0
    for index in order:
        widest = max(widest, plan.length(chosen[index]))
        if not batches or len(batches[-1]) == most or (len(batches[-1]) + 1) * widest > plan.batch_tokens:
            batches.append([])
            widest = plan.length(chosen[index])
        batches[-1].append(index)
    return tuple(map(tuple, batches))


def _apart(plan: TaskPlan, chosen: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """A document that was batched with others is computed alone, and vice versa."""
    company = {index: len(chunk) > 1 for chunk in plan.chunks for index in chunk}
    alone = [place for place, index in enumerate(chosen) if company[index]]
    together = [place for place, index in enumerate(chosen) if not company[index]]
    if len(together) == 1 and alone:
        together.append(alone.pop())
    return (*((place,) for place in alone), *((tuple(together),) if together else ()))
