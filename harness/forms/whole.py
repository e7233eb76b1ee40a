"""How limits on a drop, a share kept and a level judge a metric of the whole: by the draws of the paired bootstrap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Judgement, Terms, decide, reasoned, side
from harness.notation import Notation, bounds, confidence, number, percent, points

if TYPE_CHECKING:
    from harness.samples.whole_pairs import WholePairs
    from harness.stats.bootstrap import WholeChange

METHOD = "paired bootstrap over {units}"


def _estimate(sample: WholePairs, found: WholeChange, p: float) -> Estimate:
    why = sample.resampled.unreliable
    return Estimate(
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        n=sample.count,
        reliable=not why,
        why_unreliable=why,
        p=None if why else p,
    )


def _notes(sample: WholePairs) -> tuple[str | None, ...]:
    units = "clusters" if sample.clusters is not None else "items"
    return (
        sample.resampled.unreliable or METHOD.format(units=units),
        f"{sample.failed} of its answers failed and count as its worst" if sample.failed else None,
    )


def judge_whole_drop(sample: WholePairs, terms: Terms) -> Judgement:
    loss = sample.resampled.loss(alpha=terms.alpha)
    estimate = _estimate(sample, loss, loss.p_above(terms.limit))
    decision = decide(estimate, terms.limit, ceiling=True)
    measured = (
        f"{'drop' if loss.value >= 0 else 'gain'} {points(abs(loss.value))}, "
        f"one-sided {confidence(terms.alpha)} bounds {bounds(loss.lower, loss.upper, points)}; "
        f"limit {points(terms.limit)}"
    )
    return Judgement(decision=decision, reason=reasoned(measured, decision, *_notes(sample)), estimate=estimate)


def judge_whole_share(sample: WholePairs, terms: Terms, *, lost: bool) -> Judgement:
    """candidate / baseline, judged by what is kept."""
    metric, against, before = sample.metric, terms.against, sample.resampled.baseline
    if not sample.higher_is_better:
        return Judgement.invalid(f"{metric} is better when lower, so no share of it can be kept; use max_drop")
    if before <= 0:
        return Judgement.invalid(f"{against}'s {metric} is {number(before)}, so no share of it can be kept")
    found = sample.resampled.kept(alpha=terms.alpha)
    limit = 1 - terms.limit if lost else terms.limit
    kept = _estimate(sample, found, found.p_below(limit))
    decision = decide(kept, limit, ceiling=False)
    measured = (
        f"keeps {percent(found.value)} of {against}'s {metric} ({bounds(found.lower, found.upper, percent)}), "
        f"limit {percent(limit)}"
    )
    missing = replace(kept, value=1 - found.value, lower=1 - found.upper, upper=1 - found.lower)
    reason = reasoned(measured, decision, *_notes(sample))
    return Judgement(decision=decision, reason=reason, estimate=missing if lost else kept)


def judge_whole_level(sample: WholePairs, terms: Terms, *, ceiling: bool) -> Judgement:
    own = sample.resampled.own(alpha=terms.alpha)
    estimate = _estimate(sample, own, (own.p_above if ceiling else own.p_below)(terms.limit))
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    unit = "fraction"
    measured = (
        f"{sample.metric} is {Notation.LEVEL.amount(own.value, unit)} "
        f"({Notation.LEVEL.bounds(own.lower, own.upper, unit)}), limit {side(ceiling=ceiling)} "
        f"{Notation.LEVEL.amount(terms.limit, unit)}"
    )
    return Judgement(decision=decision, reason=reasoned(measured, decision, *_notes(sample)), estimate=estimate)
