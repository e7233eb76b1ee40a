"""The measures of a report with a row for each slice: change, bounds, p of no change, what its items can certify."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.metrics.table import likelihood
from harness.records.measures import Measure, SliceMeasure
from harness.samples.documents import DocumentPairs
from harness.samples.measures import (
    ANY_MARGIN,
    document_measures,
    drop_of,
    increase_of,
    likelihood_level,
    only_documents,
    paired_measure,
    ratio_of,
    whole_measure,
)
from harness.samples.pairs import PairedMetric
from harness.samples.whole_pairs import WholePairs
from harness.stats import GradedDrop, PairedDrop, certifiable_drop
from harness.stats.decision import normal_quantile, t_quantile
from harness.stats.promise import Sample, certified_loss

POWER = 0.8


def measure_with_slices(metric: PairedMetric, *, unit: str, alpha: float) -> Measure:
    """The measure of a per-item metric."""
    measure = paired_measure(metric, unit=unit, alpha=alpha)
    if not metric.count:
        return measure
    flips = float((metric.drops != 0).mean())
    rows = tuple(_row(metric.only(name), name, flips=flips, alpha=alpha) for name in metric.slices)
    return measure.model_copy(update={"slices": rows})


def whole_measure_with_slices(whole: WholePairs, *, alpha: float) -> Measure:
    """The measure of a metric of the whole."""
    rows = tuple(_whole_row(whole.only(name), name, alpha=alpha) for name in whole.slices)
    return whole_measure(whole, alpha=alpha).model_copy(update={"slices": rows})


def _whole_row(part: WholePairs, name: str, *, alpha: float) -> SliceMeasure:
    found = part.resampled
    loss = found.loss(alpha=alpha)
    return SliceMeasure(
        slice=name,
        n=part.count,
        baseline=found.baseline,
        candidate=found.candidate,
        change=loss.value,
        lower=None if found.unreliable else loss.lower,
        upper=None if found.unreliable else loss.upper,
        p=None if found.unreliable else loss.p_change,
    )


def document_measures_with_slices(documents: DocumentPairs, *, alpha: float) -> tuple[Measure, ...]:
    """Perplexity and bits per byte with their slices, and the divergences without."""
    return tuple(
        measure.model_copy(update={"slices": _document_rows(documents, measure.metric, alpha=alpha)})
        if measure.kind == "perplexity"
        else measure
        for measure in document_measures(documents, alpha=alpha)
    )


def _row(part: PairedMetric, name: str, *, flips: float, alpha: float) -> SliceMeasure:
    if part.kind == "ratio":
        found = ratio_of(part, alpha=alpha)
        return SliceMeasure(
            slice=name,
            n=part.count,
            baseline=float(part.baseline.mean()),
            candidate=float(part.candidate.mean()),
            change=None if found is None else found.ratio - 1,
            lower=None if found is None else found.lower - 1,
            upper=None if found is None else found.upper - 1,
        )
    drop = drop_of(part, margin=ANY_MARGIN, alpha=alpha)
    return SliceMeasure(
        slice=name,
        n=part.count,
        baseline=float(part.baseline.mean()),
        candidate=float(part.candidate.mean()),
        change=float(part.drops.mean()),
        lower=drop.lower,
        upper=drop.upper,
        p=drop.p_change,
        certifies=_certifies(drop, flips=flips, alpha=alpha),
    )


def _certifies(drop: PairedDrop | GradedDrop, *, flips: float, alpha: float) -> float | None:
    """The smallest drop that as many items certify at 80 % power when nothing is lost; None where none does.

    Right-or-wrong: with the share of flips seen in the slice or in the whole task, whichever is larger, because a
    small slice without a flip is no sign that none will come. Graded: (t + z) standard errors, as seen. Where the gate
    counts with an unseen loss (few changed clusters, few changed values), so does this.
    """
    units = drop.n if drop.clusters is None else drop.clusters
    if isinstance(drop, PairedDrop):
        share = max(flips, drop.discordance)
        if drop.unseen is None:
            found = certifiable_drop(max(1, math.floor(drop.n_effective)), discordance=share, power=POWER, alpha=alpha)
        else:
            error = math.sqrt(share / drop.n_effective)
            found = certified_loss(
                Sample(items=drop.n, units=units, error=error, changed=0, discordance=share), alpha=alpha, power=POWER
            )
        return found if found < 1 else None
    if units < 2:
        return None
    if drop.unseen is not None:
        few = Sample(items=drop.n, units=units, error=drop.se, changed=0, scale=drop.scale)
        return certified_loss(few, alpha=alpha, power=POWER)
    return _reach(drop.se, units, alpha) if drop.se > 0 else drop.upper - drop.drop


def _reach(se: float, units: int, alpha: float) -> float:
    return (t_quantile(1 - alpha, units - 1) + normal_quantile(POWER)) * se


def _document_rows(documents: DocumentPairs, metric: str, *, alpha: float) -> tuple[SliceMeasure, ...]:
    return tuple(
        _document_row(only_documents(documents, name), name, metric, alpha=alpha)
        if members.size
        else SliceMeasure(slice=name, n=0, baseline=None, candidate=None, change=None, lower=None, upper=None)
        for name, members in documents.slices.items()
    )


def _document_row(part: DocumentPairs, name: str, metric: str, *, alpha: float) -> SliceMeasure:
    increase = increase_of(part, metric, alpha=alpha)
    bounds: Sequence[float | None] = (increase.lower, increase.upper)
    return SliceMeasure(
        slice=name,
        n=part.count,
        baseline=likelihood_level(part.baseline_nll, part, metric, alpha=alpha).value,
        candidate=likelihood_level(part.candidate_nll, part, metric, alpha=alpha).value,
        change=increase.value,
        lower=bounds[0],
        upper=bounds[1],
        p=increase.p_change if increase.reliable else None,
        certifies=_increase_certified(increase.value, increase.upper, part.count, metric, alpha=alpha)
        if increase.reliable
        else None,
    )


def _increase_certified(value: float, upper: float | None, units: int, metric: str, *, alpha: float) -> float | None:
    """The smallest relative increase that as many documents certify, with the spread that the bound shows."""
    if upper is None or not math.isfinite(upper):
        return None
    t = t_quantile(1 - alpha, units - 1)
    if likelihood(metric).exponential:
        return math.expm1(_reach((math.log1p(upper) - math.log1p(value)) / t, units, alpha))
    return _reach((upper - value) / t, units, alpha)
