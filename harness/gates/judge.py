"""Findings and checks into the verdict: INVALID over FAIL over INCONCLUSIVE over PASS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.slice_rows import document_measures_with_slices, measure_with_slices
from harness.comparison.task_sides import Paired
from harness.gates.conditions import conditions, task_facts
from harness.gates.findings import Rule, baseline_findings, candidate_findings, rules
from harness.gates.multiplicity import explored, judged_together
from harness.gates.noise_floor import noise_checks, noise_floor, retained_gains
from harness.gates.promoted_gates import Changes, PromotedGates, gate_changes, with_limits_before
from harness.gates.promoted_reference import creep, promoted_steps
from harness.gates.retained_gain import base_facts, retained_measures
from harness.gates.sanity_checks import plausible_baseline, plausible_candidate
from harness.gates.stopped_tasks import without_interval, words_of
from harness.gates.validity_checks import baseline_checks, candidate_checks
from harness.gates.waived import day_of, excused, uses
from harness.metrics.table import lookup, of_kind
from harness.notation import WORST_FIRST, shortened
from harness.records.decisions import blocking, broken, counted, decide, decide_run, worst
from harness.records.findings import Check, Decision, Finding
from harness.records.measures import DriftStep, Measure
from harness.records.run_manifest import EarlyStop
from harness.records.timings import MemoryFigures
from harness.records.verdict import CandidateVerdict, Verdict
from harness.samples.documents import kl_histogram
from harness.samples.measures import likelihood_level
from harness.samples.timed_pairs import speed_rows
from harness.suite.describe import made_words, quantization_words
from harness.suite.models import Suite

UNJUDGED = "unjudged"
"""Of a candidate that no blocking limit was set for."""
ADVICE = "add gates, or use --report-only for a comparison without a verdict"


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
    run = comparison.run
    if report_only:
        suite, before = suite.model_copy(update={"gates": (), "waivers": ()}), None
    all_rules = rules(suite.gates, suite.alpha)
    today, changes = day_of(judged_at), gate_changes(suite, before)
    noise = noise_floor(comparison, alpha=suite.alpha)
    levels = _levels(comparison.baseline, alpha=suite.alpha)
    own_checks = (
        *baseline_checks(comparison),
        *plausible_baseline(comparison, alpha=suite.alpha),
        *noise_checks(suite, noise, levels, retained_gains(suite, comparison, alpha=suite.alpha)),
    )
    own_findings = _settled(judged_together(baseline_findings(all_rules, comparison)), suite, changes, today)
    steps = promoted_steps(comparison, alpha=suite.alpha)
    candidates = tuple(
        _candidate(
            suite, comparison, candidate, all_rules, own_checks, own_findings, changed or {}, today, changes, steps
        )
        for candidate in comparison.candidates
    )
    decision = decide_run(
        [(each.decision, bool(blocking(each.findings))) for each in candidates],
        baseline_findings=own_findings,
        baseline_checks=own_checks,
    )
    return Verdict(
        suite=run.suite,
        run=run.run,
        decision=decision,
        sentence=_overall(candidates, decision, report_only=report_only),
        baseline=run.baseline,
        baseline_facts=run.variants[run.baseline].facts,
        baseline_memory=_baseline_memory(comparison),
        baseline_checks=own_checks,
        baseline_findings=own_findings,
        baseline_measures=levels,
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
        reference_label=comparison.reference_version.label if comparison.reference_version is not None else None,
        gate_changes=changes.all,
        waivers=uses(suite, (*own_findings, *(each for one in candidates for each in one.findings)), today),
        noise=noise,
        method=METHOD,
    )


def _settled(findings: Sequence[Finding], suite: Suite, changes: Changes, today: date) -> tuple[Finding, ...]:
    """The findings with the limits they had before and with the waivers of the day: the last word on each."""
    return excused(with_limits_before(findings, changes), suite, today)


def _both(finding: Finding, again: Sequence[Finding]) -> Finding:
    """A finding held on all items and on those apart from the calibration data: both must pass (the worse counts)."""
    same = (
        each
        for each in again
        if (each.gate, each.slice, each.workload) == (finding.gate, finding.slice, finding.workload)
    )
    clean = next(same, None)
    if clean is None or finding.task is None or worst((counted(finding), counted(clean))) == finding.decision:
        return finding
    return clean.model_copy(
        update={"reason": f"without the items that share text with the calibration data: {clean.reason}"}
    )


def _candidate(
    suite: Suite,
    comparison: Comparison,
    candidate: CandidateComparison,
    all_rules: tuple[Rule, ...],
    own_checks: tuple[Check, ...],
    own_findings: tuple[Finding, ...],
    changed: Mapping[str, str],
    today: date,
    changes: Changes,
    steps: Mapping[tuple[str, str], list[DriftStep]],
) -> CandidateVerdict:
    spec = suite.variants.get(candidate.variant)
    checks = (
        *candidate_checks(comparison, candidate, spec, changed),
        *plausible_candidate(candidate, alpha=suite.alpha),
    )
    broken_baseline = tuple(check for check in own_checks if check.blocks and not check.held)
    unfit = broken((*broken_baseline, *checks))
    findings = () if unfit and candidate.run.facts is None else candidate_findings(all_rules, comparison, candidate)
    if candidate.clean is not None:
        apart = replace(candidate, paired=candidate.clean, reference=candidate.clean_reference)
        again = candidate_findings(all_rules, comparison, apart)
        both = judged_together((*findings, *again))  # a second look is one more chance to fail
        findings = tuple(_both(finding, both[len(findings) :]) for finding in both[: len(findings)])
    else:
        findings = judged_together(findings)
    findings = _settled(findings, suite, changes, today)
    decision = decide(
        findings,
        checks,
        baseline_findings=own_findings,
        baseline_checks=own_checks,
        stopped=candidate.run.stopped is not None,
    )
    alpha = suite.alpha
    measures, exploratory = explored(_measures(candidate.paired, alpha=alpha))
    return CandidateVerdict(
        variant=candidate.variant,
        decision=decision,
        sentence=_sentence(decision, (*broken_baseline, *checks), own_findings, findings, candidate.run.stopped),
        findings=findings,
        checks=checks,
        measures=measures,
        retained=retained_measures(comparison, candidate, alpha=alpha),
        stopped=candidate.run.stopped,
        reference_measures=() if candidate.reference is None else _measures(candidate.reference, alpha=alpha),
        creep=creep(comparison, candidate, findings, steps, alpha=alpha),
        exploratory=exploratory,
        flips=candidate.paired.flips,
        flips_total=dict(candidate.paired.flips_total),
        histograms=tuple(
            kl_histogram(task, documents.divergence)
            for task, documents in candidate.paired.documents.items()
            if documents.divergence is not None
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


def _measures(paired: Paired, *, alpha: float) -> tuple[Measure, ...]:
    measures = []
    for (task, name), metric in paired.metrics.items():
        known = lookup(name)
        measure = measure_with_slices(metric, unit=known.unit if known is not None else "", alpha=alpha)
        part = paired.parts.get(task)
        measures.append(measure if part is None else without_interval(measure, part.stop))
    for documents in paired.documents.values():
        measures.extend(document_measures_with_slices(documents, alpha=alpha))
    return tuple(measures)


def _levels(paired: Paired, *, alpha: float) -> dict[str, float]:
    levels = {
        f"{task}/{name}": float(metric.baseline.mean())
        for (task, name), metric in paired.metrics.items()
        if metric.count
    }
    for task, documents in paired.documents.items():
        if documents.count:
            for row in of_kind("perplexity"):
                level = likelihood_level(documents.baseline_nll, documents, row.name, alpha=alpha)
                levels[f"{task}/{row.name}"] = level.value
    return levels


def _baseline_memory(comparison: Comparison) -> MemoryFigures | None:
    return next((each.speed.baseline_memory for each in comparison.candidates if each.speed is not None), None)


def _sentence(
    decision: Decision,
    checks: Iterable[Check],
    baseline_findings: Sequence[Finding],
    own: Sequence[Finding],
    stopped: EarlyStop | None,
) -> str:
    """Why, in one sentence: the first check or blocking finding that decided it."""
    findings = (*baseline_findings, *own)
    if decision == "INVALID":
        for check in checks:
            if check.blocks and not check.held:
                return check.says
    blocks = [finding for finding in findings if finding.severity == "block"]
    deciding = [finding for finding in blocks if finding.decision == decision]
    if decision != "PASS" and not (deciding or stopped or blocking(own)):
        return _passed([], [finding for finding in own if finding.severity == "warn"])
    if decision == "PASS" or not (deciding or stopped):
        return _passed(blocks, [finding for finding in findings if finding.severity == "warn"])
    if not deciding and stopped is not None:
        return f"{words_of(stopped)}; run again without --stop-early"
    first = deciding[0]
    others = len(deciding) - 1
    return f"{_where(first)}: {first.reason}" + (f" (and {others} more)" if others else "")


def _passed(blocks: Sequence[Finding], warnings: Sequence[Finding]) -> str:
    """Why it may be deployed, and under which waivers."""
    waived = [finding for finding in blocks if finding.decision == "WAIVED"]
    warned = sum(1 for finding in warnings if finding.decision not in ("PASS", "WAIVED"))
    held = "no blocking limit is set for it"
    if blocks:
        limits = "limit" if len(blocks) == 1 else "limits"
        held = f"holds {len(blocks) - len(waived)} of {len(blocks)} blocking {limits}"
    if not waived and blocks:
        held = "holds the only blocking limit" if len(blocks) == 1 else f"holds all {len(blocks)} blocking limits"
    excuses = "".join(f"; {_where(each)} {each.waiver.says}" for each in waived if each.waiver is not None)
    return held + excuses + (f"; {warned} warning{'s' if warned != 1 else ''}" if warned else "")


def _where(finding: Finding) -> str:
    where = f"{finding.task} {finding.metric}" if finding.task else finding.metric
    return f"{where} on {shortened(finding.slice)}" if finding.slice else where


def _overall(candidates: tuple[CandidateVerdict, ...], decision: Decision, *, report_only: bool) -> str:
    if report_only:
        unsound = [each.variant for each in candidates if each.decision == "INVALID"]
        broken_ones = f"; {_list(unsound)} could not be compared soundly" if unsound else ""
        return f"No verdict was asked for (--report-only){broken_ones}."
    if not candidates:
        return "No candidate was judged: the suite or the selection has only the baseline."
    groups: dict[str, list[str]] = {each: [] for each in (*reversed(WORST_FIRST), UNJUDGED)}
    for candidate in candidates:
        unjudged = candidate.decision == "INCONCLUSIVE" and not candidate.stopped and not blocking(candidate.findings)
        groups[UNJUDGED if unjudged else candidate.decision].append(_named(candidate))
    words = {
        "PASS": "can be deployed",
        UNJUDGED: "could be compared soundly, but no blocking limit says whether it can be deployed",
        "INCONCLUSIVE": "cannot be decided with these items",
        "FAIL": "must not be deployed",
        "INVALID": "could not be compared soundly",
    }
    parts = [f"{_list(names)} {words[each]}" for each, names in groups.items() if names]
    if not any(blocking(candidate.findings) for candidate in candidates) and decision == "INCONCLUSIVE":
        return f"{decision}: no blocking limit judged anything ({'; '.join(parts)}); {ADVICE}."
    return f"{decision}: {'; '.join(parts)}."


def _named(candidate: CandidateVerdict) -> str:
    """The variant; of one that passes under a waiver with a word about that."""
    waived = any(finding.decision == "WAIVED" and finding.severity == "block" for finding in candidate.findings)
    return f"{candidate.variant} (under a waiver)" if waived and candidate.decision == "PASS" else candidate.variant


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


METHOD: tuple[str, ...] = (
    "Every variant was given the same token ids, and every answer is paired with the baseline's answer to the "
    "same item.",
    "A drop is judged as non-inferiority: PASS when the upper one-sided bound of the drop lies below the limit, "
    "FAIL when the lower bound lies above it, otherwise INCONCLUSIVE. “No significant difference” is never "
    "taken for “safe”.",
    "Right-or-wrong metrics: Tango's score bound on the paired flips; with clusters, divided by the design effect. "
    "McNemar's mid-p is shown beside it and decides nothing.",
    "Options that tie count as one over their number. A limit on a loss is INVALID where the baseline has nothing to "
    "lose: the metric's worst value, no more than guessing gives, or one answer for all.",
    "Share of the baseline's score kept: the score test of Nam and Blackwelder for right-or-wrong metrics, "
    "Fieller's theorem for graded ones. A level of its own: Wilson's bounds.",
    "Share of the fine-tuning gain kept, (candidate - base) / (fine-tuned - base): Fieller's set over the same items, "
    "by the score test for right-or-wrong metrics; undefined where the gain's own bound reaches 0.",
    "Graded metrics: paired t; where fewer than 50 items (or clusters, also of right-or-wrong metrics) changed, the "
    "wider of that and Gaffke's bound, which counts with one unseen loss. Perplexity and divergence: the document is "
    "the unit; under 20 documents nothing is decided.",
    "KL divergence is KL(baseline || variant) in nats per scored token over the whole vocabulary.",
    "Speed: adjacent baseline/candidate runs in ABBA order after a discarded warm-up; Hodges–Lehmann estimate of the "
    "ratio with exact signed-rank bounds.",
    "Noise floor: the baseline is asked a part of every task again in other batches. What flips or moves there is "
    "noise; a limit below it is named and decides as any other. Speed: two adjacent runs of the baseline.",
    "A candidate's failed answer counts against it; a failed answer of the baseline makes the comparison INVALID.",
    "A candidate passes when every blocking gate passes, each at its own alpha; a false PASS needs no correction "
    "for several gates. Every limit is another chance to FAIL, so FAILs across tasks and slices get Holm's correction; "
    "one that does not survive it is INCONCLUSIVE.",
    "Which slices moved is an exploratory list (Benjamini and Hochberg) and decides nothing.",
)
