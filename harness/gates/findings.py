"""A suite's gates applied to one candidate, or to the baseline: a finding for each sample that a gate looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.sequential_test import chances
from harness.comparison.task_sides import Paired
from harness.forms.base import BASELINE, Judgement
from harness.gates.base_model import base_trouble
from harness.gates.evidence import Evidence, select
from harness.gates.judged import Judged, Rule, judged
from harness.gates.noise_limits import NoiseLimit
from harness.gates.promoted_reference import no_reference, reference_memory, unsound
from harness.metrics.table import lookup
from harness.suite.gate_model import Gate

BASE_MODEL = "the base model"


def rules(
    gates: Sequence[Gate], alpha: float, noise: Mapping[int, NoiseLimit] = MappingProxyType({})
) -> tuple[Rule, ...]:
    """`noise`: the limits that the run measured, by the gates' positions."""
    return tuple(
        Rule(
            position=position,
            gate=gate,
            alpha=gate.alpha if gate.alpha is not None else alpha,
            noise=noise.get(position),
        )
        for position, gate in enumerate(gates)
    )


def candidate_findings(
    all_rules: Sequence[Rule], comparison: Comparison, candidate: CandidateComparison
) -> tuple[Judged, ...]:
    """What the gates that look at this candidate say, before it is judged together."""
    found: list[Judged] = []
    shared = max(1, chances((rule.gate for rule in all_rules), candidate.variant))
    for rule in (replace(each, chances=shared) for each in all_rules):
        gate = rule.gate
        if gate.on == "candidate" and (not gate.variants or candidate.variant in gate.variants):
            found.extend(_of_rule(rule, comparison, candidate))
    return tuple(found)


def baseline_findings(all_rules: Sequence[Rule], comparison: Comparison) -> tuple[Judged, ...]:
    """The same of the gates on the baseline's own level."""
    found: list[Judged] = []
    for rule in all_rules:
        if rule.gate.on == "baseline":
            own = _apply(rule, comparison.baseline, None, variant=comparison.run.baseline)
            found.extend(_with_missing(own, rule, comparison.run.baseline, "", comparison))
    return tuple(found)


def _of_rule(rule: Rule, comparison: Comparison, candidate: CandidateComparison) -> Iterable[Judged]:
    gate, variant = rule.gate, candidate.variant
    if gate.row.looks_at == "base":
        if (trouble := base_trouble(comparison)) is not None:
            named = gate.slice if gate.slice != "each" else None
            return [judged(rule, trouble, variant=variant, against=BASE_MODEL, slice_name=named)]
        return _apply(rule, candidate.paired, candidate, variant=variant, against=BASE_MODEL)
    if gate.against == "reference":
        against = comparison.reference_name or ""
        found = _against_reference(rule, comparison, candidate)
    else:
        against = comparison.run.baseline
        found = _apply(rule, candidate.paired, candidate, variant=variant, against=against)
    return _with_missing(found, rule, variant, against, comparison)


def _against_reference(rule: Rule, comparison: Comparison, candidate: CandidateComparison) -> list[Judged]:
    """Against the last promoted version."""
    version, paired = comparison.reference_version, candidate.reference
    against = version.name if version is not None else ""
    problem = no_reference(comparison, candidate) or unsound(rule.gate, comparison, candidate)
    if problem is not None or version is None or paired is None:
        problem = problem or Judgement.none("nothing to compare with")
        return [judged(rule, problem, variant=candidate.variant, against=against)]
    metric = lookup(rule.gate.metric)
    if metric is not None and metric.kind == "memory" and candidate.speed is not None:
        record = reference_memory(rule.gate, comparison, candidate.speed)
        if isinstance(record, Judgement):
            return [judged(rule, record, variant=candidate.variant, against=against)]
        candidate = replace(candidate, speed=record)
    return _apply(rule, paired, candidate, variant=candidate.variant, against=against, words=version.label)


def _apply(
    rule: Rule,
    paired: Paired,
    candidate: CandidateComparison | None,
    *,
    variant: str,
    against: str = "",
    words: str = BASELINE,
) -> list[Judged]:
    """One finding for each sample. `against`: the name of what a drop is measured from, and `words` for it."""
    gate = rule.gate
    from_ = "" if gate.row.looks_at == "own" else against
    return [
        judged(
            rule,
            _judged(rule, each),
            variant=variant,
            against=from_,
            slice_name=each.slice,
            workload=each.workload,
        )
        for each in select(gate, paired, candidate, against=words, chances=rule.chances)
    ]


def _judged(rule: Rule, evidence: Evidence) -> Judgement:
    judgement = evidence.judge(rule.gate.row, limit=rule.limit, alpha=rule.alpha)
    return judgement if rule.noise is None else rule.noise.applied(judgement)


def _with_missing(
    found: Sequence[Judged], rule: Rule, variant: str, against: str, comparison: Comparison
) -> Sequence[Judged]:
    """The findings, and an INVALID one for each slice of the gate that has no items. A partial run (`--limit`) is not
    compared with an earlier run's slices.
    """
    missing, wanted = comparison.missing_slices.get(rule.gate.task or ""), rule.gate.slice
    if missing is None or wanted is None:
        return found
    why = dict.fromkeys(missing.unasked, "every item of the slice is longer than the model's context")
    if not comparison.run.partial:
        says = (
            f"no item is in it now, though run {missing.before} had some; bring them back, or accept the loss by "
            "promoting a run without them (--force)"
        )
        why |= dict.fromkeys(missing.gone, says)
    lost = [name for name in why if wanted in ("each", name)]
    kept = [each for each in found if each.finding.slice not in (*lost, "each")] if lost else found
    gone = (
        judged(rule, Judgement.invalid(why[name]), variant=variant, against=against, slice_name=name) for name in lost
    )
    return [*kept, *gone]
