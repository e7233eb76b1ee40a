"""`min_ratio` and `max_ratio`: speed over adjacent timed pairs, or memory of one process each, over the baseline's."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned, side
from harness.notation import Notation, bounds, byte_size, count, count_is, ratio

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.samples.sample import MemoryPair
    from harness.samples.timed_pairs import SpeedPairs
    from harness.stats import SpeedRatio


def timed_estimate(found: SpeedRatio, limit: float, *, ceiling: bool) -> Estimate:
    """A figure of timed pairs; under 10 of them its interval is not reliable."""
    return Estimate(
        value=found.ratio,
        lower=found.lower,
        upper=found.upper,
        n=found.pairs,
        reliable=found.reliable,
        why_unreliable=f"{count_is(found.pairs, 'timed pair')} too few (10 at least)",
        p=(found.p_fail_max if ceiling else found.p_fail_min)(limit) if found.reliable else None,
    )


def judge_ratio(sample: SpeedPairs | MemoryPair, terms: Terms, *, ceiling: bool) -> Judgement:
    from harness.samples.sample import MemoryPair

    if isinstance(sample, MemoryPair):
        return _memory(sample, terms, ceiling=ceiling)
    return _speed(sample, terms, ceiling=ceiling)


def _speed(sample: SpeedPairs, terms: Terms, *, ceiling: bool) -> Judgement:
    from harness.stats import speed_ratio

    found = speed_ratio(sample.ratios, alpha=terms.alpha)
    estimate = timed_estimate(found, terms.limit, ceiling=ceiling)
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    measured = (
        f"{sample.metric} is {ratio(estimate.value)} {terms.against}'s "
        f"({bounds(found.lower or None, found.upper, ratio)}, {count(found.pairs, 'pair')}), "
        f"limit {side(ceiling=ceiling)} {ratio(terms.limit)}"
    )
    more = "time more pairs (speed.pairs)" if estimate.reliable else estimate.why_unreliable
    note = more if decision == "INCONCLUSIVE" else None
    return Judgement(decision=decision, reason=reasoned(measured, decision, note), estimate=estimate)


def _memory(sample: MemoryPair, terms: Terms, *, ceiling: bool) -> Judgement:
    candidate, baseline = float(sample.candidate or 0), float(sample.baseline or 1)
    estimate = Estimate(value=candidate / baseline, lower=None, upper=None, n=1)
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    measured = (
        f"{sample.metric} is {byte_size(candidate)}, {ratio(estimate.value)} {terms.against}'s {byte_size(baseline)}; "
        f"limit {side(ceiling=ceiling)} {ratio(terms.limit)}"
    )
    return Judgement(decision=decision, reason=reasoned(measured, decision), estimate=estimate)


def derive_ratio(sample: SpeedPairs | MemoryPair, terms: Terms) -> Derivation:
    from harness.derivations.exact_bytes import exact_bytes
    from harness.derivations.signed_rank import signed_rank
    from harness.samples.sample import MemoryPair
    from harness.stats import speed_ratio

    if isinstance(sample, MemoryPair):
        return exact_bytes(sample, ratio=True)
    found, what = speed_ratio(sample.ratios, alpha=terms.alpha), "ratio candidate / baseline of each pair"
    return signed_rank(sample.ratios, found, what, alpha=terms.alpha)


def certify_ratio(design: Design, limit: float) -> Certified:  # noqa: ARG001 -- pairs tell ratios apart, wherever
    from harness.forms.certified_level import certify_measured

    return certify_measured(design)


MIN_RATIO, MAX_RATIO = (
    Form(
        key=key,
        noun="ratio",
        ceiling=ceiling,
        domain=(0, math.inf),
        percent=True,
        kinds=frozenset({"speed", "memory"}),
        notation=Notation.RATIO,
        looks_at="pairs",
        judge=partial(judge_ratio, ceiling=ceiling),
        derive=derive_ratio,
        certify=certify_ratio,
        neutral=1.0,
    )
    for key, ceiling in (("min_ratio", False), ("max_ratio", True))
)
