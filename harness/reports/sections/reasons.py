"""What was judged of each variant, and why what did not pass did not: a list in a terminal, cases in JUnit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records.findings import Check, Finding
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Outcome, Outcomes, Section


def section(verdict: Verdict) -> Section:
    """The baseline's own gates and checks, then those of each candidate."""
    found = []
    for name, candidate in wording.sides(verdict):
        findings = verdict.baseline_findings if candidate is None else candidate.findings
        checks = verdict.baseline_checks if candidate is None else candidate.checks
        outcomes = [*map(_gate, findings), *map(_check, checks)]
        if candidate is not None:
            outcomes += _whole(verdict, candidate, outcomes)
        if outcomes or candidate is not None:
            fine = candidate is None or candidate.decision == "PASS" or not _judged(verdict, candidate)
            sentence = "" if fine or candidate is None else candidate.sentence
            seconds = None if candidate is None else candidate.seconds
            found.append(Outcomes(title=name, outcomes=tuple(outcomes), otherwise=sentence, seconds=seconds))
    return Section(blocks=tuple(found))


def _gate(finding: Finding) -> Outcome:
    name = wording.gate_name(finding)
    return Outcome(
        kind="gate",
        decision=finding.decision,
        weight=finding.severity,
        name=name,
        case=f"{finding.gate} {name} {wording.limit(finding)}",
        reason=finding.reason,
        line=wording.reason(finding),
        on_slice=finding.slice is not None,
    )


def _check(check: Check) -> Outcome:
    return Outcome(
        kind="check",
        decision="PASS" if check.held else "INVALID",
        weight="block" if check.blocks else "note",
        name=check.name,
        case=f"validity: {check.name}",
        reason=check.says,
        line=f"{check.name}: {check.says}",
    )


def _judged(verdict: Verdict, candidate: CandidateVerdict) -> bool:
    return not verdict.report_only or candidate.decision == "INVALID"


def _whole(verdict: Verdict, candidate: CandidateVerdict, outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """The variant's own case where no other says that it did not pass, or that nothing was judged."""
    blocked = [each for each in outcomes if each.weight == "block" and each.decision not in ("PASS", "WAIVED")]
    judged = _judged(verdict, candidate)
    if not judged or (candidate.decision != "PASS" and not blocked):
        sentence = candidate.sentence if judged else verdict.sentence
        yield Outcome(
            kind="verdict",
            decision=candidate.decision,
            weight="block" if judged else "note",
            name="verdict",
            case="verdict",
            reason=sentence,
            line=sentence,
        )
