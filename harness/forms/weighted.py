"""Drops of several samples judged as one: the mean over tasks, and a slice against the rest. Owns no form's limit."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Judgement, Terms, decide, reasoned
from harness.notation import bounds, confidence, listed, more_would_decide, number, points

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.derivations.shapes import Derivation
    from harness.samples.strata import StrataPairs
    from harness.stats.mover import Bounds, WeightedDrop


def bounds_of(sample: StrataPairs) -> Bounds:
    """Every part with the bounds that its own items call for."""
    from harness.samples.measures import ANY_MARGIN, drop_of
    from harness.stats.mover import Stratum

    @cache
    def found(alpha: float) -> tuple[Stratum, ...]:
        drops = (drop_of(part, margin=ANY_MARGIN, alpha=alpha) for part in sample.parts)
        return tuple(Stratum(drop=each.drop, lower=each.lower, upper=each.upper) for each in drops)

    return found


def weighted_of(sample: StrataPairs, alpha: float) -> WeightedDrop:
    """The weighted drop with its bounds."""
    from harness.stats.mover import weighted_drop

    return weighted_drop(bounds_of(sample)(alpha), sample.weights, sample.correlations)


def derive_weighted(sample: StrataPairs, terms: Terms) -> Derivation:
    from harness.derivations.mover import weighted_drops

    return weighted_drops(sample, weighted_of(sample, terms.alpha), alpha=terms.alpha)


def writer(sample: StrataPairs) -> Callable[[float], str]:
    """How a drop of these samples is written: points, unless one of them is graded."""
    return points if all(part.kind == "binary" for part in sample.parts) else number


def judge_weighted(sample: StrataPairs, terms: Terms, words: Callable[[WeightedDrop], str]) -> Judgement:
    """`words`: what the value is, in words."""
    from harness.stats.mover import p_above

    of, write = bounds_of(sample), writer(sample)
    found = weighted_of(sample, terms.alpha)
    p = p_above(of, sample.weights, sample.correlations, terms.limit)
    estimate = Estimate(value=found.drop, lower=found.lower, upper=found.upper, n=sample.count, p=p)
    decision = decide(estimate, terms.limit, ceiling=True)
    around = bounds(found.lower, found.upper, write)
    measured = f"{words(found)}, one-sided {confidence(terms.alpha)} bounds {around}; limit {write(terms.limit)}"
    more = _more(found, terms.limit, sample.count) if decision == "INCONCLUSIVE" else None
    undecided = decision == "INCONCLUSIVE"
    return Judgement(
        decision=decision,
        reason=reasoned(
            measured,
            decision,
            more_would_decide(more, "item") if undecided else None,
            f"{sample.failed} of its answers failed and count as wrong" if sample.failed else None,
        ),
        estimate=estimate,
        more_items=more,
    )


def _more(found: WeightedDrop, limit: float, count: int) -> int | None:
    """About how many more items, in the same proportions, bring the bound that matters to the limit."""
    half, gap = (found.upper - found.drop, limit - found.drop) if found.drop < limit else (
        found.drop - found.lower, found.drop - limit
    )  # fmt: skip
    if gap <= 0 or not math.isfinite(half):
        return None
    return max(1, math.ceil(count * ((half / gap) ** 2 - 1)))


def each_in_words(sample: StrataPairs, found: WeightedDrop) -> str:
    """`mmlu 0.50 pp, arc 0.20 pp`."""
    write = writer(sample)
    return listed([f"{name} {write(each.drop)}" for name, each in zip(sample.names, found.strata, strict=True)])
