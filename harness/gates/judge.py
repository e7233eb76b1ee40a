"""Findings and checks into the verdict: INVALID over FAIL over INCONCLUSIVE over PASS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.slice_rows import (
    document_measures_with_slices,
    measure_with_slices,
    whole_measure_with_slices,
)
from harness.comparison.task_sides import Paired
from harness.gates.base_model import base_facts, retained_measures
from harness.gates.conditions import conditions, task_facts
from harness.gates.findings import baseline_findings, candidate_findings, rules
from harness.gates.imported_trust import is_imported
from harness.gates.judged import Judged, Rule
from harness.gates.multiplicity import explored, judged_together
from harness.gates.noise_floor import noise_checks, noise_floor, retained_gains
from harness.gates.noise_limits import noise_limits
from harness.gates.promoted_gates import Changes, PromotedGates, gate_changes, with_limits_before
from harness.gates.promoted_reference import creep, promoted_steps
from harness.gates.sanity_checks import plausible_baseline, plausible_candidate
from harness.gates.sentences import IMPORTED_METHOD, METHOD, candidate_sentence, run_sentence
from harness.gates.stopped_tasks import without_interval
from harness.gates.validity_checks import baseline_checks, candidate_checks
from harness.gates.waived import day_of, excused, uses
from harness.metrics.table import lookup
from harness.records.decisions import blocking, broken, counted, decide, decide_run, worst
from harness.records.findings import Check, Finding
from harness.records.measures import DriftStep, Measure, Noise
from harness.records.timings import MemoryFigures
from harness.records.verdict import CandidateVerdict, Verdict
from harness.samples.divergent_tokens import with_texts
from harness.samples.documents import kl_histogram
from harness.samples.measures import likelihood_level
from harness.samples.timed_pairs import speed_rows
from harness.suite.describe import made_words, quantization_words
from harness.suite.models import Suite


def judge(
    suite: Suite,
    comparison: Comparison,
    *,
    judged_at: str,
    changed: Mapping[str, str] | None = None,
    before: PromotedGates | None = None,
    report_only: bool = False,
) -> Verdict:
    """The verdict of a run under the gates of `suite`.

    `suite` may be another than the one the run was made with (changed limits); `changed` names the tasks whose
    items are no longer those of the run, with what changed, and makes every candidate INVALID.
    `judged_at`: UTC, ISO 8601. `before`: the suite of the last promoted version, whose gates are compared with these.
    `report_only`: no verdict was asked for, so no gate is applied.
    """
    if report_only:
        suite, before = suite.model_copy(update={"gates": (), "waivers": ()}), None
    case = _case(suite, comparison, changed or {}, gate_changes(suite, before), day_of(judged_at))
    candidates = tuple(_candidate(case, candidate) for candidate in comparison.candidates)
    decision = decide_run(
        [(each.decision, bool(blocking(each.findings))) for each in candidates],
        baseline_findings=case.findings,
        baseline_checks=case.checks,
    )
    run, version = comparison.run, comparison.reference_version
    return Verdict(
        suite=run.suite,
        run=run.run,
        decision=decision,
        sentence=run_sentence(candidates, decision, report_only=report_only),
        baseline=run.baseline,
        baseline_facts=run.variants[run.baseline].facts,
        baseline_memory=_baseline_memory(comparison),
        baseline_checks=case.checks,
        baseline_findings=case.findings,
        baseline_measures=case.levels,
        candidates=candidates,
        tasks=task_facts(comparison),
        host=run.host,
        quantgate=run.quantgate,
        alpha=suite.alpha,
        started_at=run.started_at,
        judged_at=judged_at,
        elapsed_s=run.elapsed_s,
        partial=run.partial,
        report_only=report_only,
        limit=run.limit,
        label=run.label,
        baseline_conditions=conditions(comparison.baseline_manifests),
        base=base_facts(comparison, suite.base),
        reference=comparison.reference_name,
        reference_label=version.label if version is not None else None,
        gate_changes=case.changes.all,
        waivers=uses(suite, (*case.findings, *(each for one in candidates for each in one.findings)), case.today),
        noise=case.noise,
        method=IMPORTED_METHOD if is_imported(run.variants[run.baseline].facts) else METHOD,
    )


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A run under a suite's gates: what the verdict on each candidate needs."""

    suite: Suite
    comparison: Comparison
    rules: tuple[Rule, ...]
    changed: Mapping[str, str]
    today: date
    changes: Changes
    noise: Noise | None
    levels: dict[str, float]
    checks: tuple[Check, ...]
    """Of the baseline, as are `findings`."""
    findings: tuple[Finding, ...]
    steps: Mapping[tuple[str, str], list[DriftStep]]

    @property
    def wholes(self) -> frozenset[tuple[str, str]]:
        """(task, metric) of every gate."""
        return _asked(self.suite)

    @property
    def broken(self) -> tuple[Check, ...]:
        """Checks of the baseline that make every candidate INVALID."""
        return tuple(check for check in self.checks if check.blocks and not check.held)


def _case(suite: Suite, comparison: Comparison, changed: Mapping[str, str], changes: Changes, today: date) -> _Case:
    alpha = suite.alpha
    all_rules = rules(suite.gates, alpha, noise_limits(suite.gates, comparison))
    noise, levels = noise_floor(comparison, alpha=alpha), _levels(comparison.baseline, _asked(suite), alpha=alpha)
    found = judged_together(baseline_findings(all_rules, comparison))
    return _Case(
        suite=suite,
        comparison=comparison,
        rules=all_rules,
        changed=changed,
        today=today,
        changes=changes,
        noise=noise,
        levels=levels,
        checks=(
            *baseline_checks(comparison),
            *plausible_baseline(comparison, alpha=alpha),
            *noise_checks(suite, noise, levels, retained_gains(suite, comparison, alpha=alpha)),
        ),
        findings=_settled(found, suite, changes, today),
        steps=promoted_steps(comparison, alpha=alpha),
    )


def _settled(found: Sequence[Judged], suite: Suite, changes: Changes, today: date) -> tuple[Finding, ...]:
    """The findings, written, with the limits they had before and the waivers of the day: the last word on each."""
    return excused(with_limits_before([each.written() for each in found], changes), suite, today)


def _both(judged: Judged, again: Sequence[Judged]) -> Judged:
    """A finding judged on all items and on those without calibration overlap: both must pass (the worse counts)."""
    finding = judged.finding
    place = finding.gate, finding.slice, finding.workload
    clean = next(
        (each for each in again if (each.finding.gate, each.finding.slice, each.finding.workload) == place), None
    )
    if clean is None or finding.task is None:
        return judged
    if worst((counted(finding), counted(clean.finding))) == finding.decision:
        return judged
    return Judged(finding=clean.finding.model_copy(update={"items": "clean"}), reason=clean.reason)


def _findings(case: _Case, candidate: CandidateComparison) -> tuple[Finding, ...]:
    """Every finding of the candidate, the last word on each."""
    found = candidate_findings(case.rules, case.comparison, candidate)
    if candidate.clean is not None:
        apart = replace(candidate, paired=candidate.clean, reference=candidate.clean_reference)
        again = candidate_findings(case.rules, case.comparison, apart)
        both = judged_together((*found, *again))  # a second look is one more chance to fail
        found = tuple(_both(each, both[len(found) :]) for each in both[: len(found)])
    else:
        found = judged_together(found)
    return _settled(found, case.suite, case.changes, case.today)


def _candidate(case: _Case, candidate: CandidateComparison) -> CandidateVerdict:
    comparison, alpha = case.comparison, case.suite.alpha
    spec, stopped = case.suite.variants.get(candidate.variant), candidate.run.stopped
    checks = (
        *candidate_checks(comparison, candidate, spec, case.changed),
        *plausible_candidate(candidate, alpha=alpha),
    )
    reasons = (*case.broken, *checks)
    findings = () if broken(reasons) and candidate.run.facts is None else _findings(case, candidate)
    decision = decide(
        findings, checks, baseline_findings=case.findings, baseline_checks=case.checks, stopped=stopped is not None
    )
    measures, exploratory = explored(_measures(candidate.paired, case.wholes, alpha=alpha))
    return CandidateVerdict(
        variant=candidate.variant,
        decision=decision,
        sentence=candidate_sentence(decision, reasons, case.findings, findings, stopped),
        findings=findings,
        checks=checks,
        measures=measures,
        retained=retained_measures(comparison, candidate, alpha=alpha),
        stopped=stopped,
        reference_measures=()
        if candidate.reference is None
        else _measures(candidate.reference, case.wholes, alpha=alpha),
        creep=creep(comparison, candidate, findings, case.steps, alpha=alpha),
        exploratory=exploratory,
        flips=candidate.paired.flips,
        flips_total=dict(candidate.paired.flips_total),
        histograms=tuple(
            kl_histogram(task, documents.divergence)
            for task, documents in candidate.paired.documents.items()
            if documents.divergence is not None
        ),
        divergent=tuple(
            with_texts(documents.divergent, candidate.manifests[task].divergent if task in candidate.manifests else ())
            for task, documents in candidate.paired.documents.items()
            if documents.divergent is not None
        ),
        speed=speed_rows(candidate.speed_pairs, alpha=alpha),
        memory=candidate.speed.memory if candidate.speed is not None else None,
        facts=candidate.run.facts,
        quantization=quantization_words(spec) if spec is not None else "",
        seconds=sum(manifest.elapsed_s for manifest in candidate.manifests.values()) or None,
        log=candidate.run.log,
        environment=candidate.run.environment,
        made=None if candidate.run.artifact is None else made_words(candidate.run.artifact),
        conditions=conditions(candidate.manifests),
    )


def _measures(paired: Paired, wholes: frozenset[tuple[str, str]], *, alpha: float) -> tuple[Measure, ...]:
    """`wholes`: (task, metric of the whole) that a gate asks for; reports list those, and those of the task itself."""
    measures = []
    for (task, name), metric in paired.metrics.items():
        known = lookup(name)
        measure = measure_with_slices(metric, unit=known.unit if known is not None else "", alpha=alpha)
        part = paired.parts.get(task)
        measures.append(measure if part is None else without_interval(measure, part.stop))
    measures.extend(
        whole_measure_with_slices(each, alpha=alpha)
        for key, each in paired.wholes.items()
        if each.listed or key in wholes
    )
    for documents in paired.documents.values():
        measures.extend(document_measures_with_slices(documents, alpha=alpha))
    return tuple(measures)


def _asked(suite: Suite) -> frozenset[tuple[str, str]]:
    """(task, metric) of every gate."""
    return frozenset((gate.task, gate.metric) for gate in suite.gates if gate.task is not None)


def _levels(paired: Paired, wholes: frozenset[tuple[str, str]], *, alpha: float) -> dict[str, float]:
    levels = {
        f"{task}/{name}": float(metric.baseline.mean())
        for (task, name), metric in paired.metrics.items()
        if metric.count
    }
    shown = {key: each for key, each in paired.wholes.items() if each.listed or key in wholes}
    levels |= {f"{task}/{name}": each.items.level() for (task, name), each in shown.items()}
    for task, documents in paired.documents.items():
        if documents.count:
            for row in documents.likelihoods:
                level = likelihood_level(documents.baseline_nll, documents, row.name, alpha=alpha)
                levels[f"{task}/{row.name}"] = level.value
    return levels


def _baseline_memory(comparison: Comparison) -> MemoryFigures | None:
    return next((each.speed.baseline_memory for each in comparison.candidates if each.speed is not None), None)
