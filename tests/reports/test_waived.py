"""A waived FAIL in every report: the word, the reason, who and until; and no red."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

from rich.console import Console

from harness.records.findings import WaiverUse
from harness.records.summary import summary_of
from harness.records.verdict import Verdict
from harness.reports.annotations import annotations as github_annotations
from harness.reports.html import render_html
from harness.reports.junit import render_junit
from harness.reports.markdown import render_markdown
from harness.reports.terminal import print_verdict
from harness.trends import collect, history_csv, history_text
from tests.reports.example import HOSTILE, candidate, example

SAYS = "waived until 2026-12-31 by Ann: known bug #12"


def use(**changes: object) -> WaiverUse:
    whole = WaiverUse(
        gate="intents/acc/max_drop", variant="nf4", reason="known bug #12", by="Ann", until="2026-12-31",
        state="used", says=SAYS,
    )  # fmt: skip
    return whole.model_copy(update=changes)


def waived(reason: str = SAYS) -> Verdict:
    """nf4 alone, its drop waived; another waiver excuses nothing."""
    failed = candidate("nf4", "FAIL", drop=0.046, kl=0.01, speed=1.3, size=1)
    first = failed.findings[0].model_copy(
        update={"decision": "WAIVED", "reason": f"down 4.60 pp; {reason}", "waiver": use()}
    )
    passed = failed.model_copy(
        update={
            "decision": "PASS",
            "findings": (first,),
            "sentence": f"holds 0 of 1 blocking limit; {reason}",
            "checks": (),
            "flips": (),
        }
    )
    unused = use(state="unused", says="the waiver of step for nf4 by Bob until 2027-01-01 excuses nothing")
    return example().model_copy(
        update={
            "candidates": (passed,),
            "decision": "PASS",
            "sentence": "PASS: nf4 (under a waiver) can be deployed.",
            "waivers": (use(), unused),
        }
    )


def test_the_terminal_says_it() -> None:
    """Under the table, with the reason; the unused waiver as a note."""
    out = io.StringIO()
    print_verdict(waived(), Console(file=out, width=200, color_system=None))
    assert f"WAIVED  intents acc: down 4.60 pp; {SAYS}" in out.getvalue()
    assert "note  the waiver of step for nf4 by Bob until 2027-01-01 excuses nothing" in out.getvalue()


def test_junit_skips_it() -> None:
    """Skipped with the reason, and counted as that: neither green nor red."""
    root = ET.fromstring(render_junit(waived()))
    (skipped,) = root.findall(".//skipped")
    assert skipped.get("message") == f"WAIVED: down 4.60 pp; {SAYS}"
    assert [root.get(key) for key in ("failures", "errors", "skipped")] == ["0", "0", "1"]


def test_annotations_are_notices() -> None:
    """One notice for the finding, one for the waiver that excuses nothing; no error, no warning."""
    lines = github_annotations(waived()).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::notice", "::notice"]
    assert lines[0].startswith("::notice title=nf4 WAIVED%3A intents acc::down 4.60 pp; waived until")


def test_markdown_and_html_say_it() -> None:
    """Word, reason, who and until; the table of waivers names the unused one."""
    text = render_markdown(waived())
    assert "⏳ WAIVED: intents acc: down 4.60 pp; waived until 2026-12-31 by Ann: known bug" in text
    assert "- note: the waiver of step for nf4" in text
    page = render_html(waived())
    assert page.count('<span class="badge WAIVED">') == 2
    assert "excuses nothing" in page
    assert "2026-12-31" in page


def test_history_says_it() -> None:
    """The gate column of the row is WAIVED, in the table and in CSV."""
    found = collect("support-bot", [summary_of(waived())])
    assert [row.decision for row in found.figures if row.metric == "acc"] == ["WAIVED"]
    assert ",WAIVED," in history_csv(found)
    assert history_text(found, width=80).plain.splitlines()[1].endswith("WAIVED")


def test_a_hostile_reason_stays_text() -> None:
    """Whoever writes a waiver starts no markup, no command, no mention."""
    verdict = waived(HOSTILE)
    page, text = render_html(verdict), render_markdown(verdict)
    assert "<script" not in page
    assert "<script" not in text
    assert "@everyone" not in text
    assert not any(line.startswith("##[") for line in github_annotations(verdict).splitlines())
    assert "<script" not in render_junit(verdict)
