"""The decision of a candidate and of a run, from its findings and checks: one rule for the judge and for readers.

A decision that is read is checked against it, so that nobody has to trust a summary more than its parts. Owns the order
of the decisions and what counts; says nothing about how a finding came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from harness import notation
from harness.records.findings import Decision, FindingDecision


class FindingPart(Protocol):
    """What a decision takes from a finding."""

    @property
    def decision(self) -> FindingDecision: ...
    @property
    def severity(self) -> str: ...


class CheckPart(Protocol):
    """What a decision takes from a check."""

    @property
    def held(self) -> bool: ...
    @property
    def blocks(self) -> bool: ...


class CandidatePart(Protocol):
    """What a decision takes from a candidate."""

    @property
    def variant(self) -> str: ...
    @property
    def decision(self) -> Decision: ...
    @property
    def findings(self) -> Sequence[FindingPart]: ...
    @property
    def checks(self) -> Sequence[CheckPart]: ...
    @property
    def stopped(self) -> object | None: ...


class VerdictPart(Protocol):
    """What a decision takes from a verdict."""

    @property
    def decision(self) -> Decision: ...
    @property
    def sentence(self) -> str: ...
    @property
    def candidates(self) -> Sequence[CandidatePart]: ...
    @property
    def baseline_findings(self) -> Sequence[FindingPart]: ...
    @property
    def baseline_checks(self) -> Sequence[CheckPart]: ...


def without_decision(sentence: str, decision: str | None) -> str:
    """Why, from a run's sentence, which is stored with the decision in front of it."""
    return sentence.removeprefix(f"{decision}: ")


V = TypeVar("V", bound=VerdictPart)


def worst(decisions: Iterable[Decision]) -> Decision:
    """The worst of several; PASS of none."""
    return notation.worst(decisions) or "PASS"


def counted(finding: FindingPart) -> Decision:
    """What a finding counts as: a waived FAIL does not block."""
    return "PASS" if finding.decision == "WAIVED" else finding.decision


def blocking(findings: Iterable[FindingPart]) -> list[FindingPart]:
    return [finding for finding in findings if finding.severity == "block"]


def broken(checks: Iterable[CheckPart]) -> bool:
    """Whether a check that blocks did not hold."""
    return any(check.blocks and not check.held for check in checks)


def decide(
    findings: Sequence[FindingPart],
    checks: Iterable[CheckPart],
    *,
    baseline_findings: Iterable[FindingPart],
    baseline_checks: Iterable[CheckPart],
    stopped: bool,
) -> Decision:
    """A candidate's decision. INVALID where a check blocks, else the worst of its blocking findings and the baseline's.

    Never PASS without a blocking finding of its own, because then nothing about it was judged: a limit on the baseline
    says nothing about a candidate. Nor where it was stopped early, because only whole tasks can PASS.
    """
    if broken((*baseline_checks, *checks)):
        return "INVALID"
    judged = blocking(findings)
    found = worst(map(counted, (*blocking(baseline_findings), *judged)))
    return found if judged and not stopped else worst((found, "INCONCLUSIVE"))


def decide_run(
    candidates: Sequence[tuple[Decision, bool]],
    *,
    baseline_findings: Sequence[FindingPart],
    baseline_checks: Iterable[CheckPart],
) -> Decision:
    """A run's decision: the worst of its candidates' (each with whether a blocking finding of its own judged it).

    A candidate without a blocking limit does not count, unless it FAILs or is INVALID; if none was judged, the run is
    INCONCLUSIVE. A run of the baseline alone is judged by the limits on the baseline.
    """
    own = blocking(baseline_findings)
    if not candidates:
        if broken(baseline_checks):
            return "INVALID"
        return worst(map(counted, own)) if own else "INCONCLUSIVE"
    if not any(judged for _, judged in candidates):
        return worst(decision for decision, _ in candidates)
    return worst(decision for decision, judged in candidates if judged or decision in ("FAIL", "INVALID"))


def derived(verdict: VerdictPart) -> tuple[tuple[Decision, ...], Decision]:
    """Every candidate's decision and the run's, as its findings and checks give them."""
    parts = {"baseline_findings": verdict.baseline_findings, "baseline_checks": verdict.baseline_checks}
    own = tuple(
        decide(each.findings, each.checks, stopped=each.stopped is not None, **parts)  # type: ignore[arg-type]
        for each in verdict.candidates
    )
    judged = [bool(blocking(each.findings)) for each in verdict.candidates]
    return own, decide_run(list(zip(own, judged, strict=True)), **parts)  # type: ignore[arg-type]


def held_to_its_parts(verdict: V) -> V:
    """The verdict, its decisions those that follow from its findings and checks.

    Earlier versions called it a PASS where nothing was judged; that is read as INCONCLUSIVE. Raises ValueError, in
    words, for any other decision that does not follow.
    """
    own, whole = derived(verdict)
    stored = tuple(each.decision for each in verdict.candidates)
    if (stored, verdict.decision) == (own, whole):
        return verdict
    if (stored, verdict.decision) == _before(verdict, own, whole):
        return _with(verdict, own, whole)
    for each, decision in zip(verdict.candidates, own, strict=True):
        if each.decision != decision:
            raise ValueError(f"says {each.decision} of {each.variant}, but its findings and checks give {decision}")
    raise ValueError(f"says {verdict.decision}, but what it says of its candidates gives {whole}")


def _before(verdict: VerdictPart, own: Sequence[Decision], whole: Decision) -> tuple[tuple[Decision, ...], Decision]:
    """The decisions as they were when nothing judged was a PASS."""
    parts = zip(verdict.candidates, own, strict=True)
    then = tuple(_then(each, decision, verdict) for each, decision in parts)
    return then, worst(then or [_baseline_then(verdict, whole)])


def _then(candidate: CandidatePart, decision: Decision, verdict: VerdictPart) -> Decision:
    if decision == "INVALID" or candidate.stopped is not None:
        return decision
    return worst(map(counted, blocking((*verdict.baseline_findings, *candidate.findings))))


def _baseline_then(verdict: VerdictPart, whole: Decision) -> Decision:
    return whole if whole == "INVALID" else worst(map(counted, blocking(verdict.baseline_findings)))


def _with(verdict: V, own: Sequence[Decision], whole: Decision) -> V:
    parts = zip(verdict.candidates, own, strict=True)
    candidates = tuple(each.model_copy(update={"decision": decision}) for each, decision in parts)  # type: ignore[attr-defined]
    sentence = f"{whole}: {without_decision(verdict.sentence, verdict.decision)}"
    update = {"decision": whole, "candidates": candidates, "sentence": sentence}
    return verdict.model_copy(update=update)  # type: ignore[attr-defined, no-any-return]
