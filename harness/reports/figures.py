"""What a verdict's findings, measures and notes read like in a report: names, limits, intervals, hints.

Owns which notation a gate's form and a metric's kind have; `harness.notation` writes the numbers.
"""

from __future__ import annotations

import shlex

from harness.forms import FORMS
from harness.notation import Notation, shortened, span
from harness.records.findings import Decision, Finding
from harness.records.measures import CumulativeDrift, Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.safe_text import one_line

_KINDS = {
    "perplexity": Notation.PERCENT,
    "divergence": Notation.LEVEL,
    "speed": Notation.RATIO,
    "memory": Notation.RATIO,
}


def of_form(form: str) -> Notation:
    """How the value, the bounds and the limit of such a gate are written."""
    row = FORMS.get(form)
    return row.notation if row is not None else Notation.LEVEL


def of_kind(kind: str) -> Notation:
    """How a change of such a metric is written."""
    return _KINDS.get(kind, Notation.POINTS)


def in_form(value: float | None, form: str, unit: str) -> str:
    """A finding's value, bound or limit, in the terms of the gate's form."""
    return of_form(form).amount(value, unit)


def limit(finding: Finding) -> str:
    """`drop ≤ 2.00 pp`."""
    return limit_of(finding.form, finding.limit, finding.unit)


def limit_of(form: str, amount: float, unit: str) -> str:
    """As `limit`, from its parts."""
    written = in_form(amount, form, unit)
    return FORMS[form].rule(written) if form in FORMS else f"{form} {written}"


def value(finding: Finding) -> str:
    """What was measured for a gate."""
    return in_form(finding.value, finding.form, finding.unit)


def interval(finding: Finding) -> str:
    """`0.31 … 2.65 pp`, or a dash where the value is exact or has no bounds."""
    return between(finding.lower, finding.upper, finding.form, finding.unit)


def between(lower: float | None, upper: float | None, form: str, unit: str) -> str:
    """Two bounds in the terms of a gate's form."""
    return of_form(form).span(lower, upper, unit)


def gate_name(finding: Finding) -> str:
    """`intents acc, language=de`: what the gate looks at, for people."""
    name = f"{finding.task} {finding.metric}" if finding.task else finding.metric
    return ", ".join([name, *_where(finding)])


def slice_name(name: str) -> str:
    """`language=de` on one line, cut to what a column holds: a value may be any text of the data."""
    return one_line(shortened(name))


def _where(finding: Finding) -> list[str]:
    return [part for part in (finding.slice and slice_name(finding.slice), finding.workload) if part]


def reason(finding: Finding) -> str:
    """The finding's reason with the task, slice or workload in front where the reason does not name them."""
    where = _where(finding)
    starts = (finding.metric, finding.metric.replace("_", " "))
    front = [finding.task] if finding.task and not finding.reason.startswith(finding.task) else []
    if front and not finding.reason.startswith(starts):
        front = [f"{finding.task} {finding.metric}"]
    if not finding.task and not finding.reason.startswith(starts):
        front = [finding.metric]
    place = ", ".join([*front, *where])
    return f"{place}: {finding.reason}" if place else finding.reason


def sentence(verdict: Verdict) -> str:
    """The verdict's sentence without the decision in front, for places that show the decision beside it."""
    return verdict.sentence.removeprefix(f"{verdict.decision}: ")


def candidate_word(verdict: Verdict, decision: Decision) -> str:
    """A candidate's decision; where no verdict was asked for, at most that it is INVALID."""
    return "not judged" if verdict.report_only and decision != "INVALID" else decision


def explain_command(verdict: Verdict, finding: Finding) -> str:
    """What shows how a finding came about."""
    place = finding.gate.split(" ", 1)[0].removeprefix("gates[").removesuffix("]")
    parts = ["quantgate", "explain", verdict.run, place, "--variant", finding.variant]
    if finding.slice is not None:
        parts += ["--slice", finding.slice]
    return shlex.join(parts)


def explain_hint(verdict: Verdict) -> str:
    """For whoever is told FAIL or INCONCLUSIVE: the command that explains the first finding that says so."""
    every = (*verdict.baseline_findings, *(finding for each in verdict.candidates for finding in each.findings))
    undecided = [finding for finding in every if finding.decision in ("FAIL", "INCONCLUSIVE") and finding.n is not None]
    undecided.sort(key=lambda finding: (finding.severity == "warn", finding.decision != "FAIL"))
    return f"why: {explain_command(verdict, undecided[0])}" if undecided else ""


def task_notes(verdict: Verdict) -> tuple[str, ...]:
    """What the plan said of the tasks' prompts and metrics."""
    return tuple(note for task in verdict.tasks for note in task.notes)


def waiver_notes(verdict: Verdict) -> tuple[str, ...]:
    """Waivers that excuse nothing: unused ones, and those whose day has come."""
    return tuple(each.says for each in verdict.waivers if each.state != "used")


def change_notes(verdict: Verdict) -> tuple[str, ...]:
    """Gates that are not what they were when the last version was promoted; what lets more through says so."""
    return tuple(
        f"{'looser' if each.looser else 'tighter' if each.looser is False else 'changed'} gate: {each.says}"
        for each in verdict.gate_changes
    )


def creep_notes(candidate: CandidateVerdict) -> tuple[str, ...]:
    """The loss over versions on every gated metric, in a sentence each."""
    return tuple(
        f"{each.task} {each.metric} over versions: {each.says}"
        for each in candidate.creep
        if each.limit is not None or each.step_decision is not None
    )


def creep_value(creep: CumulativeDrift, value: float | None) -> str:
    """A step, a total, a bound or the limit of a series."""
    return of_kind(creep.kind).amount(value, creep.unit or _no_unit(creep))


def _no_unit(creep: CumulativeDrift) -> str:
    """Metrics that only lm-eval knows have no unit in our table; one of zeros and ones is a fraction."""
    return "fraction" if creep.kind == "binary" else ""


def creep_interval(creep: CumulativeDrift, lower: float | None, upper: float | None) -> str:
    """Both bounds of a step or a total."""
    return span(creep_value(creep, lower), creep_value(creep, upper))


def limit_before(finding: Finding) -> str:
    """`1.00 pp`: what the limit was when the last version was promoted."""
    return in_form(finding.limit_before, finding.form, finding.unit)


def change(measure: Measure, amount: float | None) -> str:
    """A change (or one of its bounds) of this measure."""
    return of_kind(measure.kind).amount(amount, measure.unit)


def change_interval(measure: Measure) -> str:
    """Bounds of the measure's change."""
    return of_kind(measure.kind).span(measure.lower, measure.upper, measure.unit)


def speed_interval(row: SpeedRow) -> str:
    """Bounds of the ratio."""
    return Notation.RATIO.span(row.lower, row.upper, row.unit)
