"""Waivers applied to findings: a FAIL that the suite excuses becomes WAIVED until the waiver's date. Pure.

Runs last. INVALID is never waived, because nothing is known that could be excused; nor is INCONCLUSIVE, which lacks
items rather than leniency.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Literal

from harness.records.findings import Finding, WaiverUse
from harness.suite.gate_model import Waiver
from harness.suite.models import Suite
from harness.suite.waivers import counts, waived_gate


def day_of(judged_at: str) -> date:
    """The day in UTC of an ISO 8601 time; one without a zone is taken as UTC."""
    moment = datetime.fromisoformat(judged_at)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC).date()


def excused(findings: Iterable[Finding], suite: Suite, today: date) -> tuple[Finding, ...]:
    """The findings, each FAIL that a waiver covers on this day WAIVED; one whose waiver ended says so."""
    meant: dict[int, list[Waiver]] = {}
    for waiver in suite.waivers:
        meant.setdefault(waived_gate(suite, waiver), []).append(waiver)
    return tuple(_excused(finding, meant.get(finding.position, ()), today) for finding in findings)


def _covers(waiver: Waiver, finding: Finding) -> bool:
    return (
        waiver.variant == finding.variant
        and waiver.slice in (None, finding.slice)
        and waiver.workload in (None, finding.workload)
    )


def _excused(finding: Finding, waivers: Sequence[Waiver], today: date) -> Finding:
    covering = [waiver for waiver in waivers if _covers(waiver, finding)]
    if finding.decision != "FAIL" or not covering:
        return finding
    valid = next((waiver for waiver in covering if counts(waiver, today)), None)
    if valid is None:
        ended = covering[-1]
        return finding.model_copy(
            update={"reason": f"{finding.reason}; the waiver of {ended.by} ended on {ended.until}"}
        )
    says = f"waived until {valid.until} by {valid.by}: {valid.reason}"
    return finding.model_copy(
        update={
            "decision": "WAIVED",
            "reason": f"{finding.reason}; {says}",
            "waiver": _use(valid, "used", says),
        }
    )


def uses(suite: Suite, findings: Sequence[Finding], today: date) -> tuple[WaiverUse, ...]:
    """The outcome of every waiver, in suite order. `findings`: of all variants, after `excused`."""
    found = []
    for waiver in suite.waivers:
        gate = waived_gate(suite, waiver)
        covered = [each for each in findings if each.position == gate and _covers(waiver, each)]
        what = f"{waiver.gate} for {waiver.variant}" + "".join(
            f" on {part}" for part in (waiver.slice, waiver.workload) if part
        )
        if not counts(waiver, today):
            says = f"the waiver of {what} by {waiver.by} ended on {waiver.until} and excuses nothing"
            found.append(_use(waiver, "ended", says))
        elif any(each.decision == "WAIVED" for each in covered):
            says = f"{what} is waived until {waiver.until} by {waiver.by}: {waiver.reason}"
            found.append(_use(waiver, "used", says))
        else:
            seen = f"the gate says {covered[0].decision}" if covered else "this run has no such finding"
            says = f"the waiver of {what} by {waiver.by} until {waiver.until} excuses nothing: {seen}"
            found.append(_use(waiver, "unused", says))
    return tuple(found)


def _use(waiver: Waiver, state: Literal["used", "unused", "ended"], says: str) -> WaiverUse:
    return WaiverUse(
        gate=waiver.gate,
        variant=waiver.variant,
        slice=waiver.slice,
        workload=waiver.workload,
        reason=waiver.reason,
        by=waiver.by,
        until=waiver.until.isoformat(),
        state=state,
        says=says,
    )
