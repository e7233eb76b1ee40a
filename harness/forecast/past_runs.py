"""What earlier runs of a suite showed: how much answers change, how much figures spread, how long it took.

Reads stored runs and verdicts, newest last. An unreadable run or verdict is skipped; it never stops a plan.

How long a run takes is estimated from evaluations that this host stored before, never from sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from harness.errors import RecordError
from harness.planning.task_plan import TaskPlan
from harness.records.measures import Measure, Noise, SpeedRow
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.store import Store
from harness.records.timings import SpeedRecord
from harness.records.verdict import CandidateVerdict, Verdict
from harness.stats.decision import normal_quantile, t_quantile
from harness.suite.describe import quantization_words
from harness.suite.models import Suite

RUNS = 20
"""Runs that are looked at, the newest ones."""


@dataclass(frozen=True, kw_only=True)
class PastMeasure:
    """One metric of a like variant in the largest (then newest) run that has it."""

    run: str
    measure: Measure
    alpha: float

    @property
    def error(self) -> float | None:
        """Standard error of the change, of the logarithm for perplexity. Where it was not kept it is from the upper
        bound, too large then where few values changed. None without bounds."""
        measure = self.measure
        if measure.spread is not None:
            return measure.spread.error
        units = measure.clusters or measure.n
        if measure.upper is None or measure.change is None or units < 2:
            return None
        width = measure.upper - measure.change
        if measure.kind in ("perplexity", "ratio"):
            width = math.log1p(measure.upper) - math.log1p(measure.change)
        return width / t_quantile(1 - self.alpha, units - 1)


@dataclass(frozen=True, kw_only=True)
class PastSpeed:
    """One speed metric of a like variant; `error` is the standard error of the ratio's logarithm over `pairs`."""

    run: str
    pairs: int
    error: float


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long one variant took for one task on this host."""

    run: str
    tokens: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PastRuns:
    """Everything that planning uses from earlier runs. Empty where there are none."""

    measures: dict[tuple[str, str, str], PastMeasure] = field(default_factory=dict)
    """(variant, task, metric)."""
    speed: dict[tuple[str, str, str], PastSpeed] = field(default_factory=dict)
    """(variant, workload, metric)."""
    paces: dict[tuple[str, str], Pace] = field(default_factory=dict)
    """(variant, task)."""
    loads: dict[str, float] = field(default_factory=dict)
    """Variant to the seconds one load took."""
    pair_seconds: dict[str, float] = field(default_factory=dict)
    """Variant to the seconds of one timed pair over every workload."""
    levels: dict[str, float] = field(default_factory=dict)
    """`task/metric` to the baseline's value in the newest run that has it."""
    gains: dict[str, float] = field(default_factory=dict)
    """`task/metric` to the upper bound of what fine-tuning gained, in the newest run that has it."""
    noise: Noise | None = None
    """The newest noise floor."""
    noise_run: str | None = None


def history(store: Store, suite: Suite, *, host: str) -> PastRuns:
    """What the last runs of this suite showed. `host`: the fingerprint that times are taken from."""
    found = PastRuns()
    for run, verdict in _runs(store, suite.suite):
        _times(store, run, suite, host, found)
        if verdict is None:
            continue
        found.levels.update(verdict.baseline_measures)
        if verdict.noise is not None:
            found = replace(found, noise=verdict.noise, noise_run=verdict.run)
        for candidate in verdict.candidates:
            for row in candidate.retained:
                if row.gain_upper is not None:
                    found.gains[f"{row.task}/{row.metric}"] = row.gain_upper
            for variant in _like(suite, candidate):
                _figures(variant, candidate, verdict, found)
    return found


def _runs(store: Store, suite: str) -> Iterator[tuple[RunManifest, Verdict | None]]:
    for folder in store.runs(suite)[-RUNS:]:
        try:
            run = store.run(suite, folder.name)
        except RecordError:
            continue
        try:
            yield run, store.verdict(run.suite, run.run)
        except RecordError:
            yield run, None


def _like(suite: Suite, candidate: CandidateVerdict) -> Sequence[str]:
    """The suite's candidates that are quantized as this one was: by their block, by their name where there is none."""
    return [
        name
        for name in suite.candidates
        if quantization_words(suite.variants[name]) == candidate.quantization
        and (name == candidate.variant or suite.variants[name].quantize is not None)
    ]


def _figures(variant: str, candidate: CandidateVerdict, verdict: Verdict, found: PastRuns) -> None:
    for measure in candidate.measures:
        key = variant, measure.task, measure.metric
        known = found.measures.get(key)
        if measure.n and (known is None or measure.n >= known.measure.n):
            found.measures[key] = PastMeasure(run=verdict.run, measure=measure, alpha=verdict.alpha)
    for row in candidate.speed:
        if (error := _spread(row, verdict.alpha)) is not None:
            seen = PastSpeed(run=verdict.run, pairs=row.pairs, error=error)
            found.speed[variant, row.workload, row.metric] = seen


def _spread(row: SpeedRow, alpha: float) -> float | None:
    if row.lower is None or row.upper is None or row.lower <= 0:
        return None
    return math.log(row.upper / row.lower) / (2 * normal_quantile(1 - alpha))


def _times(store: Store, run: RunManifest, suite: Suite, host: str, found: PastRuns) -> None:
    """Seconds of the evaluations that this host computed."""
    for name, variant in run.variants.items():
        if name not in suite.variants:
            continue
        for task, key in variant.evaluations.items():
            try:
                manifest = store.evaluation(key)
            except RecordError:
                continue
            tokens = run.tasks[task].tokens
            if manifest is None or manifest.host.fingerprint != host or tokens == 0:
                continue
            known = found.paces.get((name, task))
            if known is None or tokens >= known.tokens:
                found.paces[name, task] = Pace(run=run.run, tokens=tokens, seconds=manifest.elapsed_s)
            found.loads[name] = manifest.facts.load_s
        if (record := _record(store, variant)) is not None and record.host.fingerprint == host:
            found.pair_seconds[name] = sum(
                (pair.baseline.end_to_end_s + pair.candidate.end_to_end_s) / len(each.pairs)
                for each in record.workloads
                for pair in each.pairs
            )


def _record(store: Store, variant: VariantRun) -> SpeedRecord | None:
    try:
        return store.speed(variant.speed) if variant.speed else None
    except RecordError:
        return None


@dataclass(frozen=True, kw_only=True)
class VariantTime:
    """One variant from nothing: every task, a load, and the timed pairs where it is timed."""

    variant: str
    seconds: float | None
    """None where no task of it can be estimated."""
    rough: bool
    """Part of it is estimated from another variant's pace."""
    unknown: tuple[str, ...]
    """Tasks (and `speed`) without a stored evaluation on this host."""


def durations(suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns) -> tuple[VariantTime, ...]:
    """One row per variant, by tokens per second of the largest stored evaluation of the same variant and task on this
    host; by the slowest other variant where this one has none, which is marked as rough."""
    return tuple(_variant(name, suite, plans, seen) for name in suite.variants)


def _variant(name: str, suite: Suite, plans: Sequence[TaskPlan], seen: PastRuns) -> VariantTime:
    seconds, rough, unknown = 0.0, False, []
    for plan in plans:
        tokens = sum(item.tokens for item in plan.items)
        own = seen.paces.get((name, plan.name))
        others = [each.seconds / each.tokens for (_, task), each in seen.paces.items() if task == plan.name]
        if own is None and not others:
            unknown.append(plan.name)
            continue
        rough = rough or own is None
        seconds += tokens * (own.seconds / own.tokens if own is not None else max(others))
    if suite.speed is not None and name != suite.baseline:
        pair = seen.pair_seconds.get(name)
        rough = rough or (pair is None and bool(seen.pair_seconds))
        pair = max(seen.pair_seconds.values(), default=None) if pair is None else pair
        if pair is None:
            unknown.append("speed")
        else:
            seconds += (suite.speed.pairs + 1) * pair  # one pair to warm up
    seconds += seen.loads.get(name, 0.0)
    known = len(unknown) < len(plans) + (suite.speed is not None and name != suite.baseline)
    return VariantTime(variant=name, seconds=seconds if known else None, rough=rough, unknown=tuple(unknown))
