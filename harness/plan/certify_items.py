"""Gates on per-item metrics before the run: drops, recovery and levels of right-or-wrong and graded metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.plan.certificate import POWER, Asked, Certificate
from harness.spec.metrics import lookup
from harness.spec.models import Gate, Suite, Variant
from harness.stats import (
    DISCORDANCE_PRIORS,
    certifiable_drop,
    items_needed,
    mean_level,
    paired_recovery,
    zero_flip_items,
)
from harness.stats.decision import normal_quantile


@dataclass(frozen=True, kw_only=True)
class Discordance:
    """The share of answers expected to flip, how much less items in clusters count for, and how that is known."""

    share: float
    says: str
    design_effect: float | None = None
    """Seen before; None where nothing was."""


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
    units = max(1, int(len(asked.items) / (flips.design_effect or 1.0)))
    drop = certifiable_drop(units, discordance=flips.share, alpha=asked.alpha)
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
    found = [Discordance(share=DISCORDANCE_PRIORS[4], says="")] if not asked.names else []
    for name in asked.names:
        seen = asked.before(name)
        if seen is None or seen.measure.right_to_wrong is None or seen.measure.wrong_to_right is None:
            found.append(Discordance(share=_prior(asked.suite.variants[name]), says=""))
            continue
        flips, n = seen.measure.right_to_wrong + seen.measure.wrong_to_right, seen.measure.n
        effect = seen.measure.design_effect if flips else None  # no flip, no way to see how they hang together
        says = f" seen with {name} in {seen.run}"
        found.append(Discordance(share=min(1.0, (flips + 0.5) / (n + 1)), says=says, design_effect=effect))
    return max(found, key=lambda each: each.share)


def _drop(asked: Asked) -> Certificate:
    """A drop, or a share of the baseline's score: as a drop of so many points at the level seen before."""
    gate, count = asked.gate, len(asked.items)
    row, flips = asked.row("items"), expected_flips(asked)
    relative = gate.form != "max_drop"
    share = 1 - gate.limit if gate.form == "min_recovery" else gate.limit
    level = asked.level if relative else 1.0
    allowed = share * level if level else share  # without a level: what a baseline of 100 % would be allowed
    limit = f"{100 * share:.3g} {'%' if relative else 'pp'}"
    clusters = {item.cluster for item in asked.items}
    units, grouped = (count, "") if clusters == {None} else (len(clusters), f" in {len(clusters)} clusters")
    least = _fewest(share, asked.alpha) if relative else zero_flip_items(share, asked.alpha)
    if count < least:
        few = f" cannot PASS {limit} even with no flip at all; {least} at least"
        return row.but(few, possible=False, needs=least)
    if units < least and flips.design_effect is None:
        few = f"{grouped}; with no flip they count as {units}, too few to PASS {limit}; {least} clusters at least"
        return row.but(few, enough=False)
    effect = flips.design_effect or 1.0
    if grouped:
        unseen = "at best: items of one cluster may flip together"
        row = row.but(f"{grouped} ({f'design effect {effect:.2g} seen' if flips.design_effect else unseen})")
    certain = certifiable_drop(max(1, int(count / effect)), discordance=flips.share, alpha=asked.alpha)
    basis = f"{100 * flips.share:.2g} % flips{flips.says}"
    if relative and not level:
        says = f" certify {100 * certain:.2g} pp (80 % power, {basis}); what share of the baseline's score that is, is "
        return row.but(f"{says}unknown until the first run", basis=basis)
    words = f"{100 * certain / (level or 1):.2g} {'%' if relative else 'pp'}"
    needed = math.ceil(items_needed(min(allowed, 0.999), discordance=flips.share, alpha=asked.alpha) * effect)
    says = f" certify {words} (80 % power, {basis}); the limit "
    enough = certain <= allowed
    says += f"is {limit}" if enough else f"of {limit} needs about {needed:,}"
    return row.but(says, certifies=words, needs=needed, basis=basis, enough=enough)


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
    error, run = known
    certain, basis = asked.z * error, f"spread seen in {run}"
    relative = gate.form != "max_drop"
    level = abs(asked.level) if relative and asked.level else 1.0
    if relative and not asked.level:
        return row.but(f" certify {certain:.3g}; what share of the baseline's score that is, is unknown", basis=basis)
    share = 1 - gate.limit if gate.form == "min_recovery" else gate.limit
    words = f"{100 * certain / level:.2g} %" if relative else f"{certain:.2g}"
    limit = f"{100 * share:.3g} %" if relative else f"{share:.3g}"
    needed = max(2, math.ceil(len(asked.items) * (certain / (share * level)) ** 2))
    enough = certain <= share * level
    says = f" certify {words} (80 % power, {basis}); the limit "
    says += f"is {limit}" if enough else f"of {limit} needs about {needed:,}"
    return row.but(says, certifies=words, needs=needed, basis=basis, enough=enough)


def _level(asked: Asked) -> Certificate:
    """A floor or a ceiling of a share: how far beyond it the truth has to lie."""
    gate, row, count = asked.gate, asked.row("items"), len(asked.items)
    floor = gate.form == "min"
    limit = gate.limit if floor else 1 - gate.limit
    if not 0 < limit < 1:
        return row
    if mean_level(np.ones(count), alpha=asked.alpha).lower <= limit:
        return row.but(f" cannot PASS {gate.form} {100 * gate.limit:.3g} % whatever they show", possible=False)
    need = limit
    for _ in range(50):
        spread = normal_quantile(1 - asked.alpha) * math.sqrt(limit * (1 - limit))
        spread += normal_quantile(POWER) * math.sqrt(max(0.0, need * (1 - need)))
        need = min(1.0, limit + spread / math.sqrt(count))
    truth = f"{100 * (need if floor else 1 - need):.3g} %"
    side = "from" if floor else "up to"
    best = "" if {item.cluster for item in asked.items} == {None} else " at best"
    says = f" certify {gate.form} {100 * gate.limit:.3g} % {side} a true {truth}{best} (80 % power)"
    return row.but(says, certifies=f"{side} {truth}", basis="binomial")
