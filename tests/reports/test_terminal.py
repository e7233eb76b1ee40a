"""The terminal's table: readable at any width, without colours, without raw model output."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.reports.terminal import print_measures, print_verdict
from tests.reports.example import example


def printed(width: int, *, measures: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    (print_measures if measures else print_verdict)(example(), console)
    return out.getvalue()


@pytest.mark.parametrize("width", [50, 80, 100, 160])
def test_verdict_words_at_every_width(width: int) -> None:
    """Every candidate's line carries its decision as a word, and no line is wider than the terminal."""
    lines = printed(width).splitlines()
    for variant, word in (("bf16", "PASS"), ("int8", "INCONCLUSIVE"), ("nf4", "FAIL"), ("fake", "INVALID")):
        assert any(line.split()[:2] == [variant, word] for line in lines)
    assert max(len(line) for line in lines) <= width


def test_a_wide_terminal_shows_every_figure() -> None:
    """At 100 columns all figures are there, at 80 the drop, the perplexity and the costs."""
    wide, narrow = printed(100), printed(80)
    for title in ("intents", "replies", "PPL", "KL mean", "flips", "decode", "weights"):
        assert title in wide
    for title in ("intents", "PPL", "decode", "weights"):
        assert title in narrow


def test_reasons_stand_under_the_table() -> None:
    """Findings that are not PASS come with their reason and task, the verdict's sentence comes last."""
    text = " ".join(printed(100).split())
    assert "INCONCLUSIVE intents acc: down 1.10 pp" in text
    assert "FAIL (warning only) heldout: kl_mean is 0.094" in text
    assert text.endswith(
        "INVALID bf16 can be deployed; int8 cannot be decided with these items; nf4 must not be "
        "deployed; fake could not be compared soundly."
    )


@pytest.mark.parametrize("width", [40, 80, 100])
def test_nothing_raw_reaches_the_terminal(width: int) -> None:
    """No escape sequence, no direction override, no line that a CI system would obey."""
    for measures in (False, True):
        text = printed(width, measures=measures)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert not [line for line in text.splitlines() if line.strip().startswith("::") or "##[" in line]


def test_measures_are_all_there() -> None:
    """`compare` prints every measure of every candidate with its bounds, and no decision."""
    text = printed(120, measures=True)
    for word in (
        "exact_match",
        "top1_agreement",
        "prefill_tokens_per_s",
        "-0.60 … 2.90 pp",
        "flips: intents 70",
    ):
        assert word in text
    assert "INCONCLUSIVE" not in text


def test_who_is_told_no_is_told_how_to_see_why() -> None:
    """The command for the first blocking FAIL stands before the verdict; a run that passes has none."""
    assert "why: quantgate explain 20260301-101500-a1b2 " in printed(100)
    assert "--variant nf4" in next(line for line in printed(100).splitlines() if line.startswith("why:"))
    passed = example().model_copy(update={"candidates": example().candidates[:1]})
    out = io.StringIO()
    print_verdict(passed, Console(file=out, width=100, color_system=None))
    assert "why:" not in out.getvalue()
