"""Stored measurements of a candidate, apart from gates: levels, changes, slices, flips, speed, the noise floor.

Fractions everywhere (0.02 is 2 percentage points), seconds, bytes, nats. Nothing here decides.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.records.findings import Bound, FindingDecision
from harness.records.model import Model


class DriftStep(Model):
    """One version of a series. Harm is positive: a drop, or a perplexity's relative rise."""

    version: str
    """Its display name: the name it was promoted under, or `variant@run`."""
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
None where there is none."""


class MovedSlice(Model):
    """A slice whose change is significant among all slices of a candidate."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "ratio", "corpus", "perplexity", "divergence"]
    unit: str
    slice: str
    n: int
    change: float
    lower: Bound
    upper: Bound
    p: float
    q: float


class Exploratory(Model):
    """Which slices moved, for people investigating a change. Decides nothing."""

    slices: int
    """Changes looked at: slices times metrics."""
    level: float
    """Share of the list that is expected to be chance."""
    moved: tuple[MovedSlice, ...]
    """Those with q at most `level`, the smallest q first."""


class Spread(Model):
    """Spread of the differences of a graded metric, which plans the next run."""

    error: float
    """Standard error of the mean difference, cluster-robust over clusters."""
    units: int
    """Items, or clusters."""
    changed: int
    """Units that differ from the commonest value."""
    scale: float
    """No difference is larger than this."""
    answers: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    """To each item, where there are several; then `within` is the mean variance of the difference of two answers."""
    within: Annotated[float | None, Field(exclude_if=lambda value: value is None)] = None


class Measure(Model):
    """One metric of one task, for candidate and baseline."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "ratio", "corpus", "perplexity", "divergence"]
    unit: str
    higher_is_better: bool
    n: int
    clusters: int | None = None
    design_effect: float | None = None
    """Binary over clusters: cluster-robust over independent variance, at least 1."""
    spread: Spread | None = None
    """Graded metrics; None in verdicts from before it was stored."""
    baseline: float | None
    candidate: float | None
    change: float | None
    """Positive is worse: a drop (binary, graded), or the relative increase (perplexity). Of a ratio the relative
    change, whichever way is worse. For divergence the candidate's own value."""
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
    """Fine-tuned beyond base, positive is better: fractions, nats per token (perplexity), bits per byte."""
    gain_lower: Bound = None
    gain_upper: Bound = None
    retained: float | None = None
    """A share, 1 for everything; None where it is undefined, and `note` says why."""
    lower: Bound = None
    upper: Bound = None
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


class DivergentToken(Model):
    """A token at which the candidate's distribution is far from the baseline's. Texts are foreign, and None where an
    earlier version stored none."""

    item: str
    place: int
    """Among the document's scored tokens, from 0."""
    kl: float
    share: float
    """Of the KL summed over all tokens of the task."""
    delta_p: float | None = None
    before: str | None = None
    text: str | None = None
    baseline_top: str | None = None
    top: str | None = None
    """What the baseline and the candidate find most likely there."""


class DivergentTokens(Model):
    """The most divergent tokens of a task, the highest KL first."""

    task: str
    tokens: int
    """Scored tokens of the task."""
    few: int | None = None
    """So few tokens carry much of the mean KL; None where no few do."""
    carried: float | None = None
    """What share of it they carry."""
    most: tuple[DivergentToken, ...]


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


class NoiseMeasure(Model):
    """One metric of one task, the baseline's second pass against its first."""

    task: str
    metric: str
    kind: Literal["binary", "graded", "ratio", "corpus", "perplexity", "divergence"]
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
    """The noise floor: the baseline against itself in other batches."""

    measures: tuple[NoiseMeasure, ...]
    likelihoods: dict[str, float]
    """Task to the mean absolute difference between the passes in nats: of an option's log-likelihood, or of a
    document's log-likelihood a token."""
    speed: tuple[NoiseSpeed, ...]
    note: str | None = None
    """Why a part of it is missing."""
