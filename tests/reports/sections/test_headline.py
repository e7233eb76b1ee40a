"""The decision, its sentence, and the command that explains it."""

from __future__ import annotations

from harness.reports.blocks import Headline, Lines
from harness.reports.sections.headline import section
from tests.reports.example import example


def test_the_decision_and_what_it_is_compared_with() -> None:
    """The word, the run, the baseline, the last promoted version by its name, and that a part of the suite was run."""
    verdict = example().model_copy(update={"reference_label": "v2", "partial": True, "label": "v3"})
    told = section(verdict).blocks[-1]
    assert isinstance(told, Headline)
    assert (told.word, told.decision, told.tag) == ("INVALID", "INVALID", "v3")
    assert told.note.startswith("Compared with fp32, and with the last promoted version v2. 2026-03-01 10:15 UTC")
    assert told.warning
    assert told.rest.startswith("bf16 can be deployed")


def test_the_first_blocking_failure_is_explained() -> None:
    """A FAIL that blocks comes before an undecided gate and before warnings; a run that passes has no hint."""
    hint = section(example()).blocks[0]
    assert isinstance(hint, Lines)
    assert [line.text for line in hint.lines] == ["why: quantgate explain 20260301-101500-a1b2 0 --variant nf4"]
    passed = example().model_copy(update={"candidates": example().candidates[:1]})
    assert section(passed).blocks[0] == Lines(kind="quiet", lines=())


def test_report_only_shows_no_decision() -> None:
    """Where no verdict was asked for, the word says so and the decision is not shown as one."""
    told = section(example().model_copy(update={"report_only": True})).blocks[-1]
    assert isinstance(told, Headline)
    assert (told.word, told.judged) == ("REPORT ONLY", False)
