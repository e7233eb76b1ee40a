"""The noise floor and the gates that are tighter than it. Flags, never decides: a limit below the noise is still a
limit, and the bounds of a drop already include the noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from harness.comparison.candidates import Comparison
from harness.comparison.second_pass import NoisePairs
from harness.gates.base_model import base_trouble, unsound
from harness.gates.nothing_to_lose import allowed_loss
from harness.metrics.table import METRICS, likelihood, lookup, of_kind
from harness.notation import Notation, number, percent, points, ratio
from harness.records.findings import Check
from harness.records.measures import Noise, NoiseMeasure, NoiseSpeed
from harness.samples.base_pairs import retained_of
from harness.samples.documents import DocumentPairs
from harness.samples.measures import divergence_level, increase_of
from harness.samples.pairs import PairedMetric
from harness.stats import mean_level
from harness.stats.decision import normal_quantile
from harness.suite.gate_model import Gate
from harness.suite.models import Suite

NOTHING: Mapping[str, float] = {}
FEW_SPEED_PAIRS = 3
"""Fewer adjacent runs of the baseline say nothing about their spread."""
NORMAL_MAD = 1.4826
"""Standard deviation of a normal variable over the median of its absolute value."""


def noise_floor(comparison: Comparison, *, alpha: float) -> Noise | None:
    """The baseline against itself; None where that was not measured."""
    pairs = comparison.noise
    if pairs is None:
        return None
    measures = [_items(metric, alpha) for metric in pairs.metrics.values() if metric.count]
    for documents in pairs.documents.values():
        measures.extend(_documents(documents, alpha))
    return Noise(
        measures=tuple(measures),
        likelihoods={task: float(moved.mean()) for task, moved in pairs.likelihoods.items()},
        speed=tuple(_speed(pairs)),
        note=None if pairs.failure is None else f"the second pass could not be finished: {pairs.failure}",
    )


def _items(metric: PairedMetric, alpha: float) -> NoiseMeasure:
    known = lookup(metric.metric)
    moved = np.abs(metric.drops)
    if metric.kind == "ratio":
        total = float(metric.baseline.sum())
        moved = np.asarray([abs(float(metric.candidate.sum()) / total - 1) if total else 0.0])
    binary = metric.kind == "binary"
    flipped = (moved > 0).astype(np.float64)
    return NoiseMeasure(
        task=metric.task,
        metric=metric.metric,
        kind=metric.kind,
        unit=known.unit if known is not None else "",
        n=metric.count,
        value=float(moved.mean()),
        upper=mean_level(flipped, alpha=alpha).upper if binary else None,
        flips=int(flipped.sum()) if binary else None,
    )


def _documents(documents: DocumentPairs, alpha: float) -> Iterator[NoiseMeasure]:
    if not documents.count:
        return
    for row in (*documents.likelihoods, *of_kind("divergence")):
        if row.kind == "perplexity":
            value = abs(increase_of(documents, row.name, alpha=alpha).value)
        elif documents.divergence is not None and documents.divergence.has(row.name):
            value = divergence_level(documents, row.name, alpha=alpha).value
        else:
            continue
        yield NoiseMeasure(
            task=documents.task, metric=row.name, kind=row.kind, unit=row.unit, n=documents.count, value=value
        )


def _speed(pairs: NoisePairs) -> Iterator[NoiseSpeed]:
    for (workload, metric), ratios in pairs.speed.items():
        if ratios.size >= FEW_SPEED_PAIRS:
            spread = NORMAL_MAD * float(np.median(np.abs(np.log(ratios))))
            yield NoiseSpeed(workload=workload, metric=metric, pairs=ratios.size, spread=spread)


def retained_gains(suite: Suite, comparison: Comparison, *, alpha: float) -> dict[str, float]:
    """`task/metric` to the upper bound of what fine-tuning gained, where a gate on the whole task asks for a share.

    Only where it was measured soundly. The base and the baseline are the same for every candidate.
    """
    wanted = {
        (gate.task or "", gate.metric) for gate in suite.gates if gate.row.looks_at == "base" and gate.slice is None
    }
    if not wanted or base_trouble(comparison) is not None:
        return {}
    found: dict[str, float] = {}
    for task, metric in sorted(wanted):
        beside = (candidate.paired.three_ways.get((task, metric)) for candidate in comparison.candidates)
        three_way = next((each for each in beside if each is not None), None)
        if three_way is not None and three_way.count and not three_way.candidate_failed and unsound(three_way) is None:
            found[f"{task}/{metric}"] = retained_of(three_way, alpha=alpha).gain_upper
    return found


@dataclass(frozen=True, kw_only=True)
class Tight:
    """A gate whose limit is within the baseline's own noise."""

    gate: str
    says: str


def noise_checks(
    suite: Suite, noise: Noise | None, levels: Mapping[str, float], gains: Mapping[str, float] = NOTHING
) -> tuple[Check, ...]:
    """A note for every gate tighter than the floor. `levels` and `gains` as in `tight_gates`."""
    if noise is None:
        return ()
    checks = [
        Check(name="noise floor", held=False, blocks=False, says=f"{each.gate} {each.says}")
        for each in tight_gates(suite, noise, levels, gains)
    ]
    if noise.note is not None:
        checks.append(Check(name="noise floor", held=False, blocks=False, says=noise.note))
    return tuple(checks) or (
        Check(name="noise floor", held=True, blocks=False, says="no limit is tighter than the baseline's own noise"),
    )


def tight_gates(
    suite: Suite, noise: Noise, levels: Mapping[str, float], gains: Mapping[str, float] = NOTHING
) -> tuple[Tight, ...]:
    """The gates whose limit is below the baseline's own noise, as sentences.

    `levels`: `task/metric` to the baseline's value. `gains`: to the upper bound of what fine-tuning gained on the whole
    task, in the unit of `Retained.gain`.
    """
    measures = {(each.task, each.metric): each for each in noise.measures}
    pairs = suite.speed.pairs if suite.speed is not None else 0
    found = []
    for index, gate in enumerate(suite.gates):
        measure = measures.get((gate.task or "", gate.metric))
        if gate.measures_limit:
            continue
        if measure is not None:
            level, gain = (each.get(f"{gate.task}/{gate.metric}") for each in (levels, gains))
            if gate.row.looks_at == "base":
                says = _tight_retained(gate, measure, level, gain)
            else:
                says = _tight(gate, measure, level)
        else:
            alpha = gate.alpha if gate.alpha is not None else suite.alpha
            says = next(filter(None, (_tight_speed(gate, each, pairs, alpha) for each in noise.speed)), None)
        if says is not None:
            where = f"{gate.scope} {gate.metric}" if gate.scope else gate.metric
            found.append(Tight(gate=f"gates[{index}]", says=f"{where}: {says}"))
    return tuple(found)


def _tight(gate: Gate, floor: NoiseMeasure, level: float | None) -> str | None:
    """Why this limit is tighter than the floor; None where it is not."""
    words: tuple[str, str] | None = None
    if floor.kind == "divergence":
        neutral = METRICS[floor.metric].neutral
        lowest = neutral - abs(floor.value - neutral)
        if gate.limit < floor.value if gate.row.ceiling else gate.limit > lowest:
            words = Notation.LEVEL.amount(gate.limit, floor.unit), Notation.LEVEL.amount(floor.value, floor.unit)
    elif floor.kind == "perplexity":
        if gate.row.looks_at == "pairs" and gate.limit < floor.value:
            words = percent(gate.limit), percent(floor.value)
    else:
        allowed = allowed_loss(gate.row, gate.metric, gate.limit, level=level)
        if allowed is not None and allowed < floor.value:
            binary = floor.flips is not None
            moved = f"{floor.flips} of {floor.n} answers flip" if binary else f"an item moves by {number(floor.value)}"
            words = points(allowed) if binary else number(allowed), moved
    if words is None:
        return None
    over = "" if floor.flips is not None else f" ({floor.n} {'items' if floor.kind == 'graded' else 'documents'})"
    return f"the limit of {words[0]} is tighter than the baseline's own noise, {words[1]} between two passes{over}"


def _tight_retained(gate: Gate, floor: NoiseMeasure, level: float | None, gain: float | None) -> str | None:
    """Why this share of the gain is tighter than the floor, however large the gain is within its bound; else None.

    Keeping r of a gain g allows a loss of (1 - r) g. g is an estimate, so its upper bound is taken: a limit below the
    floor then is below it for every smaller gain too. A slice has a gain of its own, which is not known here.
    """
    if gain is None or gain <= 0 or gate.slice is not None:
        return None
    noise, allowed, unit = floor.value, gate.row.allowed_loss(gate.limit, level=level, gain=gain), ""
    if floor.kind == "perplexity":
        way = likelihood(floor.metric)
        noise = math.log1p(noise) if way.exponential else noise * (level or 0.0)
        unit = way.gain_unit
    if allowed is None or allowed >= noise:
        return None
    if floor.flips is not None:
        most, lost = points(gain), points(allowed)
        moved = f"{floor.flips} of {floor.n} answers flip between two passes"
    else:
        most, lost = Notation.LEVEL.amount(gain, unit), Notation.LEVEL.amount(allowed, unit)
        what = "an item moves by " if floor.kind == "graded" else ""
        over = "items" if floor.kind == "graded" else "documents"
        moved = f"{what}{Notation.LEVEL.amount(noise, unit)} between two passes ({floor.n} {over})"
    return (
        f"keeping {percent(gate.limit)} of a gain of at most {most}, its upper bound, allows a loss of {lost}: "
        f"tighter than the baseline's own noise, {moved}"
    )


def _tight_speed(gate: Gate, floor: NoiseSpeed, pairs: int, alpha: float) -> str | None:
    """A ratio that even the baseline against itself would not show to hold over so many pairs."""
    if floor.metric != gate.metric or gate.workload not in (None, floor.workload) or pairs < 1:
        return None
    if gate.row.looks_at == "own":
        return None
    reach = normal_quantile(1 - alpha) * floor.spread / math.sqrt(pairs)
    if abs(math.log(gate.limit)) >= reach:
        return None
    return (
        f"the limit of {ratio(gate.limit)} is within the baseline's own noise: two adjacent runs of {floor.workload} "
        f"differ by {percent(floor.spread)}, which leaves {percent(reach)} over {pairs} pairs"
    )
