"""What the baseline is asked twice, and that the second time is another batching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.engines.protocol import LoadSpec, ScoreRequest
from harness.engines.scripted import ScriptedEngine, ScriptedTokenizer
from harness.planning.batching import ANSWERED_TOKENS, PADDED_TOKENS
from harness.planning.plan_suite import plan_suite
from harness.planning.second_pass import DOCUMENTS, ITEMS, WIDEST, SecondPass, second_pass
from harness.planning.task_plan import TaskPlan
from harness.suite.models import NoiseFloor

CHOICE = {"data": "rows.jsonl", "prompt": "{{text}}", "choices": ["yes", "no"], "answer": "yes"}
GENERATE = {"data": "rows.jsonl", "prompt": "{{text}}", "answer": "yes", "max_new_tokens": 300}
READ = {"data": "rows.jsonl", "window": 16}


@pytest.fixture
def planned(suite_of: Callable[..., Any], write_rows: Callable[..., str]) -> Callable[..., TaskPlan]:
    """A task over so many rows whose texts repeat `words` and more, the later the longer."""

    def plan(count: int, task: Any, *, words: int = 1, context_length: int | None = None) -> TaskPlan:
        write_rows("rows.jsonl", [{"text": f"row {n} " * (words + n % 7)} for n in range(count)])
        loaded = suite_of({"t": task})
        return plan_suite(loaded, ScriptedTokenizer(), context_length=context_length)[0]

    return plan


def again(plan: TaskPlan, seed: int = 0, **noise: Any) -> SecondPass:
    found = second_pass(plan, NoiseFloor(**noise), seed)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("items", "asked", "expected"),
    [(1, None, 1), (8, None, 8), (20, None, 8), (100, None, 25), (400, None, ITEMS), (400, 100, 100), (30, 100, 30)],
)
def test_how_many(planned: Any, items: int, asked: int | None, expected: int) -> None:
    """By default at most 64 and at most a quarter, but 8 where there are so many; a number of the suite as it is."""
    found = again(planned(items, {"choice": CHOICE}), items=asked)
    assert len(found.items) == len(found.chosen) == expected


@pytest.mark.parametrize(
    ("documents", "asked", "expected"), [(1, None, 1), (5, None, 2), (12, None, 3), (100, None, DOCUMENTS), (5, 4, 4)]
)
def test_how_many_documents(planned: Any, documents: int, asked: int | None, expected: int) -> None:
    """By default at most 4 and at most a quarter, but 2 where there are so many."""
    assert len(again(planned(documents, {"perplexity": READ}), documents=asked).items) == expected


@pytest.mark.parametrize("items", [2, 9, 100, 300])
def test_every_chosen_item_once_and_in_other_batches(planned: Any, items: int) -> None:
    """No batch of the second pass holds the same items as one of the first, and none is as wide as it may be there."""
    plan = planned(items, {"choice": CHOICE})
    found = again(plan, items=items)
    assert sorted(place for batch in found.chunks for place in batch) == list(range(items))
    first = {frozenset(chunk) for chunk in plan.chunks}
    assert first.isdisjoint(frozenset(found.chosen[place] for place in batch) for batch in found.chunks)
    assert max(map(len, found.chunks)) <= WIDEST
    for batch in found.chunks:
        assert len(batch) == 1 or len(batch) * max(map(found.length, batch)) <= PADDED_TOKENS


def test_long_answers_share_wide_batches(planned: Any) -> None:
    """Answers of 300 tokens: a limit made for scoring would ask eleven at a time."""
    plan = planned(64, {"generate": GENERATE})
    assert max(map(len, plan.chunks)) > 16
    found = again(plan, items=64)
    assert max(map(len, found.chunks)) > 16
    for batch in found.chunks:
        assert len(batch) * max(map(found.length, batch)) <= ANSWERED_TOKENS


def test_one_batch_where_the_first_pass_had_another(planned: Any) -> None:
    """Few of many items are company enough; only where they were a batch already, there are two."""
    plan = planned(40, {"choice": CHOICE})
    assert [len(batch) for batch in again(plan, items=8).chunks] == [8]
    alone = planned(4, {"choice": CHOICE})
    assert [len(batch) for batch in again(alone, items=4).chunks] == [2, 2]


def test_documents_change_company(planned: Any) -> None:
    """Documents that shared a batch are asked alone; long ones that filled a batch each are asked together."""
    short = again(planned(40, {"perplexity": READ}))
    assert (len(short.items), {len(batch) for batch in short.chunks}) == (DOCUMENTS, {1})
    long = again(planned(40, {"perplexity": READ}, words=1000))
    assert [len(batch) for batch in long.chunks] == [DOCUMENTS]


def test_the_same_items_are_asked_of_the_same_suite(planned: Any) -> None:
    """The sample is a function of suite and seed, so that the second pass is stored once."""
    plan = planned(100, {"choice": CHOICE})
    assert again(plan).hash == again(plan).hash
    assert again(plan).chosen == again(plan).chosen
    assert again(plan).hash not in (plan.hash, again(plan, seed=1).hash)


def test_an_item_keeps_its_prompt_and_its_scoring(planned: Any) -> None:
    """The second pass scores by the first pass's index: equal answers give the equal record."""
    plan = planned(60, {"choice": CHOICE})
    found = again(plan)
    engine = ScriptedEngine(LoadSpec(variant="full", engine="scripted", path="none"))
    for place, index in enumerate(found.chosen):
        assert found.requests[place] == plan.requests[index]
        requests = [each for each in plan.requests[index] if isinstance(each, ScoreRequest)]
        answers = engine.score(requests)
        assert found.score(place, answers) == plan.score(index, answers)


def test_what_cannot_be_asked_is_not_asked_twice(planned: Any) -> None:
    """Items beyond the context are left out; where nothing else is left there is no second pass."""
    plan = planned(70, {"choice": CHOICE}, context_length=45)
    assert any(item.too_long for item in plan.items)
    assert not any(item.too_long for item in again(plan).items)
    none = TaskPlan(
        **{
            name: getattr(plan, name)
            for name in ("name", "kind", "texts", "metrics", "lower_is_better", "scorer", "source", "settings")
        },
        items=tuple(item for item in plan.items if item.too_long),
        requests=(),
    )
    assert second_pass(none, NoiseFloor(), 0) is None
