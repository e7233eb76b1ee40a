"""Speed from timed pairs: per-run figures, per-pair ratios (candidate / baseline), and the rows of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.metrics.row import TimedFigure
from harness.metrics.table import METRICS, computed_by
from harness.records.columns import Floats
from harness.records.evaluation_manifest import EngineFacts
from harness.records.measures import SpeedRow
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.stats import speed_ratio


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


def memory_of_load(facts: EngineFacts) -> MemoryFigures:
    """The memory figures known from loading a model, timed or not."""
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
    """Every speed metric of every workload for which enough tokens were timed."""
    found = []
    for workload in record.workloads:
        tokens = len(workload.pairs) * (workload.new_tokens - 1)
        for metric, figure in computed_by(TimedFigure).items():
            if tokens < figure.tokens:
                continue
            found.append(
                SpeedPairs(
                    workload=workload.name,
                    metric=metric,
                    baseline=np.asarray([figure.of(pair.baseline, workload) for pair in workload.pairs]),
                    candidate=np.asarray([figure.of(pair.candidate, workload) for pair in workload.pairs]),
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

    In ABBA order every pair BA is followed by a pair AB, so that two runs of the baseline are adjacent: the baseline
    timed against itself, at no cost.
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
