"""What reports say of a finding, a measure or a candidate in a few words. Formats and computes nothing.

Numbers and units come from `harness.notation`; how a gate form writes its amounts, from the form's row.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.metrics.row import Headline, Kind, Metric, StoredBytes
from harness.metrics.table import of_kind
from harness.notation import Notation, level, shortened
from harness.records.findings import Decision, Finding
from harness.records.measures import Measure, SpeedRow
from harness.records.verdict import CandidateVerdict, Verdict
from harness.shown import one_line

if TYPE_CHECKING:
    from harness.forms import Form

_CHANGES = {
    "ratio": Notation.PERCENT,
    "perplexity": Notation.PERCENT,
    "divergence": Notation.LEVEL,
    "speed": Notation.RATIO,
    "memory": Notation.RATIO,
}


def _form(key: str) -> Form | None:
    """None for one that this version does not know."""
    from harness.forms import FORMS  # a history needs none of them, and starts without

    return FORMS.get(key)


def change_of(kind: str) -> Notation:
    """How a change of such a metric is written."""
    return _CHANGES.get(kind, Notation.POINTS)


def notation(finding: Finding) -> Notation:
    """How its gate's form writes values, bounds and limits."""
    form = _form(finding.form)
    return Notation.LEVEL if form is None else form.notation


def neutral(finding: Finding) -> float:
    """Where nothing changed."""
    form = _form(finding.form)
    return 0.0 if form is None else form.neutral or 0.0


def limit(finding: Finding) -> str:
    """`drop ≤ 2.00 pp`."""
    return limit_of(finding.form, finding.limit, finding.unit)


def limit_of(key: str, amount: float, unit: str) -> str:
    """As `limit`, from its parts; a form that this version does not know is named as it is."""
    form = _form(key)
    if form is None:
        return f"{key} {level(amount, unit)}"
    return form.rule(form.notation.amount(amount, unit))


def value(finding: Finding, amount: float | None) -> str:
    """What was measured for a gate, a bound or a limit of it."""
    return notation(finding).amount(amount, finding.unit)


def interval(finding: Finding) -> str:
    """`0.31 … 2.65 pp`, or a dash where the value is exact or has no bounds."""
    return notation(finding).span(finding.lower, finding.upper, finding.unit)


def is_loss(finding: Finding) -> bool:
    """Whether a gate looks at a loss of quality, or at what is kept: not at a level, and not at a cost's ratio."""
    form = _form(finding.form)
    return form is not None and form.neutral is not None and form.notation is not Notation.RATIO


def change(measure: Measure, amount: float | None) -> str:
    """A change (or one of its bounds) of this measure; a divergence is a level and has none."""
    return change_of(measure.kind).amount(amount, measure.unit)


def change_interval(measure: Measure) -> str:
    """Bounds of the measure's change."""
    return change_of(measure.kind).span(measure.lower, measure.upper, measure.unit)


def is_of_base(finding: Finding) -> bool:
    """Whether a gate looks at what is kept of fine-tuning, and not at a loss against the baseline."""
    form = _form(finding.form)
    return form is not None and form.looks_at == "base"


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
    starts = (finding.metric, finding.metric.replace("_", " "))
    front = [finding.task] if finding.task and not finding.reason.startswith(finding.task) else []
    if front and not finding.reason.startswith(starts):
        front = [f"{finding.task} {finding.metric}"]
    if not finding.task and not finding.reason.startswith(starts):
        front = [finding.metric]
    place = ", ".join([*front, *_where(finding)])
    return f"{place}: {finding.reason}" if place else finding.reason


def sides(verdict: Verdict) -> Iterator[tuple[str, CandidateVerdict | None]]:
    """The baseline as `fp32 (baseline)`, then every candidate by its name."""
    yield f"{verdict.baseline} (baseline)", None
    yield from ((each.variant, each) for each in verdict.candidates)


def decision_word(verdict: Verdict, decision: Decision) -> str:
    """A candidate's decision; where no verdict was asked for, at most that it is INVALID."""
    return "not judged" if verdict.report_only and decision != "INVALID" else decision


def explain_command(verdict: Verdict, finding: Finding) -> str:
    """The command that explains a finding."""
    parts = ["quantgate", "explain", verdict.run, str(finding.position), "--variant", finding.variant]
    if finding.slice is not None:
        parts += ["--slice", finding.slice]
    return shlex.join(parts)


def measure_of(candidate: CandidateVerdict, task: str, metric: str) -> Measure | None:
    """The candidate's measure of this task and metric."""
    return next((m for m in candidate.measures if (m.task, m.metric) == (task, metric)), None)


def in_overview(*kinds: Kind) -> Iterator[tuple[Metric, Headline]]:
    """The metrics of these kinds that have a column of their own among the figures a person wants first."""
    yield from ((row, row.headline) for row in of_kind(*kinds) if row.headline is not None)


def speed_row(candidate: CandidateVerdict, metric: str | None = None) -> SpeedRow | None:
    """A speed against the baseline, first workload: by default the first that has a column of its own."""
    name = metric or next(row.name for row, _ in in_overview("speed"))
    rows = (row for row in candidate.speed if row.metric == name)
    return next((row for row in rows if row.ratio is not None), None)


def bytes_of(verdict: Verdict, candidate: CandidateVerdict | None = None, metric: Metric | None = None) -> int | None:
    """Memory of a candidate, or of the baseline: by default the first figure that has a column of its own."""
    stored = (metric or next(row for row, _ in in_overview("memory"))).computed
    if not isinstance(stored, StoredBytes):
        return None
    memory = candidate.memory if candidate is not None else verdict.baseline_memory
    facts = candidate.facts if candidate is not None else verdict.baseline_facts
    found: int | None = getattr(memory, stored.field, None)
    return getattr(facts, stored.field, None) if found is None and stored.at_load else found


def counted(items: int, clusters: int | None) -> str:
    """`900`, `900 in 60`."""
    return f"{items:,} in {clusters:,}" if clusters else f"{items:,}"
