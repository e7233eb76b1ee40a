"""GitHub annotations: one command a line, none of them the model's."""

from __future__ import annotations

import re

from harness.reports.annotations import annotations as github_annotations
from tests.reports.example import HOSTILE, candidate, example

COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::(.*)")


def test_every_line_is_one_of_our_commands() -> None:
    """Hostile text neither starts a line nor ends a property: each line is one command with one title."""
    lines = github_annotations(example()).splitlines()
    assert lines
    for line in lines:
        match = COMMAND.fullmatch(line)
        assert match is not None, line
        assert "::" not in match.group(3)
        assert "##[" not in line


def test_levels_follow_the_decisions() -> None:
    """What blocks is an error, an undecided gate or a warning-only gate is a warning."""
    text = github_annotations(example())
    assert "::warning title=int8 INCONCLUSIVE%3A intents acc::" in text
    assert "::error title=nf4 FAIL%3A intents acc::" in text
    assert "::warning title=nf4 FAIL%3A heldout kl_mean::" in text
    assert "::error title=fake INVALID%3A quantized::" in text
    assert "95%25 confidence" in text


def test_a_task_name_cannot_end_the_title() -> None:
    """Slice names come out of data files: colons, commas and line breaks in them stay inside the title."""
    passed = candidate("bf16", "FAIL", drop=0.05, kl=0.001, speed=1.3, size=1)
    hostile = passed.findings[0].model_copy(update={"slice": HOSTILE, "reason": "a\r\n::stop-commands::x"})
    verdict = example().model_copy(
        update={"candidates": (passed.model_copy(update={"findings": (hostile,), "checks": ()}),)}
    )
    lines = github_annotations(verdict).splitlines()
    assert len(lines) == 2
    assert all(COMMAND.fullmatch(line) for line in lines)


def test_a_pass_says_nothing() -> None:
    """No annotation where there is nothing to look at."""
    whole = example()
    clean = whole.candidates[0].model_copy(update={"checks": ()})
    passed = whole.model_copy(update={"candidates": (clean,), "decision": "PASS", "sentence": "PASS: all."})
    assert github_annotations(passed) == ""
