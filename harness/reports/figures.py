"""How numbers are written. Owns units and digits; the notation is that of the gate's reasons.

Takes fractions, seconds, bytes and nats. A missing value is `NONE`, never a zero.
"""

from __future__ import annotations

import shlex

from harness.records.findings import Decision, Finding
from harness.records.measures import CumulativeDrift, Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.safe_text import one_line

NONE = "not available"
DASH = "–"
LONGEST_SLICE = 60
"""Characters of a slice's name that are shown."""

_SYMBOLS = {
    "max_drop": "drop ≤ ",
    "max_relative_drop": "relative drop ≤ ",
    "min_recovery": "recovery ≥ ",
    "min_retained": "retained ≥ ",
    "max_increase": "increase ≤ ",
    "min": "≥ ",
    "max": "≤ ",
    "min_ratio": "ratio ≥ ",
    "max_ratio": "ratio ≤ ",
}


def points(value: float) -> str:
    """A difference of fractions in percentage points: `1.25 pp`."""
    return f"{100 * value:.2f} pp"


def percent(value: float) -> str:
    """A share or a relative change: `2.30 %`."""
    return f"{100 * value:.2f} %" if abs(value) < 0.1 else f"{100 * value:.1f} %"


def ratio(value: float) -> str:
    """`0.350 ×`."""
    return f"{value:.3f} ×" if value < 10 else f"{value:.1f} ×"


def byte_size(value: float) -> str:
    """Decimal units: `269 MB`."""
    for size, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:.0f} {name}" if value >= 100 * size else f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


def number(value: float) -> str:
    """Four significant digits, thousands with separators."""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def level(value: float | None, unit: str) -> str:
    """A level in its unit, with as many digits as people read."""
    if value is None:
        return DASH
    if unit == "fraction":
        return f"{100 * value:.1f} %"
    if unit == "B":
        return byte_size(value)
    if unit == "s":
        return f"{1000 * value:.1f} ms" if abs(value) < 1 else f"{value:.2f} s"
    return f"{number(value)} {unit}".strip()


def in_form(value: float | None, form: str, unit: str) -> str:
    """A finding's value, bound or limit, in the terms of the gate's form."""
    if value is None:
        return DASH
    if form == "max_drop":
        return points(value) if unit in ("fraction", "pp") else level(value, unit)
    if form in ("max_relative_drop", "min_recovery", "min_retained", "max_increase"):
        return percent(value)
    if form in ("min_ratio", "max_ratio"):
        return ratio(value)
    return level(value, unit)


def limit(finding: Finding) -> str:
    """`drop ≤ 2.00 pp`."""
    return limit_of(finding.form, finding.limit, finding.unit)


def limit_of(form: str, amount: float, unit: str) -> str:
    """As `limit`, from its parts."""
    return _SYMBOLS.get(form, f"{form} ") + in_form(amount, form, unit)


def value(finding: Finding) -> str:
    """What was measured for a gate."""
    return in_form(finding.value, finding.form, finding.unit)


def interval(finding: Finding) -> str:
    """`0.31 … 2.65 pp`, or a dash where the value is exact or has no bounds."""
    return between(finding.lower, finding.upper, finding.form, finding.unit)


def between(lower: float | None, upper: float | None, form: str, unit: str) -> str:
    """Two bounds in the terms of a gate's form."""
    return _span(in_form(lower, form, unit), in_form(upper, form, unit))


def _span(lower: str, upper: str) -> str:
    """Both bounds, a unit they share written once."""
    if DASH in (lower, upper):
        return DASH
    number, _, unit = lower.rpartition(" ")
    return f"{number} … {upper}" if number and upper.endswith(f" {unit}") else f"{lower} … {upper}"


def gate_name(finding: Finding) -> str:
    """`intents acc, language=de`: what the gate looks at, for people."""
    name = f"{finding.task} {finding.metric}" if finding.task else finding.metric
    return ", ".join([name, *_where(finding)])


def slice_name(name: str) -> str:
    """`language=de` on one line, cut to what a column holds: a value may be any text of the data."""
    return one_line(name if len(name) <= LONGEST_SLICE else f"{name[: LONGEST_SLICE - 1]}…")


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
    return in_form(value, {"perplexity": "max_increase"}.get(creep.kind, "max_drop"), creep.unit or _no_unit(creep))


def _no_unit(creep: CumulativeDrift) -> str:
    """Metrics that only lm-eval knows have no unit in our table; one of zeros and ones is a fraction."""
    return "fraction" if creep.kind == "binary" else ""


def creep_interval(creep: CumulativeDrift, lower: float | None, upper: float | None) -> str:
    """Both bounds of a step or a total."""
    return _span(creep_value(creep, lower), creep_value(creep, upper))


def limit_before(finding: Finding) -> str:
    """`1.00 pp`: what the limit was when the last version was promoted."""
    return in_form(finding.limit_before, finding.form, finding.unit)


def measure_form(measure: Measure) -> str:
    """The form in whose terms a measure's change is written."""
    return form_of(measure.kind)


def form_of(kind: str) -> str:
    """The form in whose terms a change of such a measure is written."""
    return {"perplexity": "max_increase", "divergence": "max"}.get(kind, "max_drop")


def change(measure: Measure, amount: float | None) -> str:
    """A change (or one of its bounds) of this measure."""
    return in_form(amount, measure_form(measure), measure.unit)


def change_interval(measure: Measure) -> str:
    """Bounds of the measure's change."""
    return _span(change(measure, measure.lower), change(measure, measure.upper))


def speed_interval(row: SpeedRow) -> str:
    """Bounds of the ratio."""
    if row.lower is None or row.upper is None:
        return DASH
    return _span(ratio(row.lower), ratio(row.upper))


def seconds(amount: float | None) -> str:
    """`48 s`, `3 min 05 s`."""
    if amount is None:
        return DASH
    if amount < 60:
        return f"{amount:.0f} s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
