"""A waived FAIL through the whole judgement: what it changes, and everything that it does not."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from harness.gates.waived import day_of
from harness.records.findings import FindingDecision
from harness.records.verdict import Verdict
from tests.gates.handmade import DROP, binary_bench, one

BROKEN = (1000, 68, 18)
"""Items, lost, won: a drop of 5 pp, FAIL at 2 pp."""


def waiver(**changes: object) -> dict[str, object]:
    """Counts on the bench's day, 2026-01-01."""
    return {
        "gate": "t/acc/max_drop",
        "variant": "q",
        "reason": "known bug #12",
        "by": "Ann",
        "until": "2026-01-02",
        **changes,
    }


def judged(
    root: Path, counts: tuple[int, int, int], *waivers: dict[str, object], gates: list[dict[str, object]] | None = None
) -> Verdict:
    return binary_bench(root, *counts).verdict(gates or DROP, waivers=waivers)


def test_a_waived_fail_is_waived(tmp_path: Path) -> None:
    """WAIVED with reason, who and until; the candidate passes and its sentence says under what."""
    verdict = judged(tmp_path, BROKEN, waiver())
    candidate = one(verdict)
    (finding,) = candidate.findings
    assert (verdict.exit_code, candidate.decision, finding.decision) == (0, "PASS", "WAIVED")
    assert finding.reason.endswith("the limit is broken; waived until 2026-01-02 by Ann: known bug #12")
    assert finding.waiver is not None
    assert (finding.waiver.by, finding.waiver.until, finding.waiver.reason) == ("Ann", "2026-01-02", "known bug #12")
    assert candidate.sentence == ("holds 0 of 1 blocking limit; t acc waived until 2026-01-02 by Ann: known bug #12")
    assert verdict.sentence == "PASS: q (under a waiver) can be deployed."
    assert [each.state for each in verdict.waivers] == ["used"]


def test_the_numbers_stay(tmp_path: Path) -> None:
    """A waiver changes no estimate, bound or limit."""
    free, held = one(judged(tmp_path / "a", BROKEN)), one(judged(tmp_path / "b", BROKEN, waiver()))
    changed = {"decision", "reason", "waiver"}
    assert free.findings[0].model_dump(exclude=changed) == held.findings[0].model_dump(exclude=changed)
    assert free.measures == held.measures


def test_it_ends_on_its_date(tmp_path: Path) -> None:
    """Judged on the date itself it is FAIL again, and says whose waiver ended when."""
    verdict = judged(tmp_path, BROKEN, waiver(until="2026-01-01"))
    (finding,) = one(verdict).findings
    assert (verdict.exit_code, finding.decision, finding.waiver) == (10, "FAIL", None)
    assert finding.reason.endswith("the waiver of Ann ended on 2026-01-01")
    assert verdict.waivers[0].state == "ended"


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        ("2026-01-01T23:59:59+00:00", date(2026, 1, 1)),
        ("2026-01-01T23:30:00-02:00", date(2026, 1, 2)),
        ("2026-01-02T01:00:00+02:00", date(2026, 1, 1)),
        ("2026-01-01T10:00:00", date(2026, 1, 1)),
    ],
)
def test_the_day_is_that_of_utc(moment: str, day: date) -> None:
    assert day_of(moment) == day


def test_nothing_but_a_fail_is_waived(tmp_path: Path) -> None:
    """INCONCLUSIVE stays, a PASS stays (and the waiver is named as unused), INVALID stays."""
    for counts, decision, code in (((132, 0, 0), "INCONCLUSIVE", 11), ((1000, 20, 20), "PASS", 0)):
        verdict = judged(tmp_path / decision, counts, waiver())
        assert (one(verdict).findings[0].decision, verdict.exit_code) == (decision, code)
        assert verdict.waivers[0].state == "unused"
        assert f"excuses nothing: the gate says {decision}" in verdict.waivers[0].says
    bench = binary_bench(tmp_path / "i", *BROKEN, facts=None)
    assert one(bench.verdict(DROP, waivers=[waiver()])).decision == "INVALID"
    unsound = [{**DROP[0], "slice": "half=z"}]
    invalid = binary_bench(tmp_path / "s", *BROKEN).verdict(unsound, waivers=[waiver()])
    assert (one(invalid).findings[0].decision, invalid.exit_code) == ("INVALID", 12)


def test_it_covers_its_slice_alone(tmp_path: Path) -> None:
    """With `slice: each`, the other slice's FAIL stands."""
    each = [{**DROP[0], "slice": "each"}]
    verdict = judged(tmp_path / "one", BROKEN, waiver(slice="half=a"), gates=each)
    assert {finding.slice: finding.decision for finding in one(verdict).findings} == {
        "half=a": "WAIVED",
        "half=b": "FAIL",
    }
    assert verdict.exit_code == 10
    both = judged(tmp_path / "both", BROKEN, waiver(slice="half=a"), waiver(slice="half=b"), gates=each)
    assert both.exit_code == 0


def test_it_covers_its_variant_alone(tmp_path: Path) -> None:
    """Another candidate with the same loss fails."""
    bench = binary_bench(tmp_path, *BROKEN)
    bench.variants["r"] = bench.variants["q"].model_copy(update={"variant": "r"})
    verdict = bench.verdict(DROP, waivers=[waiver()])
    assert {each.variant: each.decision for each in verdict.candidates} == {"q": "PASS", "r": "FAIL"}
    assert verdict.sentence == "FAIL: q (under a waiver) can be deployed; r must not be deployed."


def test_another_gate_still_stops_it(tmp_path: Path) -> None:
    """A waiver of one gate excuses no other one."""
    gates = [*DROP, {"task": "t", "metric": "acc", "min": 0.99}]
    verdict = judged(tmp_path, BROKEN, waiver(), gates=gates)
    assert [finding.decision for finding in one(verdict).findings] == ["WAIVED", "FAIL"]
    assert verdict.exit_code == 10


def test_a_floor_of_the_baseline_can_be_waived(tmp_path: Path) -> None:
    """`on: baseline` is waived for the baseline, and then stops no candidate."""
    gates: list[dict[str, object]] = [{"task": "t", "metric": "acc", "min": 0.8, "on": "baseline"}, *DROP]
    verdict = judged(tmp_path, (1000, 0, 500), waiver(gate="t/acc/min", variant="fp32"), gates=gates)
    assert (verdict.baseline_findings[0].decision, verdict.exit_code) == ("WAIVED", 0)
    assert "t acc waived until" in one(verdict).sentence


def test_a_waived_warning_is_no_warning(tmp_path: Path) -> None:
    """`severity: warn` decides nothing either way; waived, it is not counted among the warnings."""
    verdict = judged(tmp_path, BROKEN, waiver(), gates=[{**DROP[0], "severity": "warn"}])
    assert (one(verdict).findings[0].decision, one(verdict).sentence) == ("WAIVED", "no blocking limit is set for it")


def test_every_report_knows_every_decision() -> None:
    """Marks and styles exist for each decision a finding can have: none of them is a crash in a report."""
    from harness.notation import EMOJI, MARKS, WORST_FIRST
    from harness.reports.terminal import STYLES

    for words in (STYLES, EMOJI, MARKS, WORST_FIRST):
        assert set(words) == set(get_args(FindingDecision))
