"""Findings against the last promoted version, and the loss over all promoted versions. Pure.

Bounds are never chained. Every step and every total is a paired estimate of its own; the gate against the
full-precision baseline is what stops cumulative drift, and this module shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.promoted import Version
from harness.comparison.task_sides import Paired
from harness.forms import FORMS
from harness.forms.base import Judgement
from harness.metrics.row import StoredBytes
from harness.metrics.table import computed_by, is_derived, lookup
from harness.notation import number, percent, points
from harness.records.findings import Finding
from harness.records.measures import CumulativeDrift, DriftStep
from harness.records.timings import SpeedRecord
from harness.samples.documents import DocumentPairs
from harness.samples.measures import ANY_MARGIN, drop_of, increase_of
from harness.samples.pairs import PairedMetric
from harness.suite.gate_model import Gate

Key = tuple[str, str]
"""(task, metric)."""
Estimate = tuple[float, float | None, float | None, int]
"""Change, its one-sided bounds, and how many items or documents it is of."""


# -- findings against the promoted version


def no_reference(comparison: Comparison, candidate: CandidateComparison) -> Judgement | None:
    """Why nothing can be judged against the promoted version; None where it can."""
    version = comparison.reference_version
    if version is None:
        return Judgement.none(
            "no version has been promoted yet; `quantgate promote RUN VARIANT` marks one (the baseline will do for a "
            "start), then run again: what was measured is not measured again"
        )
    return Judgement.invalid(version.gone) if candidate.reference is None else None


def unsound(gate: Gate, comparison: Comparison, candidate: CandidateComparison) -> Judgement | None:
    """Why this gate cannot be judged against the promoted version; None where it can."""
    tasks = gate.weights or (gate.task or "",)
    found = (_unsound(gate.metric, task, comparison, candidate) for task in tasks)
    return next((why for why in found if why is not None), None)


def _unsound(metric: str, task: str, comparison: Comparison, candidate: CandidateComparison) -> Judgement | None:
    """The same of one task."""
    version, paired = comparison.reference_version, candidate.reference
    if version is None or version.found is None or paired is None or task not in comparison.run.tasks:
        return None
    if task in paired.broken:
        partial = comparison.run.partial
        return (Judgement.none if partial else Judgement.invalid)(paired.broken[task])
    if task not in version.found.evaluations:
        return Judgement.none(f"{version.label} was not asked {task}; promote a version that was")
    values = paired.metrics.get((task, metric))
    if values is not None and values.baseline_failed:
        failed = len(values.baseline_failed)
        return Judgement.invalid(
            f"{version.label} itself failed on {failed} of {values.count} items, first {values.baseline_failed[0]!r}"
        )
    return None


def reference_memory(gate: Gate, comparison: Comparison, record: SpeedRecord) -> SpeedRecord | Judgement:
    """The record with the promoted version's figures in the baseline's place; or why they cannot be compared."""
    version, figures = comparison.reference_version, comparison.reference_memory
    label = version.label if version is not None else ""
    if figures is None:
        return Judgement.none(f"the memory of {label} was not measured")
    memory, host = figures
    same = (host, memory.workload) == (record.host.fingerprint, record.memory.workload)
    if not (same or computed_by(StoredBytes)[gate.metric].at_load):
        return Judgement.none(f"{gate.metric} of {label} was measured on another machine or under another workload")
    return record.model_copy(update={"baseline_memory": memory})


# -- the loss over versions


def promoted_steps(comparison: Comparison, *, alpha: float) -> dict[Key, list[DriftStep]]:
    """The steps of the promoted versions of every series, oldest first: the same for every candidate."""
    found: dict[Key, list[DriftStep]] = {}
    for each in comparison.series:
        steps, totals = _estimates(each.step, alpha=alpha), _estimates(each.total, alpha=alpha)
        for key, total in totals.items():
            if key[0] in each.first:
                found[key] = []
            if key in steps:
                version = each.version
                at = version.accepted.promoted_at
                found.setdefault(key, []).append(_step(version.label, each.version, at, steps[key], total))
    return found


def creep(
    comparison: Comparison,
    candidate: CandidateComparison,
    findings: Sequence[Finding],
    before: Mapping[Key, list[DriftStep]],
    *,
    alpha: float,
) -> tuple[CumulativeDrift, ...]:
    """The cumulative drift of the promoted versions and this candidate, by task and metric. Empty where none was
    promoted."""
    version = comparison.reference_version
    if version is None:
        return ()
    totals = _estimates(candidate.paired, alpha=alpha)
    steps = _estimates(candidate.reference, alpha=alpha) if candidate.reference is not None else {}
    earlier = {task: count for each in comparison.series for task, count in each.earlier.items()}
    found = []
    for key, total in totals.items():
        chain = before.get(key, [])
        last = steps.get(key) if chain else total
        if last is None:
            continue
        own = DriftStep(
            version=candidate.variant,
            variant=candidate.variant,
            run=comparison.run.run,
            promoted_at=None,
            **_numbers(last, total),
        )
        found.append(
            _creep(
                comparison,
                candidate.paired,
                key,
                (*chain, own),
                [each for each in findings if (each.task, each.metric, each.slice) == (*key, None)],
                earlier=earlier.get(key[0], 0),
            )
        )
    return tuple(found)


def _creep(
    comparison: Comparison,
    paired: Paired,
    key: Key,
    steps: tuple[DriftStep, ...],
    findings: Sequence[Finding],
    *,
    earlier: int,
) -> CumulativeDrift:
    task, name = key
    metric = paired.metrics.get(key)
    known = lookup(name)
    kind = metric.kind if metric is not None else "perplexity"
    restart = comparison.starts_anew.get(task)
    of_drop = [each for each in findings if each.form in FORMS and FORMS[each.form].accumulates]
    total = next((each for each in of_drop if each.against == comparison.run.baseline), None)
    step = next((each for each in of_drop if each.against == comparison.reference_name), None)
    whole = CumulativeDrift(
        task=task,
        metric=name,
        kind=kind,
        unit=known.unit if known is not None else "",
        steps=steps,
        earlier=earlier,
        limit=total.limit if total is not None else None,
        step_decision=step.decision if step is not None else None,
        total_decision=total.decision if total is not None else None,
        starts_anew=f"a new series starts: {restart}" if restart is not None else None,
        says="",
    )
    return whole.model_copy(update={"says": _says(whole, comparison.run.baseline)})


def _says(creep: CumulativeDrift, baseline: str) -> str:
    """`v1 0.30 pp, v2 0.30 pp, nf4 0.30 pp: 0.90 pp in all against fp32, limit 1.00 pp`."""
    first = f"up to {creep.steps[0].version}" if creep.earlier else creep.steps[0].version
    names = [first, *(step.version for step in creep.steps[1:])]
    changes = ", ".join(f"{name} {_amount(creep, step.step)}" for name, step in zip(names, creep.steps, strict=True))
    says = f"{changes}: {_amount(creep, creep.steps[-1].total)} in all against {baseline}"
    says += f", limit {_amount(creep, creep.limit)}" if creep.limit is not None else ", and no gate limits that"
    if creep.step_decision == "PASS" and creep.total_decision in ("FAIL", "INCONCLUSIVE"):
        says += ": the last step passes, the sum does not"
    return f"{says}; {creep.starts_anew}" if creep.starts_anew is not None else says


def _amount(creep: CumulativeDrift, value: float | None) -> str:
    if value is None:
        return "unknown"
    if creep.kind == "perplexity":
        return percent(value)
    return points(value) if creep.kind == "binary" else number(value)


def _estimates(paired: Paired, *, alpha: float) -> dict[Key, Estimate]:
    """Harm by task and metric: stored per-item metrics, perplexity and bits per byte."""
    found = {
        key: _of_items(metric, alpha=alpha)
        for key, metric in paired.metrics.items()
        if metric.count and not is_derived(metric.metric)
    }
    for task, documents in paired.documents.items():
        if documents.count:
            for row in documents.likelihoods:
                found[task, row.name] = _of_documents(documents, row.name, alpha=alpha)
    return found


def _of_items(metric: PairedMetric, *, alpha: float) -> Estimate:
    drop = drop_of(metric, margin=ANY_MARGIN, alpha=alpha)
    return float(metric.drops.mean()), drop.lower, drop.upper, metric.count


def _of_documents(documents: DocumentPairs, name: str, *, alpha: float) -> Estimate:
    rise = increase_of(documents, name, alpha=alpha)
    return rise.value, rise.lower, rise.upper, rise.n


def _step(label: str, version: Version, promoted_at: str, step: Estimate, total: Estimate) -> DriftStep:
    return DriftStep(
        version=label,
        variant=version.accepted.variant,
        run=version.accepted.run,
        promoted_at=promoted_at,
        **_numbers(step, total),
    )


def _numbers(step: Estimate, total: Estimate) -> dict[str, float | int | None]:
    return {
        "step": step[0],
        "step_lower": step[1],
        "step_upper": step[2],
        "total": total[0],
        "total_lower": total[1],
        "total_upper": total[2],
        "n": total[3],
    }
