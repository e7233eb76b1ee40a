"""What a limit on a loss can certify before the run: of right-or-wrong items by their flips, of graded ones by their
spread; of the baseline's score by its level, of fine-tuning's gain by the gain that would do."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.forms.design import POWER_WORDS, UNKNOWN, Certified, Design, SeenError
from harness.notation import Notation, significant
from harness.stats import paired_recovery, zero_flip_items
from harness.stats.bootstrap import FEW_UNITS
from harness.stats.promise import Sample, certified_loss


def certify_loss(design: Design, share: float, *, relative: bool) -> Certified:
    """`share`: the loss allowed, of the metric's scale or, `relative`, of the baseline's score."""
    if design.kind == "corpus" and (few := few_units(design)) is not None:
        return few
    if design.kind == "binary":
        return _flipping(design, share, relative=relative)
    return UNKNOWN if design.seen is None else _graded(design, design.seen, share, relative=relative)


def few_units(design: Design) -> Certified | None:
    """So few items or clusters that a bootstrap decides nothing."""
    units = design.count if design.sizes is None else len(design.sizes)
    if units >= FEW_UNITS:
        return None
    thing = "items" if design.sizes is None else "clusters"
    return Certified.impossible(f"; under {FEW_UNITS} {thing} it can only be INCONCLUSIVE", FEW_UNITS)


def certify_gain(design: Design, share: float) -> Certified:
    """Losing at most a share of what fine-tuning gained: the gain must be large enough for these items."""
    if design.kind != "binary":
        return Certified()
    drop = design.certain_drop()
    gain, limit = drop / share, f"{Notation.PERCENT.limit(1 - share, '')} retained"
    says = f" certify a drop of {Notation.POINTS.rough(drop, 'fraction')}"
    if gain >= 1:
        return Certified(says=f"{says}, too little to show {limit} of any gain", enough=False)
    least = Notation.POINTS.rough(gain, "fraction")
    return Certified(says=f"{says}, which shows {limit} where fine-tuning gained about {least} or more")


def certain_loss(design: Design) -> float | None:
    """The smallest absolute loss that these items certify; None where nothing is known of how far they spread."""
    if design.kind == "binary":
        return design.certain_drop()
    return None if design.seen is None else certified_loss(_expected(design, design.seen), alpha=design.alpha)


def _flipping(design: Design, share: float, *, relative: bool) -> Certified:
    """A share of the baseline's score is a drop of so many points at the level seen before."""
    sizes, basis = design.sizes, design.flips.basis
    level = design.level if relative else 1.0
    allowed = share * level if level else share  # without a level: what a baseline of 100 % would be allowed
    limit = f"{significant(100 * share, 4)} {'%' if relative else 'pp'}"
    least = _fewest(share, design.alpha) if relative else zero_flip_items(share, design.alpha)
    if design.count < least:
        return Certified.impossible(f" cannot PASS {limit} even with no flip at all; {least} at least", least)
    if sizes is not None and len(sizes) == 1:
        return Certified.impossible(" in one cluster, which proves nothing about another")
    certain, unit = design.certain_drop(), "%" if relative and level else "pp"
    best, where = significant(100 * certain / (level or 1)), ""
    words = certifies = f"{best} {unit}"
    if sizes is not None:
        where = f" in {len(sizes)} clusters"
        if design.flips.correlation is None:
            worst = significant(100 * design.certain_drop(1.0) / (level or 1))
            certifies = f"{best} to {worst} {unit}"
            words = f"{words} at best, {worst} where the items of a cluster flip together"
        else:
            where += f" (design effect {significant(design.flipping().design_effect)} as seen)"
    if not level:
        unknown = "what share of the baseline's score that is, is unknown until the first run"
        return Certified(says=f"{where} certify {words} ({POWER_WORDS}, {basis}); {unknown}", basis=basis)
    enough, needs = certain <= allowed, design.items_for(allowed)
    if not enough and needs is not None:
        needs = max(needs, design.count + 1)
    needed = design.about(needs)
    found = Certified.against(words, limit, basis, enough=enough, needs=needs, needed=needed, where=where)
    return replace(found, certifies=certifies)


def _fewest(share: float, alpha: float) -> int:
    """The fewest items with which equal answers keep enough of a baseline that is always right."""

    def enough(items: int) -> bool:
        return paired_recovery(items, items, 0, 0, alpha=alpha).lower > 1 - share

    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _graded(design: Design, seen: SeenError, share: float, *, relative: bool) -> Certified:
    """The mean paired loss."""
    sample, basis = _expected(design, seen), seen.basis
    certain = certified_loss(sample, alpha=design.alpha)
    if not math.isfinite(certain):
        return Certified.impossible("; one item or cluster proves nothing about another")
    if not relative:
        level, loss, limit = 1.0, significant(certain), significant(share, 4)
    elif design.level:
        level = abs(design.level)
        loss, limit = Notation.PERCENT.rough(certain / level, ""), Notation.PERCENT.limit(share, "")
    else:
        says = f" certify {significant(certain)}; what share of the baseline's score that is, is unknown"
        return Certified(says=says, basis=basis)
    enough, needs = certain <= share * level, design.times(sample, share * level)
    needs = None if needs is None else max(2, needs)
    return Certified.against(loss, limit, basis, enough=enough, needs=needs, needed=design.about(needs))


def _expected(design: Design, seen: SeenError) -> Sample:
    """What to expect of graded items. Half a change is added to those seen: none there is not none in the next run.

    Verdicts from before the spread was stored do not say how many items changed: enough of them is assumed, because
    their error is from a bound that already counts with an unseen loss where they were few.
    """
    units, spread = design.count if design.sizes is None else len(design.sizes), seen.spread
    if spread is None:
        return Sample(items=design.count, units=units, error=seen.error, changed=units)
    changed = min(1.0, (spread.changed + 0.5) / (spread.units + 1)) * units
    return Sample(items=design.count, units=units, error=seen.error, changed=changed, scale=spread.scale)
