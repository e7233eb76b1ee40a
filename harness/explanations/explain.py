"""A finding into its explanation: what was counted, the formula with the numbers in it, what would change it.

The decision, bounds and reason are the finding's own, as verdict.json has them. The steps come from the functions that
judged. Where the data no longer give those bounds, or this version does not know the form, a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.explanations.drops import explain_drop
from harness.explanations.evidence import (
    Documents,
    Evidence,
    Items,
    Memory,
    Speed,
    Stopped,
    TaskPairs,
    ThreeWays,
    UnexplainedError,
    gather,
    reading,
)
from harness.explanations.inputs import (
    changed_items,
    commands_of,
    documents_table,
    flips_of,
    places_of,
    three_ways_table,
)
from harness.explanations.likelihoods import explain_divergence, explain_increase, explain_likelihood
from harness.explanations.measured import explain_memory, explain_speed, pairs_table
from harness.explanations.retained_steps import explain_retained
from harness.explanations.shapes import Change, Condition, Explanation, Section, Table
from harness.explanations.shares import explain_level, explain_recovery
from harness.explanations.stopped_steps import early_changes, early_conditions, early_tables, explain_early
from harness.explanations.what_if import changes
from harness.forms.base import Judgement
from harness.metrics.table import lookup
from harness.notation import in_formula
from harness.records.findings import Finding
from harness.records.run_manifest import RunManifest
from harness.records.store import Store
from harness.samples.pairs import PairingError

SAME = 1e-9
"""Bounds that differ by less are the same computation on another machine."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How much of the inputs an explanation lists."""

    flips: int = 10
    results: str = "results"
    """As a person names the folder, for the commands."""


def explain_findings(
    store: Store, run: RunManifest, findings: Iterable[Finding], shown: Shown
) -> tuple[Explanation, ...]:
    """One explanation each; what cannot be shown is a note. Raises `RecordError` for damaged records."""
    paired = reading(store, run)
    return tuple(_explained(store, run, finding, shown, paired) for finding in findings)


def _explained(store: Store, run: RunManifest, finding: Finding, shown: Shown, paired: TaskPairs) -> Explanation:
    if finding.n is None:  # no estimate: not measured, not sound, no promoted version
        return _explanation(run, finding)
    try:
        evidence = gather(store, run, finding, paired)
        judged = evidence.judge(finding.limit, finding.alpha)
    except (ValueError, KeyError, PairingError, UnexplainedError) as error:
        note = f"there is no computation to show: {_says(error)}"
        return _explanation(run, finding, notes=(note,) if _says(error) not in finding.reason else ())
    if judged.estimate is None:
        return _explanation(
            run, finding, places=places_of(evidence, run), commands=commands_of(evidence, run, shown.results),
            notes=("nothing was computed: the reason says why",),
        )  # fmt: skip
    method, sections = _steps(evidence)
    flips, total = flips_of(evidence, most=shown.flips)
    return _explanation(
        run,
        finding,
        method=method,
        sections=sections,
        conditions=_rule(evidence, judged),
        changes=_changes(evidence),
        flips=flips,
        flips_total=total,
        tables=_tables(evidence, shown.flips),
        places=places_of(evidence, run),
        commands=commands_of(evidence, run, shown.results),
        notes=_notes(finding, judged),
    )


def _rule(evidence: Evidence, judged: Judgement) -> tuple[Condition, ...]:
    if isinstance(evidence.data, Stopped):
        return early_conditions(evidence.data, limit=evidence.finding.limit)
    return _conditions(evidence.finding, judged)


def _changes(evidence: Evidence) -> tuple[Change, ...]:
    if isinstance(evidence.data, Stopped):
        return early_changes(evidence, evidence.data)
    return changes(evidence)


def _says(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _explanation(
    run: RunManifest,
    finding: Finding,
    *,
    method: str = "",
    sections: tuple[Section, ...] = (),
    conditions: tuple[Condition, ...] = (),
    **rest: object,
) -> Explanation:
    """The finding's own words and numbers, and the rest."""
    values: dict[str, object] = {
        "changes": (), "flips": (), "flips_total": None, "tables": (), "places": (), "commands": (), "notes": (),
        **rest,
    }  # fmt: skip
    return Explanation(
        suite=run.suite,
        run=run.run,
        gate=finding.gate,
        name=finding.name,
        variant=finding.variant,
        against=finding.against,
        task=finding.task,
        metric=finding.metric,
        slice=finding.slice,
        workload=finding.workload,
        form=finding.form,
        limit=finding.limit,
        alpha=finding.alpha,
        n=finding.n,
        value=finding.value,
        lower=finding.lower,
        upper=finding.upper,
        unit=finding.unit,
        decision=finding.decision,
        severity=finding.severity,
        reason=finding.reason,
        method=method,
        sections=sections,
        conditions=conditions,
        **values,  # type: ignore[arg-type]
    )


def _steps(evidence: Evidence) -> tuple[str, tuple[Section, ...]]:
    """Method and steps, by what was judged and the gate's form."""
    data, finding = evidence.data, evidence.finding
    form, limit, alpha = finding.form, finding.limit, finding.alpha
    match data:
        case Speed():
            return explain_speed(data.pairs, on_ratio=form in ("min_ratio", "max_ratio"), alpha=alpha)
        case Memory():
            return explain_memory(data.record, finding)
        case Documents():
            if form == "max_increase":
                return explain_increase(data.documents, finding.metric, alpha=alpha)
            known = lookup(finding.metric)
            if known is not None and known.kind == "divergence":
                return explain_divergence(data.documents, finding.metric, alpha=alpha)
            return explain_likelihood(data.documents, finding.metric, alpha=alpha)
        case ThreeWays():
            return explain_retained(data.three_way, limit=limit, alpha=alpha)
        case Stopped():
            return explain_early(data, limit=limit, alpha=alpha)
        case Items():
            if form == "max_drop":
                return explain_drop(data.metric, limit=limit, alpha=alpha)
            if form in ("min", "max"):
                return explain_level(data.metric, alpha=alpha)
            if form in ("min_recovery", "max_relative_drop"):
                return explain_recovery(data.metric, form=form, limit=limit, alpha=alpha)
    return "", ()


def _tables(evidence: Evidence, most: int) -> tuple[Table, ...]:
    data = evidence.data
    match data:
        case Speed():
            return (pairs_table(data.pairs, data.record),)
        case Documents():
            return (documents_table(data, evidence.finding, most=most),)
        case ThreeWays() if data.three_way.kind != "binary":
            return (three_ways_table(data, evidence.finding, most=most),)
        case Stopped():
            return early_tables(data, limit=evidence.finding.limit, most=most)
        case Items() if data.metric.kind == "graded" and data.sides[0] is not data.sides[1]:
            return (changed_items(data, most=most),)
    return ()


def _conditions(finding: Finding, judged: Judgement) -> tuple[Condition, ...]:
    """The decision rule with the numbers in it: PASS and FAIL; where neither holds it is INCONCLUSIVE."""
    estimate = judged.estimate
    if estimate is None:
        return ()
    value, limit, ceiling = estimate.value, finding.limit, finding.form.startswith("max")
    if estimate.lower is None or estimate.upper is None:
        sign, broken = ("≤", ">") if ceiling else ("≥", "<")
        holds = value <= limit if ceiling else value >= limit
        return (
            _condition("PASS", f"value {sign} limit", f"{in_formula(value)} {sign} {in_formula(limit)}", holds),
            _condition("FAIL", f"value {broken} limit", f"{in_formula(value)} {broken} {in_formula(limit)}", not holds),
        )
    lower, upper = estimate.lower, estimate.upper
    enough = "" if estimate.reliable else f", but {estimate.why_unreliable}"
    if ceiling:
        good, bad = ("U < limit", upper, "<", upper < limit), ("L > limit", lower, ">", lower > limit)
    else:
        good, bad = ("L > limit", lower, ">", lower > limit), ("U < limit", upper, "<", upper < limit)
    return tuple(
        _condition(gives, rule, f"{in_formula(bound)} {sign} {in_formula(limit)}{enough}", holds and estimate.reliable)
        for gives, (rule, bound, sign, holds) in (("PASS", good), ("FAIL", bad))
    )


def _condition(gives: str, rule: str, numbers: str, holds: bool) -> Condition:
    decision: Literal["PASS", "FAIL"] = "PASS" if gives == "PASS" else "FAIL"
    return Condition(gives=decision, rule=f"{gives} if {rule}", numbers=numbers, holds=holds)


def _notes(finding: Finding, judged: Judgement) -> tuple[str, ...]:
    notes = []
    if finding.items == "clean":
        notes.append(
            "without the items that share text with the calibration data (run.json: calibration[].copied_items)"
        )
    if finding.form == "max_relative_drop":
        notes.append("the steps are in shares kept, r; the gate's value and bounds are 1 − r, the limit too")
    estimate = judged.estimate
    if estimate is not None:
        ours = (estimate.value, estimate.lower, estimate.upper)
        theirs = (finding.value, finding.lower, finding.upper)
        if not all(_same(left, right) for left, right in zip(ours, theirs, strict=True)):
            notes.append(
                "the records now give other bounds than verdict.json has: it was judged by another version of "
                "quantgate; `quantgate gate RUN` judges again"
            )
        elif finding.waiver is not None and judged.decision == "FAIL":
            notes.append(f"it is a FAIL that the suite excuses: {finding.waiver.says}")
        elif judged.decision != finding.decision:
            notes.append(
                f"by this rule alone it would be {judged.decision}; the verdict's reason says what else counted"
            )
    return tuple(notes)


def _same(left: float | None, right: float | None) -> bool:
    """Infinite is stored as None."""
    a, b = (None if each is None or math.isinf(each) else each for each in (left, right))
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
