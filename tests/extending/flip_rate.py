"""`max_flip_rate`: the largest share of items whose outcome changes, in either direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned
from harness.notation import Notation, percent

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.records.columns import Floats
    from harness.samples.pairs import PairedMetric
    from harness.stats import MeanLevel


def _changed(sample: PairedMetric, alpha: float) -> tuple[Floats, MeanLevel]:
    from harness.stats import mean_level

    changed = (sample.baseline != sample.candidate).astype(np.float64)
    return changed, mean_level(changed, alpha=alpha, clusters=sample.clusters, shares=True)


def judge(sample: PairedMetric, terms: Terms) -> Judgement:
    _, level = _changed(sample, terms.alpha)
    estimate = Estimate(value=level.mean, lower=level.lower, upper=level.upper, n=level.n, p=level.p_above(terms.limit))
    decision = decide(estimate, terms.limit, ceiling=True)
    return Judgement(
        decision=decision,
        reason=reasoned(f"{percent(level.mean)} of the outcomes changed, limit {percent(terms.limit)}", decision),
        estimate=estimate,
    )


def derive(sample: PairedMetric, terms: Terms) -> Derivation:
    from harness.derivations.mean_level import level_of_items

    changed, level = _changed(sample, terms.alpha)
    return level_of_items(changed, level, alpha=terms.alpha)


def certify(design: Design, limit: float) -> Certified:
    from harness.forms.design import UNKNOWN

    return UNKNOWN


MAX_FLIP_RATE = Form(
    key="max_flip_rate",
    says="Largest share of items whose outcome changes.",
    noun="flip rate",
    ceiling=True,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1",
    kinds=frozenset({"binary"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    judge=judge,
    derive=derive,
    certify=certify,
    neutral=0.0,
)
