"""What a gate looks at: the numbers of one metric, of one kind of measurement. Owns the shapes, computes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.metrics.row import Kind, StoredBytes
from harness.metrics.table import computed_by, lookup
from harness.records.run_manifest import EarlyStop
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.base_pairs import ThreeWay
from harness.samples.documents import DocumentPairs
from harness.samples.pairs import PairedMetric
from harness.samples.strata import StrataPairs
from harness.samples.timed_pairs import SpeedPairs
from harness.samples.whole_pairs import WholePairs


@dataclass(frozen=True, kw_only=True)
class DocumentSample:
    """One metric of documents: perplexity, bits per byte, or a divergence."""

    metric: str
    kind: Kind
    documents: DocumentPairs


@dataclass(frozen=True, kw_only=True)
class MemoryPair:
    """A memory figure of one fresh process each, in bytes; None where it is not known."""

    metric: str
    baseline: int | None
    candidate: int | None
    names: tuple[str, str] = field(default=("the baseline", "the candidate"), compare=False)


@dataclass(frozen=True, kw_only=True)
class StoppedPart:
    """The items of a task that a variant was asked before it was stopped early."""

    stop: EarlyStop
    largest: int
    """Items of the plan's largest cluster, 1 where there is none."""
    pairs: PairedMetric
    chances: int
    """How many gates could have stopped the variant: alpha is shared among them."""

    @property
    def metric(self) -> str:
        return self.pairs.metric


Sample = PairedMetric | StrataPairs | DocumentSample | SpeedPairs | MemoryPair | ThreeWay | StoppedPart | WholePairs


def memory_figure(figures: MemoryFigures, metric: str) -> int | None:
    """The stored figure behind a memory metric, in bytes."""
    value: int | None = getattr(figures, computed_by(StoredBytes)[metric].field)
    return value


def memory_pair(record: SpeedRecord, metric: str) -> MemoryPair:
    """A memory metric of a record."""
    return MemoryPair(
        metric=metric,
        baseline=memory_figure(record.baseline_memory, metric),
        candidate=memory_figure(record.memory, metric),
        names=(record.baseline, record.variant),
    )


def unit_of(sample: Sample) -> str:
    """The unit of the metric's own values."""
    if isinstance(sample, PairedMetric):
        return "fraction" if sample.kind == "binary" else ""
    if isinstance(sample, StrataPairs):
        return "fraction" if all(part.kind == "binary" for part in sample.parts) else ""
    if isinstance(sample, WholePairs):
        return "fraction"
    known = lookup(sample.metric)
    return known.unit if known is not None else ""
