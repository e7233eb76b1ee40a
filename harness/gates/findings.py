"""One gate applied to one candidate: a finding for each slice or workload it looks at, with its reason in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.sequential_test import chances
from harness.comparison.task_sides import Paired
from harness.gates.forms import judge_documents, judge_memory, judge_paired, judge_speed
from harness.gates.judgement import Judgement
from harness.gates.nothing_to_lose import held_to_floor
from harness.gates.promoted_reference import in_its_words, no_reference, reference_memory, unsound
from harness.gates.retained_gain import base_trouble, judge_retained
from harness.gates.stopped_tasks import judge_part, not_judged
from harness.metrics.row import Kind
from harness.metrics.table import lookup
from harness.notation import listed
from harness.records.findings import Finding
from harness.samples.base_pairs import ThreeWay
from harness.samples.documents import DocumentPairs
from harness.samples.measures import only_documents
from harness.samples.pairs import PairedMetric
from harness.suite.gate_model import Gate

P = TypeVar("P")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A gate with its place in the suite and the alpha it works at."""

    name: str
    gate: Gate
    alpha: float
    together: int = 1
    """Gates that could stop the variant: the early test of each works at its share of alpha."""


def rules(gates: Sequence[Gate], alpha: float) -> tuple[Rule, ...]:
    return tuple(
        Rule(name=f"gates[{index}]", gate=gate, alpha=gate.alpha if gate.alpha is not None else alpha)
        for index, gate in enumerate(gates)
    )


def candidate_findings(
    all_rules: Sequence[Rule], comparison: Comparison, candidate: CandidateComparison
) -> tuple[Finding, ...]:
    """Every finding of the gates that look at this candidate."""
    found: list[Finding] = []
    together = max(1, chances((rule.gate for rule in all_rules), candidate.variant))
    for each in all_rules:
        rule = replace(each, together=together)
        if rule.gate.on == "baseline" or (rule.gate.variants and candidate.variant not in rule.gate.variants):
            continue
        if rule.gate.row.looks_at == "base":
            found.extend(_retained(rule, comparison, candidate))
            continue
        paired, against = candidate.paired, comparison.run.baseline
        if rule.gate.against == "reference":
            own, against = _against_reference(rule, comparison, candidate), comparison.reference_name or ""
        else:
            own = _apply(rule, candidate.variant, against, paired, candidate)
        found.extend(_with_missing(own, rule, candidate.variant, against, comparison))
    return tuple(found)


def _against_reference(rule: Rule, comparison: Comparison, candidate: CandidateComparison) -> list[Finding]:
    """Findings of one gate against the last promoted version."""
    version, paired = comparison.reference_version, candidate.reference
    against = version.name if version is not None else ""
    problem = no_reference(comparison, candidate) or unsound(rule.gate, comparison, candidate)
    if problem is not None or version is None or paired is None:
        return [_finding(rule, candidate.variant, against, problem or Judgement.none("nothing to compare with"), None)]
    metric = lookup(rule.gate.metric)
    if metric is not None and metric.kind == "memory" and candidate.speed is not None:
        beside = reference_memory(rule.gate, comparison, candidate.speed)
        if isinstance(beside, Judgement):
            return [_finding(rule, candidate.variant, against, beside, None)]
        candidate = replace(candidate, speed=beside)
    found = _apply(rule, candidate.variant, against, paired, candidate)
    return [each.model_copy(update={"reason": in_its_words(each.reason, version)}) for each in found]


def baseline_findings(all_rules: Sequence[Rule], comparison: Comparison) -> tuple[Finding, ...]:
    """Findings of the gates on the baseline's own level."""
    found: list[Finding] = []
    for rule in all_rules:
        if rule.gate.on == "baseline":
            own = _apply(rule, comparison.run.baseline, "", comparison.baseline, None)
            found.extend(_with_missing(own, rule, comparison.run.baseline, "", comparison))
    return tuple(found)


def _apply(
    rule: Rule, variant: str, against: str, paired: Paired, candidate: CandidateComparison | None
) -> list[Finding]:
    gate = rule.gate
    metric = lookup(gate.metric)
    kind: Kind = metric.kind if metric is not None else "graded"
    if gate.row.looks_at == "own":
        against = ""
    stop = candidate.run.stopped if candidate is not None else None
    if stop is not None and kind in ("speed", "memory"):
        return [_finding(rule, variant, against, not_judged(stop), None)]
    if kind in ("speed", "memory"):
        return _measured(rule, variant, against, candidate, kind)
    task = gate.task or ""
    if task in paired.broken:
        return [_finding(rule, variant, against, Judgement.invalid(paired.broken[task]), None)]
    named = gate.slice if gate.slice != "each" else None
    if task in paired.parts:
        judgement = judge_part(
            gate, paired.metrics.get((task, gate.metric)), paired.parts[task], alpha=rule.alpha / rule.together
        )
        return [_finding(rule, variant, against, judgement, named)]
    if stop is not None and task not in {*paired.documents, *(name for name, _ in paired.metrics)}:
        return [_finding(rule, variant, against, not_judged(stop), named)]
    if kind in ("perplexity", "divergence"):
        documents = paired.documents.get(task)
        if documents is None:
            return [_finding(rule, variant, against, Judgement.none(f"{task} was not measured in this run"), None)]
        parts: Mapping[str | None, DocumentPairs] = _parts(gate, documents, documents.slices, only_documents)
        return [
            _finding(rule, variant, against, judge_documents(gate, part, alpha=rule.alpha), name)
            for name, part in parts.items()
        ] or [_no_slice(rule, variant, against, tuple(documents.slices))]
    values = paired.metrics.get((task, gate.metric))
    if values is None:
        known = sorted(metric_name for task_name, metric_name in paired.metrics if task_name == task)
        if known:
            judgement = Judgement.invalid(f"{task} has no metric {gate.metric!r}; it has {', '.join(known)}")
        else:
            judgement = Judgement.none(f"{task} was not measured in this run")
        return [_finding(rule, variant, against, judgement, None)]
    slices: Mapping[str | None, PairedMetric] = _parts(gate, values, values.slices, PairedMetric.only)
    return [
        _finding(rule, variant, against, judge_paired(gate, part, alpha=rule.alpha), name)
        for name, part in slices.items()
    ] or [_no_slice(rule, variant, against, tuple(values.slices))]


def _retained(rule: Rule, comparison: Comparison, candidate: CandidateComparison) -> list[Finding]:
    """`min_retained`, from the model before fine-tuning to the baseline."""
    gate, paired, against = rule.gate, candidate.paired, "the base model"
    trouble = base_trouble(comparison)
    task, stop = gate.task or "", candidate.run.stopped
    if trouble is None and stop is not None and task not in candidate.run.evaluations:
        trouble = not_judged(stop)
    if trouble is None and task in paired.broken:
        trouble = Judgement.invalid(paired.broken[task])
    three_way = paired.three_ways.get((task, gate.metric))
    if trouble is not None or three_way is None:
        judgement = trouble or judge_retained(gate, paired, None, alpha=rule.alpha)
        return [_finding(rule, candidate.variant, against, judgement, gate.slice if gate.slice != "each" else None)]
    parts: Mapping[str | None, ThreeWay] = _parts(gate, three_way, three_way.slices, ThreeWay.only)
    values = paired.metrics.get((task, gate.metric))
    judged = {name: judge_retained(gate, paired, part, alpha=rule.alpha) for name, part in parts.items()}
    if values is not None:
        judged = {
            name: held_to_floor(gate, values if name is None else values.only(name), judgement)
            for name, judgement in judged.items()
        }
    return [_finding(rule, candidate.variant, against, judgement, name) for name, judgement in judged.items()] or [
        _no_slice(rule, candidate.variant, against, tuple(three_way.slices))
    ]


def _parts(gate: Gate, whole: P, slices: Mapping[str, object], only: Callable[[P, str], P]) -> dict[str | None, P]:
    """The whole, one slice, or each slice; empty when the named slice does not exist."""
    if gate.slice is None:
        return {None: whole}
    if gate.slice == "each":
        return {name: only(whole, name) for name in slices}
    return {gate.slice: only(whole, gate.slice)} if gate.slice in slices else {}


def _with_missing(
    found: list[Finding], rule: Rule, variant: str, against: str, comparison: Comparison
) -> list[Finding]:
    """The findings, and an INVALID one for each slice the gate looks at that has nobody to judge it by.

    A part of a run (`--limit`) is not held to an earlier run's slices.
    """
    missing, wanted = comparison.missing_slices.get(rule.gate.task or ""), rule.gate.slice
    if missing is None or wanted is None:
        return found
    why = dict.fromkeys(missing.unasked, "every item of the slice is longer than the model's context")
    if not comparison.run.partial:
        says = (
            f"no item lies in it now, though run {missing.before} had some; bring them back, or accept the loss by "
            "promoting a run without them (--force)"
        )
        why |= dict.fromkeys(missing.gone, says)
    lost = [name for name in why if wanted in ("each", name)]
    kept = [finding for finding in found if finding.slice not in (*lost, "each")] if lost else found
    return [*kept, *(_finding(rule, variant, against, Judgement.invalid(why[name]), name) for name in lost)]


def _no_slice(rule: Rule, variant: str, against: str, known: Sequence[str]) -> Finding:
    text = f"no item lies in slice {rule.gate.slice!r}; the task has {listed(tuple(known)) or 'no slices'}"
    return _finding(rule, variant, against, Judgement.invalid(text), rule.gate.slice)


def _why_not(candidate: CandidateComparison | None) -> str:
    facts = candidate.run.facts if candidate is not None else None
    return f": {facts.dequantised}" if facts is not None and facts.dequantised else " in this run"


def _measured(
    rule: Rule, variant: str, against: str, candidate: CandidateComparison | None, kind: Kind
) -> list[Finding]:
    if kind == "speed":
        return _speed(rule, variant, against, candidate)
    return [_finding(rule, variant, against, _memory(rule.gate, candidate), None)]


def _memory(gate: Gate, candidate: CandidateComparison | None) -> Judgement:
    if candidate is None or candidate.speed is None:
        return Judgement.none(f"{gate.metric} was not measured{_why_not(candidate)}")
    return judge_memory(gate, candidate.speed)


def _speed(rule: Rule, variant: str, against: str, candidate: CandidateComparison | None) -> list[Finding]:
    gate = rule.gate
    pairs = [
        each
        for each in (candidate.speed_pairs if candidate is not None else ())
        if each.metric == gate.metric and gate.workload in (None, each.workload)
    ]
    if not pairs:
        judgement = Judgement.none(f"{gate.metric} was not measured{_why_not(candidate)}")
        return [_finding(rule, variant, against, judgement, None)]
    return [
        _finding(rule, variant, against, judge_speed(gate, each, alpha=rule.alpha), None, workload=each.workload)
        for each in pairs
    ]


def _finding(
    rule: Rule,
    variant: str,
    against: str,
    judgement: Judgement,
    slice_name: str | None,
    *,
    workload: str | None = None,
) -> Finding:
    gate = rule.gate
    metric = lookup(gate.metric)
    estimate = judgement.estimate
    detail = slice_name or (workload if workload is not None and gate.workload is None else None)
    return Finding(
        gate=f"{rule.name} {detail}" if detail else rule.name,
        name=gate.name,
        variant=variant,
        task=gate.task,
        metric=gate.metric,
        slice=slice_name,
        workload=workload,
        form=gate.form,
        limit=gate.limit,
        value=estimate.value if estimate else None,
        lower=estimate.lower if estimate else None,
        upper=estimate.upper if estimate else None,
        alpha=rule.alpha,
        p=estimate.p if estimate else None,
        n=estimate.n if estimate else None,
        unit=metric.unit if metric is not None else "",
        decision=judgement.decision,
        severity=gate.severity,
        against=against,
        reason=judgement.reason,
        more_items=judgement.more_items,
        code=judgement.code,
        early_alpha=estimate.early_alpha if estimate else None,
    )
