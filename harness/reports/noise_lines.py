"""The noise floor in words and figures."""

from __future__ import annotations

from dataclasses import dataclass

from harness.metrics.table import lookup
from harness.notation import Notation, count, level, number, percent
from harness.records.measures import Noise, NoiseMeasure, NoiseSpeed


@dataclass(frozen=True, kw_only=True)
class NoiseRow:
    """One line of the table: what, how much between two passes, over how many."""

    what: str
    between: str
    over: str


def noise_line(noise: Noise) -> str:
    """One line: flips of every right-or-wrong metric, KL with itself, the spread of a speed."""
    parts = [f"{each.task} {each.metric} {each.flips} of {each.n} flip" for each in noise.measures if _flips(each)]
    parts += [f"{each.task} {each.metric} {number(each.value)} apart" for each in noise.measures if _moved(each)]
    parts += [
        f"{each.task} KL {level(each.value, each.unit)}"
        for each in noise.measures
        if each.kind == "divergence" and _in_overview(each.metric)
    ]
    parts += [f"{each.metric} ±{percent(each.spread)}" for each in _main_speed(noise)]
    return "; ".join(parts) or noise.note or "nothing was measured"


def noise_rows(noise: Noise) -> tuple[NoiseRow, ...]:
    """Every figure of the floor."""
    rows = [_row(each) for each in noise.measures]
    rows += [
        NoiseRow(what=f"{task} log-likelihood", between=f"{number(moved)} nats apart on average", over="")
        for task, moved in noise.likelihoods.items()
    ]
    rows += [
        NoiseRow(
            what=f"{each.metric}, {each.workload}",
            between=f"±{percent(each.spread)} from one run to the next",
            over=f"{each.pairs:,} adjacent runs",
        )
        for each in noise.speed
    ]
    return tuple(rows)


def _row(each: NoiseMeasure) -> NoiseRow:
    what = f"{each.task} {each.metric}"
    if each.flips is not None:
        most = "" if each.upper is None else f", at most {percent(each.upper)}"
        flip = f"{count(each.flips, 'flip')}, {percent(each.value)}{most}"
        return NoiseRow(what=what, between=flip, over=count(each.n, "item"))
    if each.kind == "graded":
        return NoiseRow(what=what, between=f"{number(each.value)} apart on average", over=count(each.n, "item"))
    if each.kind == "perplexity":
        apart = Notation.PERCENT.rough(each.value, each.unit)
        return NoiseRow(what=what, between=f"{apart} apart", over=count(each.n, "document"))
    return NoiseRow(what=what, between=level(each.value, each.unit), over=count(each.n, "document"))


def _flips(each: NoiseMeasure) -> bool:
    return each.flips is not None


def _moved(each: NoiseMeasure) -> bool:
    return each.kind == "graded"


def _main_speed(noise: Noise) -> tuple[NoiseSpeed, ...]:
    """Decoding, the speed that is gated most; the widest of its workloads."""
    decode = [each for each in noise.speed if _in_overview(each.metric)]
    return (max(decode, key=lambda each: each.spread),) if decode else ()


def _in_overview(metric: str) -> bool:
    known = lookup(metric)
    return known is not None and known.headline is not None
