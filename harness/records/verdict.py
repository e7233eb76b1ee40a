"""The verdict's shape: the one source of every exit code, report and annotation.

Every number a report prints stands here; reports format and never compute. Fractions everywhere
(0.02 is 2 percentage points), seconds, bytes, nats.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from harness.records.models import EngineFacts, Host, MemoryFigures, Model

VERDICT_SCHEMA = 1
Decision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]


def _said(value: object) -> object:
    return None if isinstance(value, float) and math.isinf(value) else value


Bound = Annotated[float | None, BeforeValidator(_said)]
"""None also where nothing bounds the value: one item or document alone has no interval."""


class Finding(Model):
    """One gate applied to one variant (and one slice or workload)."""

    gate: str
    """`gates[2]`, and `gates[2] language=de` where a gate looks at several slices or workloads."""
    variant: str
    task: str | None
    metric: str
    slice: str | None = None
    workload: str | None = None
    form: str
    limit: float
    value: Bound
    """What was measured, in the form's own terms: a drop, a ratio, a level."""
    lower: Bound
    upper: Bound
    """One-sided bounds at 1 - alpha each; None where the value is exact or cannot be had."""
    alpha: float
    n: int | None
    """Pairs, documents or timed pairs behind the value."""
    unit: str
    decision: Decision
    severity: Literal["block", "warn"]
    against: str
    """Name of what the value is measured from: a variant, `variant@run`, or empty for a plain level."""
    reason: str
    """One sentence with the numbers in it."""
    more_items: int | None = None
    """INCONCLUSIVE: about how many more items would decide, at the rates observed."""


class Check(Model):
    """One validity check of a comparison. A check that did not hold with `blocks` makes it INVALID."""

    name: str
    held: bool
    blocks: bool
    says: str


class SliceMeasure(Model):
    slice: str
    n: int
    baseline: float | None
    candidate: float | None
    change: float | None
    lower: Bound
    upper: Bound


class Measure(Model):
    """One metric of one task, candidate beside baseline."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity", "divergence"]
    unit: str
    higher_is_better: bool
    n: int
    clusters: int | None = None
    baseline: float | None
    candidate: float | None
    change: float | None
    """Positive is worse: a drop (binary, graded), or the relative increase (perplexity). For divergence the
    candidate's own value."""
    lower: Bound
    upper: Bound
    right_to_wrong: int | None = None
    wrong_to_right: int | None = None
    mcnemar_midp: float | None = None
    failed: int = 0
    """Items the candidate failed on; each counts against it."""
    slices: tuple[SliceMeasure, ...] = ()
    note: str | None = None


class Flip(Model):
    """An item whose outcome changed, with both answers."""

    task: str
    metric: str
    item: str
    direction: Literal["right_to_wrong", "wrong_to_right"]
    slices: dict[str, str]
    prompt: str
    expected: str
    baseline_answer: str
    candidate_answer: str
    baseline_margin: float | None = None
    """Multiple choice: log-likelihood of the best right option minus the best wrong one, in nats."""
    candidate_margin: float | None = None


class Histogram(Model):
    """KL per scored token: counts between logarithmic edges (nats); `below` counts values under the first."""

    task: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int


class SpeedRow(Model):
    """One workload: medians of both sides and the paired ratio (candidate / baseline)."""

    workload: str
    metric: str
    unit: str
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    ratio: float | None
    lower: Bound
    upper: Bound
    pairs: int
    note: str | None = None


class CandidateVerdict(Model):
    """Everything about one candidate."""

    variant: str
    decision: Decision
    sentence: str
    """Why, in one sentence."""
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    measures: tuple[Measure, ...]
    reference_measures: tuple[Measure, ...] = ()
    """The same metrics paired with the last promoted version (`Verdict.reference`) instead of the baseline."""
    flips: tuple[Flip, ...]
    """At most 200 a task, largest change of margin first."""
    flips_total: dict[str, int]
    """Task to number of flips."""
    histograms: tuple[Histogram, ...]
    speed: tuple[SpeedRow, ...]
    memory: MemoryFigures | None
    facts: EngineFacts | None
    quantization: str
    """As the suite said it, for people: `bitsandbytes 4-bit nf4, double quantization`, `bfloat16`."""
    seconds: float | None = None
    log: str | None = None
    environment: str | None = None
    """The environment it ran in; None is quantgate's own."""
    made: str | None = None
    """How quantgate made its checkpoint, in a sentence."""


class TaskFacts(Model):
    task: str
    kind: str
    items: int
    tokens: int
    too_long: int
    metrics: tuple[str, ...]
    source: str


class Verdict(Model):
    """The whole judgement of a run. `decision` is the worst of the candidates' (INVALID over FAIL over
    INCONCLUSIVE over PASS)."""

    schema_version: int = VERDICT_SCHEMA
    suite: str
    run: str
    decision: Decision
    sentence: str
    baseline: str
    baseline_facts: EngineFacts | None
    baseline_memory: MemoryFigures | None
    baseline_checks: tuple[Check, ...]
    baseline_findings: tuple[Finding, ...]
    baseline_measures: dict[str, float]
    """`task/metric` to the baseline's value."""
    candidates: tuple[CandidateVerdict, ...]
    tasks: tuple[TaskFacts, ...]
    host: Host
    quantgate: str
    alpha: float
    started_at: str
    judged_at: str
    elapsed_s: float
    partial: bool = False
    reference: str | None = None
    """`variant@run` of the last promoted version, where there is one."""
    method: tuple[str, ...]
    """How it was judged, in plain sentences."""

    @property
    def exit_code(self) -> int:
        """0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 INVALID."""
        return {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "INVALID": 12}[self.decision]
