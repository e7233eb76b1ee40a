"""Generated answers without a reference and without a metric: planned, recorded, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engines.protocol import Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.suite.crosscheck import task_metrics
from harness.suite.task_model import Generate, Task
from tests.planning.conftest import LoadSuite, WriteRows

ROWS = [{"q": f"How many are {number}?", "a": str(number)} for number in range(5)]
SPEC: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "max_new_tokens": 8}


def test_nothing_is_scored(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """No metric, no expected answer and no leak; the answer is kept as it is, with its tokens and how it ended."""
    write_rows("rows.jsonl", ROWS)
    (plan,) = plan_suite(suite_of({"t": {"generate": SPEC}}), ScriptedTokenizer(), context_length=None)
    assert (plan.metrics, plan.leak, {item.expected for item in plan.items}) == ((), None, {""})
    assert any("nothing says which answers are right" in said for said in plan.said)
    record = plan.score(0, [Generation(tokens=(1, 2), text=" Zero.", finish="length")])
    assert record.metrics == {}
    assert record.answer is not None
    assert (record.answer.text, record.answer.tokens, record.answer.finish) == (" Zero.", 2, "length")


def test_a_suite_that_is_written_out_says_the_same() -> None:
    """What follows from leaving a key out stays so once every key is there; with an answer nothing changes."""
    bare, scored = Generate.model_validate(SPEC), Generate.model_validate({**SPEC, "answer": "{{a}}"})
    assert (bare.metric, scored.metric) == ((), "exact_match")
    assert Generate.model_validate(bare.model_dump(by_alias=True)) == bare
    known = task_metrics(Task(generate=bare))
    assert known is not None
    assert {"identical", "edit_similarity", "first_divergence", "truncated_rate"} <= set(known)
    assert "exact_match" not in known


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"metric": "exact_match"}, "exact_match compares with a reference: add answer"),
        ({"metric": [], "answer": "{{a}}"}, "metric: expected a metric that looks at answer, got none"),
        ({"regex": "[0-9]+"}, "regex: belongs to a metric, and the task has none"),
        ({"ignore_case": True}, "ignore_case: belongs to a metric, and the task has none"),
        ({"few_shot": "rows.jsonl", "num_few_shot": 1}, "worked examples show their answers: add answer"),
    ],
)
def test_what_needs_an_answer(suite_of: LoadSuite, write_rows: WriteRows, keys: dict[str, object], says: str) -> None:
    """A key that only a metric reads, and a metric that only a reference makes sense of, are named."""
    write_rows("rows.jsonl", ROWS)
    with pytest.raises(SuiteError) as caught:
        suite_of({"t": {"generate": {**SPEC, **keys}}})
    assert says in str(caught.value).replace("tasks.t.generate.", "")


def test_a_gate_on_what_has_no_answer(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Somebody who forgot the answer is told so where the gate asks for it."""
    write_rows("rows.jsonl", ROWS)
    with pytest.raises(SuiteError, match="the task has no answer to compare with"):
        suite_of({"t": {"generate": SPEC}}, gates=[{"task": "t", "metric": "exact_match", "max_drop": 0.1}])
