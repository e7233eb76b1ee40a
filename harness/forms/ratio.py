"""`min_ratio` and `max_ratio`: speed over adjacent timed pairs, memory of one process each, or a sum
over items, over the baseline's."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned, side
from harness.notation import Notation, bounds, byte_size, count, count_is, ratio

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import MemoryPair
    from harness.samples.timed_pairs import SpeedPairs
    from harness.stats import Recovery, SpeedRatio


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


def judge_ratio(sample: SpeedPairs | MemoryPair | PairedMetric, terms: Terms, *, ceiling: bool) -> Judgement:
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import MemoryPair

    if isinstance(sample, PairedMetric):
        return _sums(sample, terms, ceiling=ceiling)
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


def _sums(sample: PairedMetric, terms: Terms, *, ceiling: bool) -> Judgement:
    """The candidate's sum over items over the baseline's."""
    from harness.samples.measures import NO_RATIO

    found = sums_of(sample, alpha=terms.alpha, ceiling=ceiling)
    if found is None:
        return Judgement.invalid(f"{sample.metric}: {NO_RATIO}")
    turned = _inverse if ceiling else float
    lower, upper = sorted((turned(found.lower), turned(found.upper)))
    p = found.p_fail(turned(terms.limit))
    estimate = Estimate(value=turned(found.ratio), lower=lower, upper=upper, n=sample.count, p=p)
    decision = decide(estimate, terms.limit, ceiling=ceiling)
    measured = (
        f"{sample.metric} is {ratio(estimate.value)} {terms.against}'s ({bounds(lower or None, upper, ratio)}, "
        f"{count(sample.count, 'item')}), limit {side(ceiling=ceiling)} {ratio(terms.limit)}"
    )
    failed = f"{sample.failed} of its answers failed and are taken as the baseline's" if sample.failed else None
    return Judgement(decision=decision, reason=reasoned(measured, decision, found.warning, failed), estimate=estimate)


def sums_of(sample: PairedMetric, *, alpha: float, ceiling: bool) -> Recovery | None:
    """For a floor candidate over baseline, for a ceiling baseline over candidate: the same test, whose p is of a share
    that must be kept. None where the baseline's mean, for a ceiling also the candidate's, is not above 0."""
    from harness.samples.measures import ratio_of

    if ceiling and not sample.baseline.mean() > 0:
        return None
    return ratio_of(_turned(sample) if ceiling else sample, alpha=alpha)


def _inverse(share: float) -> float:
    return 1 / share if share > 0 else math.inf


def _turned(sample: PairedMetric) -> PairedMetric:
    return replace(sample, baseline=sample.candidate, candidate=sample.baseline)


def _derive_sums(sample: PairedMetric, terms: Terms, *, ceiling: bool) -> Derivation:
    from harness.derivations.fieller import share_of_mean
    from harness.derivations.shapes import Derivation

    found = sums_of(sample, alpha=terms.alpha, ceiling=ceiling)
    if found is None:
        return Derivation()
    derived = share_of_mean(_turned(sample) if ceiling else sample, found, alpha=terms.alpha)
    note = "the steps are of baseline over candidate, R; the gate's value is 1 / R, its bounds 1 / U and 1 / L"
    return replace(derived, notes=(note,)) if ceiling else derived


def derive_ratio(sample: SpeedPairs | MemoryPair | PairedMetric, terms: Terms, *, ceiling: bool) -> Derivation:
    from harness.derivations.exact_bytes import exact_bytes
    from harness.derivations.signed_rank import signed_rank
    from harness.samples.pairs import PairedMetric
    from harness.samples.sample import MemoryPair
    from harness.stats import speed_ratio

    if isinstance(sample, PairedMetric):
        return _derive_sums(sample, terms, ceiling=ceiling)
    if isinstance(sample, MemoryPair):
        return exact_bytes(sample, ratio=True)
    found, what = speed_ratio(sample.ratios, alpha=terms.alpha), "ratio candidate / baseline of each pair"
    return signed_rank(sample.ratios, found, what, alpha=terms.alpha)


def certify_ratio(design: Design, limit: float) -> Certified:  # noqa: ARG001 -- pairs tell ratios apart, wherever
    from harness.forms.certified_level import certify_measured, certify_sums

    return certify_sums(design) if design.kind == "ratio" else certify_measured(design)


MIN_RATIO, MAX_RATIO = (
    Form(
        key=key,
        noun="ratio",
        ceiling=ceiling,
        domain=(0, math.inf),
        percent=True,
        kinds=frozenset({"ratio", "speed", "memory"}),
        notation=Notation.RATIO,
        looks_at="pairs",
        judge=partial(judge_ratio, ceiling=ceiling),
        derive=partial(derive_ratio, ceiling=ceiling),
        certify=certify_ratio,
        neutral=1.0,
    )
    for key, ceiling in (("min_ratio", False), ("max_ratio", True))
)
