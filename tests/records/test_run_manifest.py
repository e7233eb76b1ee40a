"""What a run says of its variants and tasks, as stored."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.records.run_manifest import EarlyStop, Leak, VariantRun

STOP = EarlyStop(
    task="ask",
    metric="acc",
    gate="gates[0]",
    limit=0.02,
    alpha=0.05,
    evaluation="part",
    chunks=2,
    digest="d",
    items=64,
    planned=640,
    drop=0.41,
    wealth=6530.0,
)


@pytest.mark.parametrize(
    ("items", "of", "matters"), [(1, 100, True), (1, 101, False), (10, 1000, True), (9, 1000, False)]
)
def test_one_item_in_a_hundred_matters(items: int, of: int, matters: bool) -> None:
    """From exactly one in a hundred on, references in their own prompts are more than a repeated question."""
    assert Leak(items=items, of=of, first=("q1",), where="behind 'A: '").matters is matters


def test_answers_of_a_stopped_task_are_found() -> None:
    """The unfinished evaluation counts among the answered; a whole one of the same task is preferred."""
    assert VariantRun(variant="v", stopped=STOP).answered == {"ask": "part"}
    assert VariantRun(variant="v", stopped=STOP, evaluations={"ask": "whole", "say": "k"}).answered == {
        "ask": "whole",
        "say": "k",
    }


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden"])
def test_no_name_leads_out_of_the_results(name: str) -> None:
    """A name that is a part of a path is refused when it could lead anywhere else."""
    with pytest.raises(ValidationError):
        VariantRun(variant=name)
