"""What several samples judged as one can certify before the run: the certified drop of each, put together as their
bounds are (`harness.stats.mover`)."""

from __future__ import annotations

import math

from harness.forms.certified_loss import certain_loss
from harness.forms.design import UNKNOWN, Certified, Design
from harness.notation import Notation, significant
from harness.stats.decision import normal_quantile, unseen_share


def certify_strata(design: Design, limit: float) -> Certified:
    """The smallest weighted drop that passes with 80 % power."""
    if not design.parts:  # one sample alone, such as a slice without a rest
        return UNKNOWN
    parts = design.parts
    least = math.hypot(*(weight * unseen_share(each.units, normal_quantile(1 - each.alpha)) for weight, each in parts))
    limited = f"{significant(100 * limit, 4)} pp"
    if least >= limit:
        return Certified.impossible(f" cannot PASS {limited} even with no flip at all")
    each = [certain_loss(part) for _, part in parts]
    if any(loss is None for loss in each):
        return UNKNOWN
    certain = math.hypot(*(weight * (loss or 0.0) for (weight, _), loss in zip(parts, each, strict=True)))
    if not math.isfinite(certain):
        return Certified.impossible("; one item or cluster proves nothing about another")
    widest = max(zip(parts, each, strict=True), key=lambda found: abs(found[0][0]) * (found[1] or 0.0))[0][1]
    basis = widest.flips.basis if widest.kind == "binary" or widest.seen is None else widest.seen.basis
    enough = certain <= limit
    needs = None if enough else max(design.count + 1, math.ceil(design.count * (certain / limit) ** 2))
    loss = Notation.POINTS.rough(certain, "fraction")
    return Certified.against(loss, limited, basis, enough=enough, needs=needs, needed=f"about {needs or 0:,}")
