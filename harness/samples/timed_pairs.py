"""Speed from timed pairs: per-run figures, per-pair ratios (candidate / baseline), and the rows of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.metrics.table import METRICS
from harness.records.columns import Floats
from harness.records.evaluation_manifest import EngineFacts
from harness.records.measures import SpeedRow
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.timings import MemoryFigures, SpeedRecord, TimingSample, WorkloadTimes
from harness.stats import speed_ratio

TOKENS_FOR_P99 = 1000
"""Fewer inter-token gaps than this say nothing about a 99th percentile."""


@dataclass(frozen=True, kw_only=True)
class SpeedPairs:
    """One speed metric of one workload: values of both sides per pair, [pairs]."""

    workload: str
    metric: str
    baseline: Floats
    candidate: Floats
    note: str | None = None

    @property
    def ratios(self) -> Floats:
        ratios: Floats = self.candidate / self.baseline
        return ratios


def _figure(metric: str, workload: WorkloadTimes) -> Callable[[TimingSample], float]:
    """How one run of the workload gives the metric's value."""
    batch, prompt, new = workload.batch, workload.prompt_tokens, workload.new_tokens
    figures: dict[str, Callable[[TimingSample], float]] = {
        "prefill_tokens_per_s": lambda run: batch * prompt / run.ttft_s,
        "decode_tokens_per_s": lambda run: batch * (new - 1) / (run.end_to_end_s - run.ttft_s),
        "ttft_s": lambda run: run.ttft_s,
        "inter_token_p50_s": lambda run: float(np.quantile(run.inter_token_s, 0.50)),
        "inter_token_p95_s": lambda run: float(np.quantile(run.inter_token_s, 0.95)),
        "inter_token_p99_s": lambda run: float(np.quantile(run.inter_token_s, 0.99)),
    }
    return figures[metric]


SPEED_METRICS = tuple(name for name, metric in METRICS.items() if metric.kind == "speed")


def memory_of_load(facts: EngineFacts) -> MemoryFigures:
    """What loading a model tells of its memory, timed or not."""
    return MemoryFigures(weight_bytes=facts.weight_bytes, disk_bytes=facts.disk_bytes)


def loaded_memory(run: RunManifest, variant: VariantRun) -> SpeedRecord | None:
    """The bytes of both models' weights as loaded, without a timed workload; None where one of them was not loaded, or
    decompressed its weights to compute, so that they say nothing of what it takes elsewhere."""
    ours, theirs = variant.facts, run.variants[run.baseline].facts
    if ours is None or theirs is None or ours.dequantised:
        return None
    return SpeedRecord(
        key="loaded",
        variant=variant.variant,
        baseline=run.baseline,
        host=run.host,
        workloads=(),
        memory=memory_of_load(ours),
        baseline_memory=memory_of_load(theirs),
        measured_at=run.started_at,
    )


def speed_pairs(record: SpeedRecord) -> tuple[SpeedPairs, ...]:
    """Every speed metric of every workload; p99 only where enough tokens were timed."""
    found = []
    for workload in record.workloads:
        tokens = len(workload.pairs) * (workload.new_tokens - 1)
        for metric in SPEED_METRICS:
            if metric == "inter_token_p99_s" and tokens < TOKENS_FOR_P99:
                continue
            figure = _figure(metric, workload)
            found.append(
                SpeedPairs(
                    workload=workload.name,
                    metric=metric,
                    baseline=np.asarray([figure(pair.baseline) for pair in workload.pairs]),
                    candidate=np.asarray([figure(pair.candidate) for pair in workload.pairs]),
                )
            )
    return tuple(found)


def speed_rows(pairs: Sequence[SpeedPairs], *, alpha: float) -> tuple[SpeedRow, ...]:
    """Medians of both sides and the Hodges-Lehmann ratio with its exact bounds."""
    rows = []
    for each in pairs:
        ratio = speed_ratio(each.ratios, alpha=alpha)
        bounded = np.isfinite(ratio.upper) and ratio.lower > 0
        rows.append(
            SpeedRow(
                workload=each.workload,
                metric=each.metric,
                unit=METRICS[each.metric].unit,
                higher_is_better=METRICS[each.metric].higher_is_better,
                baseline=float(np.median(each.baseline)),
                candidate=float(np.median(each.candidate)),
                ratio=ratio.ratio,
                lower=ratio.lower if bounded else None,
                upper=ratio.upper if bounded else None,
                pairs=len(each.ratios),
                note=None if bounded else "too few pairs for an interval",
            )
        )
    return tuple(rows)


def baseline_ratios(records: Sequence[SpeedRecord]) -> dict[tuple[str, str], Floats]:
    """(workload, metric) to the ratios of the baseline's own adjacent runs, later over earlier.

    In ABBA order every pair BA is followed by a pair AB, so that two runs of the baseline stand side by side: the
    baseline timed against itself, at no cost.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        orders = {each.name: [pair.order for pair in each.pairs] for each in record.workloads}
        for each in speed_pairs(record):
            for place, neighbours in enumerate(pairwise(orders[each.workload])):
                if neighbours == ("BA", "AB"):
                    ratio = float(each.baseline[place + 1] / each.baseline[place])
                    found.setdefault((each.workload, each.metric), []).append(ratio)
    return {name: np.asarray(ratios) for name, ratios in found.items()}
