"""Gates on per-item metrics before the run: drops, recovery and levels of right-or-wrong and graded metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.forecast.certificate import Asked, Basis, Certificate
from harness.metrics.table import lookup
from harness.records.measures import Measure
from harness.stats import DISCORDANCE_PRIORS, mean_level, paired_recovery, zero_flip_items
from harness.stats.promise import (
    Sample,
    certified_drop,
    certified_level,
    certified_loss,
    clustered_sample,
    factor_certifying,
    items_certifying,
)
from harness.suite.gate_model import Gate
from harness.suite.models import Suite
from harness.suite.variant_model import Variant


@dataclass(frozen=True, kw_only=True)
class Discordance:
    """The share of answers expected to flip, how much items of one cluster flip alike, and how that is known."""

    share: float
    variant: str | None = None
    run: str | None = None
    """Where it was seen; None for a prior."""
    correlation: float | None = None
    """Of two items of one cluster, by the design effect seen; None where nothing was."""


def certify_items(asked: Asked) -> Certificate:
    """The row of a gate on a per-item metric."""
    metric = lookup(asked.gate.metric)
    kind = next((seen.measure.kind for name in asked.names if (seen := asked.before(name))), None)
    binary = kind == "binary" if kind is not None else metric is not None and metric.kind == "binary"
    if asked.gate.form in ("min", "max"):
        return _level(asked) if binary else asked.row("items")
    if asked.gate.form == "min_retained":
        return _retained(asked) if binary else asked.row("items")
    return _drop(asked) if binary else _graded(asked)


def _retained(asked: Asked) -> Certificate:
    """Keeping a share r of a gain g is losing at most (1 - r) g, so the gain must be large enough for these items."""
    flips = expected_flips(asked)
    drop = _certain(asked, flips, flips.correlation or 0.0)
    gain = drop / (1 - asked.gate.limit)
    limit = f"{100 * asked.gate.limit:.3g} % retained"
    says = f" certify a drop of {100 * drop:.2g} pp"
    if gain >= 1:
        return asked.row("items").but(f"{says}, too little to show {limit} of any gain", enough=False)
    says += f", which shows {limit} where fine-tuning gained about {100 * gain:.2g} pp or more"
    return asked.row("items").but(says)


def discordance_prior(suite: Suite, gate: Gate) -> float:
    """The largest share of flips to expect of the candidates this gate looks at, by their bits."""
    names = gate.variants or suite.candidates
    return max((_prior(suite.variants[name]) for name in names), default=DISCORDANCE_PRIORS[4])


def _prior(variant: Variant) -> float:
    if variant.quantize is not None:
        return DISCORDANCE_PRIORS[8 if variant.quantize.claimed_bits >= 8 else 4]
    if variant.must_be_quantized():
        return DISCORDANCE_PRIORS[4]
    return DISCORDANCE_PRIORS[16]


def expected_flips(asked: Asked) -> Discordance:
    """Of the gate's candidates the one that flips most: by an earlier run, by its bits where there is none.

    Half a flip is added to those seen: none in an earlier run is not none in the next.
    """
    found = [Discordance(share=DISCORDANCE_PRIORS[4])] if not asked.names else []
    for name in asked.names:
        seen = asked.before(name)
        if seen is None or seen.measure.right_to_wrong is None or seen.measure.wrong_to_right is None:
            found.append(Discordance(share=_prior(asked.suite.variants[name])))
            continue
        flips, n = seen.measure.right_to_wrong + seen.measure.wrong_to_right, seen.measure.n
        share = min(1.0, (flips + 0.5) / (n + 1))
        correlation = _correlation(seen.measure) if flips else None
        found.append(Discordance(share=share, variant=name, run=seen.run, correlation=correlation))
    return max(found, key=lambda each: each.share)


def _correlation(measure: Measure) -> float | None:
    """Of two items of one cluster, from the design effect of clusters of this mean size."""
    if measure.design_effect is None or not measure.clusters or measure.n <= measure.clusters:
        return None
    return min(1.0, max(0.0, (measure.design_effect - 1) / (measure.n / measure.clusters - 1)))


def _drop(asked: Asked) -> Certificate:
    """A drop, or a share of the baseline's score: as a drop of so many points at the level seen before."""
    gate, count, sizes = asked.gate, len(asked.items), asked.sizes
    row, flips = asked.row("items"), expected_flips(asked)
    relative = gate.form != "max_drop"
    unit = "%" if relative else "pp"
    share = 1 - gate.limit if gate.form == "min_recovery" else gate.limit
    level = asked.level if relative else 1.0
    allowed = share * level if level else share  # without a level: what a baseline of 100 % would be allowed
    limit = f"{100 * share:.3g} {unit}"
    least = _fewest(share, asked.alpha) if relative else zero_flip_items(share, asked.alpha)
    if count < least:
        few = f" cannot PASS {limit} even with no flip at all; {least} at least"
        return row.but(few, possible=False, needs=least)
    if sizes is not None and len(sizes) == 1:
        return row.but(" in one cluster, which proves nothing about another", possible=False)
    certain = _certain(asked, flips, flips.correlation or 0.0)
    seen = "" if flips.variant is None else f" seen with {flips.variant}"
    basis = Basis(what=f"{100 * flips.share:.2g} % flips{seen}", run=flips.run)
    best, unit = f"{100 * certain / (level or 1):.2g}", unit if level else "pp"
    words = certifies = f"{best} {unit}"
    if sizes is not None:
        row = row.but(f" in {len(sizes)} clusters")
        if flips.correlation is None:
            worst = f"{100 * _certain(asked, flips, 1.0) / (level or 1):.2g}"
            certifies = f"{best} to {worst} {unit}"
            words = f"{words} at best, {worst} where the items of a cluster flip together"
        else:
            effect = clustered_sample(sizes, discordance=flips.share, correlation=flips.correlation).design_effect
            row = row.but(f" (design effect {effect:.2g} as seen)")
    says = f" certify {words} (80 % power, {basis}); "
    if relative and not level:
        return row.but(f"{says}what share of the baseline's score that is, is unknown until the first run", basis=basis)
    enough, needed = certain <= allowed, _needed(asked, flips, allowed)
    if not enough and needed is not None:
        needed = max(needed, count + 1)
    says += f"the limit is {limit}" if enough else f"the limit of {limit} needs {_more_words(needed, asked)}"
    return row.but(says, certifies=certifies, needs=needed, basis=basis, enough=enough)


def _certain(asked: Asked, flips: Discordance, correlation: float) -> float:
    """The smallest drop that these items certify."""
    if asked.sizes is None:
        return certified_drop(len(asked.items), discordance=flips.share, alpha=asked.alpha)
    sample = clustered_sample(asked.sizes, discordance=flips.share, correlation=correlation)
    return certified_loss(sample, alpha=asked.alpha)


def _needed(asked: Asked, flips: Discordance, allowed: float) -> int | None:
    """About how many items, in clusters like these, certify this drop."""
    if asked.sizes is None:
        return items_certifying(min(allowed, 0.999), discordance=flips.share, alpha=asked.alpha)
    sample = clustered_sample(asked.sizes, discordance=flips.share, correlation=flips.correlation or 0.0)
    factor = factor_certifying(sample, allowed, alpha=asked.alpha)
    return None if factor is None else math.ceil(factor * len(asked.items))


def _more_words(needed: int | None, asked: Asked) -> str:
    if needed is None:
        return "more than there can be"
    if asked.sizes is None:
        return f"about {needed:,}"
    return f"about {needed:,} in {math.ceil(needed * len(asked.sizes) / len(asked.items)):,} clusters"


def _fewest(share: float, alpha: float) -> int:
    """The fewest items with which equal answers keep enough of a baseline that is always right."""
    low, high = 0, 1
    while paired_recovery(high, high, 0, 0, alpha=alpha).lower <= 1 - share:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if paired_recovery(middle, middle, 0, 0, alpha=alpha).lower <= 1 - share:
            low = middle
        else:
            high = middle
    return high


def _graded(asked: Asked) -> Certificate:
    """The mean paired loss, by the spread of an earlier run."""
    gate, row, known = asked.gate, asked.row("items"), asked.widest()
    if known is None:
        return row.but("; what they can certify is unknown until the first run")
    error, seen = known
    sample = _graded_sample(asked, error, seen.measure)
    certain, basis = certified_loss(sample, alpha=asked.alpha), Basis(what="spread seen", run=seen.run)
    if not math.isfinite(certain):
        return row.but("; one item or cluster proves nothing about another", possible=False)
    relative = gate.form != "max_drop"
    level = abs(asked.level) if relative and asked.level else 1.0
    if relative and not asked.level:
        return row.but(f" certify {certain:.3g}; what share of the baseline's score that is, is unknown", basis=basis)
    share = 1 - gate.limit if gate.form == "min_recovery" else gate.limit
    words = f"{100 * certain / level:.2g} %" if relative else f"{certain:.2g}"
    limit = f"{100 * share:.3g} %" if relative else f"{share:.3g}"
    factor = factor_certifying(sample, share * level, alpha=asked.alpha)
    needed = None if factor is None else max(2, math.ceil(factor * len(asked.items)))
    enough = certain <= share * level
    says = f" certify {words} (80 % power, {basis}); the limit "
    says += f"is {limit}" if enough else f"of {limit} needs {_more_words(needed, asked)}"
    return row.but(says, certifies=words, needs=needed, basis=basis, enough=enough)


def _graded_sample(asked: Asked, error: float, measure: Measure) -> Sample:
    """What to expect of these items. Half a change is added to those seen: none there is not none in the next run.

    Verdicts of before the spread was kept do not tell how many items changed: enough of them is assumed, because their
    error is from a bound that already counts with an unseen loss where they were few.
    """
    items, spread = len(asked.items), measure.spread
    units = items if asked.sizes is None else len(asked.sizes)
    if spread is None:
        return Sample(items=items, units=units, error=error, changed=units)
    changed = min(1.0, (spread.changed + 0.5) / (spread.units + 1)) * units
    return Sample(items=items, units=units, error=error, changed=changed, scale=spread.scale)


def _level(asked: Asked) -> Certificate:
    """A floor or a ceiling of a share: how far beyond it the truth has to lie."""
    gate, row, count, sizes = asked.gate, asked.row("items"), len(asked.items), asked.sizes
    floor = gate.form == "min"
    limit = gate.limit if floor else 1 - gate.limit
    if not 0 < limit < 1:
        return row
    labels = None if sizes is None else np.repeat(np.arange(len(sizes)), sizes)
    if mean_level(np.ones(count), alpha=asked.alpha, clusters=labels).lower <= limit:
        return row.but(f" cannot PASS {gate.form} {100 * gate.limit:.3g} % whatever they show", possible=False)
    need = certified_level(limit, sizes or (1,) * count, clustered=sizes is not None, alpha=asked.alpha)
    truth = f"{100 * (need if floor else 1 - need):.3g} %"
    side = "from" if floor else "up to"
    best = "" if sizes is None else " at best"
    says = f" certify {gate.form} {100 * gate.limit:.3g} % {side} a true {truth}{best} (80 % power)"
    return row.but(says, certifies=f"{side} {truth}", basis=Basis(what="binomial"))
