"""The verdict's shape: the one source of every exit code, report and annotation.

Every number a report prints stands here; reports format and never compute. Fractions everywhere
(0.02 is 2 percentage points), seconds, bytes, nats.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator

from harness.records.models import EarlyStop, EngineFacts, Host, MemoryFigures, Model, Name

VERDICT_SCHEMA = 2
"""2: it carries a checksum (`seal.py`)."""
Decision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
"""Of a candidate and of a run."""
FindingDecision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID", "WAIVED"]
"""Of one gate. WAIVED is a FAIL that the suite excuses until a date; nothing else is ever waived."""


InvalidCode = Literal["at_zero", "at_chance", "one_answer", "blind_limit", "candidate_one_answer", "undecided"]
"""Why a limit on a loss shows nothing. The baseline has the metric's worst value on every item; no more than guessing
gives; one answer for all. Or a model that knows nothing would hold the limit; the candidate gives one answer to all;
its best options tie on all."""


def _said(value: object) -> object:
    return None if isinstance(value, float) and math.isinf(value) else value


Bound = Annotated[float | None, BeforeValidator(_said)]
"""None also where nothing bounds the value: one item or document alone has no interval."""


class WaiverUse(Model):
    """One waiver of the suite, and what became of it in this verdict."""

    gate: str
    """As the suite names it: the gate's name, or `task/metric/form`."""
    variant: str
    slice: str | None = None
    workload: str | None = None
    reason: str
    by: str
    until: str
    """ISO date: from this day on, in UTC, it no longer counts."""
    state: Literal["used", "unused", "ended"]
    """`used`: a FAIL is WAIVED by it. `unused`: there was no FAIL to excuse. `ended`: judged on its date or later."""
    says: str
    """In a sentence."""


class GateChange(Model):
    """A gate that is not what it was when the last version was promoted."""

    gate: str
    """`gates[2]` of the suite now; of the promoted run's suite where it was removed."""
    what: Literal["added", "removed", "changed"]
    looser: bool | None
    """Whether the change lets more through; None where that cannot be said."""
    says: str
    """In a sentence: `ask acc: limit 2.00 pp, was 1.00 pp when v12 was promoted`."""


class DriftStep(Model):
    """One version of a series. Harm is positive: a drop, or a perplexity's relative rise."""

    version: str
    """As people call it: the name it was promoted under, or `variant@run`."""
    variant: str
    run: str
    promoted_at: str | None
    """None for the candidate that is being judged."""
    step: Bound
    """Change from the version before; of the first, from the baseline."""
    step_lower: Bound
    step_upper: Bound
    total: Bound
    """Change from the full-precision baseline, paired with it; never a sum of steps."""
    total_lower: Bound
    total_upper: Bound
    n: int


class CumulativeDrift(Model):
    """What the promoted versions and then this candidate lost on one metric, step by step and in all.

    Every step and every total is a paired estimate of its own over the same items; bounds are never chained.
    """

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity"]
    unit: str
    steps: tuple[DriftStep, ...]
    """Oldest first; the last is this candidate."""
    earlier: int = 0
    """Versions of the series before the first one listed."""
    limit: float | None
    """Of the gate against the baseline, where there is one."""
    step_decision: FindingDecision | None = None
    total_decision: FindingDecision | None = None
    starts_anew: str | None = None
    """Why the series does not reach back to the first promoted version."""
    says: str
    """In a sentence."""


class Finding(Model):
    """One gate applied to one variant (and one slice or workload)."""

    gate: str
    """`gates[2]`, and `gates[2] language=de` where a gate looks at several slices or workloads."""
    name: str | None = None
    """The gate's own name in the suite, where it has one."""
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
    p: float | None = None
    """One-sided p of “the limit is not broken”: under alpha where the interval lies beyond the limit. None where
    nothing statistical is claimed (exact values, too few documents or pairs)."""
    p_adjusted: float | None = None
    """Holm's, over the limits of this candidate that are judged together."""
    together: int | None = None
    """How many limits those are."""
    n: int | None
    """Pairs, documents or timed pairs behind the value."""
    unit: str
    decision: FindingDecision
    severity: Literal["block", "warn"]
    against: str
    """Name of what the value is measured from: a variant, `variant@run`, or empty for a plain level."""
    reason: str
    """One sentence with the numbers in it."""
    more_items: int | None = None
    """INCONCLUSIVE: about how many more items would decide, at the rates observed."""
    waiver: WaiverUse | None = None
    """What excuses it, where the decision is WAIVED. `reason` says it too."""
    limit_before: float | None = None
    """The limit when the last version was promoted, where it was another one."""
    code: InvalidCode | None = None
    """INVALID for want of something to lose: why, for programs; None for every other reason."""
    early_alpha: float | None = None
    """A FAIL of a variant that was stopped early: the share of alpha at which the anytime-valid test decided it."""


class Check(Model):
    """One validity check of a comparison. A check that did not hold with `blocks` makes it INVALID."""

    name: str
    held: bool
    blocks: bool
    says: str


class SliceMeasure(Model):
    """One metric on one slice of a task; as in `Measure`."""

    slice: str
    n: int
    baseline: float | None
    candidate: float | None
    change: float | None
    lower: Bound
    upper: Bound
    p: float | None = None
    """Two-sided p of no change."""
    q: float | None = None
    """The same adjusted for looking at every slice of the candidate (Benjamini and Hochberg)."""
    certifies: float | None = None
    """The smallest drop (or relative increase) that this many items certify at 80 % power, at the share of flips seen;
    None where none can be told."""


class MovedSlice(Model):
    """A slice whose change stands out among all slices of a candidate."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity", "divergence"]
    unit: str
    slice: str
    n: int
    change: float
    lower: Bound
    upper: Bound
    p: float
    q: float


class Exploratory(Model):
    """Which slices moved, for people who look for a reason. Decides nothing."""

    slices: int
    """Changes looked at: slices times metrics."""
    level: float
    """Share of the list that is expected to be chance."""
    moved: tuple[MovedSlice, ...]
    """Those with q at most `level`, the smallest q first."""


class Spread(Model):
    """How much the differences of a graded metric vary: what a plan for the next run goes by."""

    error: float
    """Standard error of the mean difference, cluster-robust over clusters."""
    units: int
    """Items, or clusters."""
    changed: int
    """Units that differ from the commonest value."""
    scale: float
    """No difference is larger than this."""


class Measure(Model):
    """One metric of one task, candidate beside baseline."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity", "divergence"]
    unit: str
    higher_is_better: bool
    n: int
    clusters: int | None = None
    design_effect: float | None = None
    """Binary over clusters: cluster-robust over independent variance, at least 1."""
    spread: Spread | None = None
    """Graded metrics; None in verdicts of before this was kept."""
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


class Retained(Model):
    """How much of what fine-tuning gained on one metric a candidate keeps: (candidate - base) / (fine-tuned - base).

    For perplexity and bits per byte it is the share of the fall in negative log-likelihood; `base`, `fine_tuned` and
    `candidate` are the metric's own levels all the same.
    """

    task: str
    metric: str
    unit: str
    n: int
    clusters: int | None = None
    base: float | None = None
    fine_tuned: float | None = None
    candidate: float | None = None
    gain: float | None = None
    """Fine-tuned beyond base, positive is better: fractions, nats a token (perplexity), bits a byte."""
    gain_lower: Bound = None
    gain_upper: Bound = None
    retained: float | None = None
    """A share, 1 for everything; None where it is undefined, and `note` says why."""
    lower: Bound = None
    upper: Bound = None
    note: str | None = None


class BaseModelFacts(Model):
    """The model before fine-tuning."""

    model: str
    """As the suite names it."""
    facts: EngineFacts | None = None
    note: str | None = None
    """Why nothing can be said about what is retained, where that is so for every task."""
    log: str | None = None


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


class Conditions(Model):
    """What a variant was measured with. Figures of two runs are one series only under equal conditions; `weights`
    is no condition but the version itself."""

    weights: str
    quantization: str
    """Canonical JSON of the `quantize` block and what else changes how it runs; empty for none."""
    engine: str
    versions: dict[str, str]
    dtype: str
    device_type: str


class NoiseMeasure(Model):
    """One metric of one task, the baseline's second pass against its first."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "perplexity", "divergence"]
    unit: str
    n: int
    """Items or documents asked twice."""
    value: float
    """What a limit is held against: the share of answers that flip (binary), the mean absolute difference of an item
    (graded), the absolute relative change (perplexity), or the figure itself (divergence)."""
    upper: Bound = None
    """One-sided bound of the share of flips at 1 - alpha; None for the other kinds."""
    flips: int | None = None
    """Binary: answers that changed between right and wrong, either way."""


class NoiseSpeed(Model):
    """One speed metric of the baseline against itself, from its adjacent runs in ABBA order."""

    workload: str
    metric: str
    pairs: int
    spread: float
    """Standard deviation of the logarithm of the ratio of two adjacent runs, 1.4826 times the median absolute one."""


class Noise(Model):
    """The noise floor: what the baseline does against itself in other batches."""

    measures: tuple[NoiseMeasure, ...]
    likelihoods: dict[str, float]
    """Task to the mean absolute difference between the passes in nats: of an option's log-likelihood, or of a
    document's log-likelihood a token."""
    speed: tuple[NoiseSpeed, ...]
    note: str | None = None
    """Why a part of it is missing."""


class CandidateVerdict(Model):
    """Everything about one candidate."""

    variant: str
    decision: Decision
    sentence: str
    """Why, in one sentence."""
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    measures: tuple[Measure, ...]
    retained: tuple[Retained, ...] = ()
    """What is kept of the fine-tuning gain, where the suite names the model before fine-tuning."""
    reference_measures: tuple[Measure, ...] = ()
    """The same metrics paired with the last promoted version (`Verdict.reference`) instead of the baseline."""
    creep: tuple[CumulativeDrift, ...] = ()
    """The loss over the promoted versions, by task and metric; empty where none was promoted."""
    exploratory: Exploratory | None = None
    """None where no task has slices."""
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
    stopped: EarlyStop | None = None
    """Where the run stopped it early, and what that saved."""
    seconds: float | None = None
    log: str | None = None
    environment: str | None = None
    """The environment it ran in; None is quantgate's own."""
    made: str | None = None
    """How quantgate made its checkpoint, in a sentence."""
    conditions: Conditions | None = None
    """None where nothing was evaluated."""


class TaskFacts(Model):
    task: str
    kind: str
    items: int
    tokens: int
    too_long: int
    metrics: tuple[str, ...]
    source: str
    plan: str = ""
    """Hash of every token id, option and limit that was asked; empty in verdicts of before this was kept."""
    definition: str = ""
    """Hash of the task as the suite defined it."""
    data_hash: str | None = None
    """SHA-256 of the data file, where there is one."""
    batching: str = ""
    """How requests were put into batches."""
    notes: tuple[str, ...] = ()
    """What the plan said of its prompts and metrics, each beginning with the task."""


class Verdict(Model):
    """The whole judgement of a run. `decision` follows from the candidates' by the rule in `decided.py`: the worst of
    them (INVALID over FAIL over INCONCLUSIVE over PASS), where any was judged."""

    schema_version: int = VERDICT_SCHEMA
    suite: Name
    run: Name
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
    report_only: bool = False
    """No verdict was asked for (`--report-only`): no gate was applied; `decision` tells at most that it is INVALID."""
    limit: int | None = None
    """At most this many items of each task (`--limit`)."""
    label: str = ""
    """The version as its makers call it (`--label`)."""
    baseline_conditions: Conditions | None = None
    base: BaseModelFacts | None = None
    """The model before fine-tuning, where the suite names one."""
    reference: str | None = None
    """`variant@run` of the last promoted version, where there is one."""
    reference_label: str | None = None
    """What people call that version: the name it was promoted under."""
    gate_changes: tuple[GateChange, ...] = ()
    """Gates that changed since that version was promoted."""
    waivers: tuple[WaiverUse, ...] = ()
    """Every waiver of the suite."""
    noise: Noise | None = None
    """The baseline against itself, where that was measured."""
    method: tuple[str, ...]
    """How it was judged, in plain sentences."""

    @property
    def headline(self) -> str:
        """What stands over a report: the decision, or that none was asked."""
        return "REPORT ONLY" if self.report_only else self.decision

    @property
    def exit_code(self) -> int:
        """0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 INVALID; 0 where no verdict was asked for."""
        if self.report_only:
            return 0
        return {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "INVALID": 12}[self.decision]
