"""Shares of the baseline's score, `max_relative_drop` and `min_recovery`, and of fine-tuning's gain, `min_retained`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Recount, Terms, decide, reasoned
from harness.metrics.table import likelihood
from harness.notation import Notation, bounds, count, count_is, level, more_would_decide, number, percent, points

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.records.findings import Decision
    from harness.samples.base_pairs import ThreeWay
    from harness.samples.pairs import PairedMetric
    from harness.samples.whole_pairs import WholePairs
    from harness.stats import Recovery


def judge_share(sample: PairedMetric | WholePairs, terms: Terms, *, lost: bool) -> Judgement:
    """candidate / baseline. `lost`: value, bounds and limit are what is missing to 1; it is judged by what is kept."""
    from harness.forms.whole import judge_whole_share
    from harness.samples.whole_pairs import WholePairs

    if isinstance(sample, WholePairs):
        return judge_whole_share(sample, terms, lost=lost)
    metric, against = sample.metric, terms.against
    if not sample.higher_is_better:
        return Judgement.invalid(f"{metric} is better when lower, so no share of it can be kept; use max_drop")
    before = float(sample.baseline.mean())
    if before <= 0:
        return Judgement.invalid(f"{against}'s {metric} is {number(before)}, so no share of it can be kept")
    found = recovery_of(sample, alpha=terms.alpha)
    limit = 1 - terms.limit if lost else terms.limit
    kept = Estimate(value=found.ratio, lower=found.lower, upper=found.upper, n=found.n, p=found.p_fail(limit))
    decision = decide(kept, limit, ceiling=False)
    measured = (
        f"keeps {percent(kept.value)} of {against}'s {metric} ({bounds(found.lower, found.upper, percent)}), "
        f"limit {percent(limit)}"
    )
    missing = replace(kept, value=1 - found.ratio, lower=1 - found.upper, upper=1 - found.lower)
    reason = reasoned(measured, decision, found.warning)
    return Judgement(decision=decision, reason=reason, estimate=missing if lost else kept)


def recovery_of(sample: PairedMetric, *, alpha: float) -> Recovery:
    """The share of the baseline's score that is kept, by the method that fits."""
    from harness.stats import clustered_recovery, graded_recovery, paired_recovery

    if sample.kind == "binary" and sample.clusters is not None:
        return clustered_recovery(sample.baseline, sample.candidate, sample.clusters, alpha=alpha)
    if sample.kind == "binary":
        return paired_recovery(sample.count, sample.both, sample.worse, sample.better, alpha=alpha)
    return graded_recovery(sample.baseline, sample.candidate, alpha=alpha, clusters=sample.clusters)


def derive_share(sample: PairedMetric | WholePairs, terms: Terms, *, lost: bool) -> Derivation:
    from harness.derivations.bootstrap import of_whole
    from harness.derivations.fieller import share_of_mean
    from harness.derivations.nam import share_of_right
    from harness.samples.whole_pairs import WholePairs

    note = "the steps are in shares kept, r; the gate's value and bounds are 1 − r, the limit too"
    if isinstance(sample, WholePairs):
        derived = of_whole(sample, "kept", alpha=terms.alpha)
        return replace(derived, notes=(note,)) if lost else derived
    found, alpha = recovery_of(sample, alpha=terms.alpha), terms.alpha
    if sample.kind == "binary":
        limit = 1 - terms.limit if lost else terms.limit
        derived = share_of_right(sample, found, limit=limit, alpha=alpha)
    else:
        derived = share_of_mean(sample, found, alpha=alpha)
    return replace(derived, notes=(note,)) if lost else derived


def recount_share(sample: PairedMetric | WholePairs, terms: Terms, *, lost: bool) -> Recount | None:
    from harness.samples.pairs import PairedMetric
    from harness.stats import paired_recovery
    from harness.stats.decision import decide as decided

    if not isinstance(sample, PairedMetric):
        return None
    right, won = int((sample.baseline == 1).sum()), int(sample.better)
    if sample.kind != "binary" or not sample.whole or sample.clusters is not None or not right:
        return None
    limit = 1 - terms.limit if lost else terms.limit

    def decision(count: int) -> Decision:
        kept = paired_recovery(sample.count, max(0, right - count), count, won, alpha=terms.alpha)
        return decided(kept.lower, kept.upper, limit, ceiling=False).value

    others = f"with the same {won} the other way"
    return Recount(decide=decision, seen=int(sample.worse), most=sample.count - won, n=sample.count, others=others)


def certify_share(design: Design, limit: float, *, lost: bool) -> Certified:
    from harness.forms.certified_loss import certify_loss

    return certify_loss(design, limit if lost else 1 - limit, relative=True)


def judge_retained(sample: ThreeWay, terms: Terms) -> Judgement:
    """(candidate - base) / (fine-tuned - base), on three models' answers to the same items."""
    from harness.samples.base_pairs import retained_of, undefined
    from harness.stats import more_of_gain
    from harness.stats.documents import FEW_DOCUMENTS

    found, thing = retained_of(sample, alpha=terms.alpha), "document" if sample.weights is not None else "item"
    low, high = _gained(sample, found.gain_lower), _gained(sample, found.gain_upper)
    gain = f"{_gained(sample, found.gain)} ({low.partition(' ')[0]} to {high})"
    if (why := undefined(found)) is not None:
        told = f"{why}: it gained {gain} over {count(found.n, thing)}"
        return Judgement.none(told) if found.state == "not shown" else Judgement.invalid(told)
    assert found.share is not None
    assert found.lower is not None
    assert found.upper is not None
    estimate = Estimate(
        value=found.share, lower=found.lower, upper=found.upper, n=found.n, reliable=found.reliable,
        why_unreliable=f"{count_is(found.n, thing)} too few for an interval ({FEW_DOCUMENTS} at least)",
        p=found.p_fail(terms.limit) if found.reliable else None,
    )  # fmt: skip
    decision = decide(estimate, terms.limit, ceiling=False)
    measured = (
        f"keeps {percent(found.share)} ({percent(found.lower)} to {percent(found.upper)}) of what fine-tuning gained "
        f"in {sample.metric}, {gain}; limit {percent(terms.limit)}"
    )
    more, note = None, None
    if decision == "INCONCLUSIVE" and not found.reliable:
        more, note = FEW_DOCUMENTS - found.n, estimate.why_unreliable
    elif decision == "INCONCLUSIVE":
        more = more_of_gain(found, terms.limit)
        note = more_would_decide(more, thing)
    reason = reasoned(measured, decision, note, found.warning)
    if not found.reliable:
        reason = replace(reason, ending="")
    return Judgement(decision=decision, reason=reason, estimate=estimate, more_items=more)


def _gained(sample: ThreeWay, value: float) -> str:
    if sample.weights is not None:
        return level(value, likelihood(sample.metric).gain_unit)
    return points(value) if sample.kind == "binary" else number(value)


def derive_retained(sample: ThreeWay, terms: Terms) -> Derivation:
    from harness.derivations.contrast import score_of_gain
    from harness.derivations.fieller import share_of_gain
    from harness.derivations.shapes import Derivation
    from harness.samples.base_pairs import retained_of
    from harness.stats.share_tests import FiellerTest, ScoreTest

    found = retained_of(sample, alpha=terms.alpha)
    match found.test:
        case ScoreTest() as test:
            return score_of_gain(sample, found, test, limit=terms.limit, alpha=terms.alpha)
        case FiellerTest() as test:
            return share_of_gain(sample, found, test, alpha=terms.alpha)
    return Derivation()


def recount_retained(sample: ThreeWay, terms: Terms) -> Recount | None:
    """Flips between the fine-tuned model and the candidate. Over clusters it matters where they are."""
    import numpy as np

    if sample.kind != "binary" or sample.clusters is not None:
        return None
    right = 1.0 if sample.higher_is_better else 0.0
    had, has = sample.fine_tuned == right, sample.candidate == right
    first = np.argsort(sample.base == right, kind="stable")  # what the base got wrong is changed first
    lost, kept = first[(had & ~has)[first]], first[(had & has)[first]]

    def decision(count: int) -> Decision:
        changed = sample.candidate.copy()
        changed[lost[: max(0, lost.size - count)]] = right
        changed[kept[: max(0, count - lost.size)]] = 1 - right
        return judge_retained(replace(sample, candidate=changed), terms).decision

    others = "the others as they are, items that the base got wrong first"
    return Recount(decide=decision, seen=lost.size, most=int(had.sum()), n=sample.count, others=others)


def certify_retained(design: Design, limit: float) -> Certified:
    from harness.forms.certified_level import certify_documents
    from harness.forms.certified_loss import certify_gain
    from harness.forms.design import UNKNOWN

    if design.kind in ("binary", "graded"):
        return certify_gain(design, 1 - limit)
    return certify_documents(design) or UNKNOWN


MAX_RELATIVE_DROP = Form(
    key="max_relative_drop",
    says="Largest loss as a share of the baseline's value.",
    noun="relative drop",
    ceiling=True,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded", "corpus"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    judge=partial(judge_share, lost=True),
    derive=partial(derive_share, lost=True),
    certify=partial(certify_share, lost=True),
    recount=partial(recount_share, lost=True),
    neutral=0.0,
    loss_of="level",
)
MIN_RECOVERY = Form(
    key="min_recovery",
    says="Smallest candidate / baseline; 0.97 is the same as max_relative_drop 3%.",
    noun="recovery",
    ceiling=False,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded", "corpus"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    judge=partial(judge_share, lost=False),
    derive=partial(derive_share, lost=False),
    certify=partial(certify_share, lost=False),
    recount=partial(recount_share, lost=False),
    neutral=1.0,
    loss_of="level",
)
MIN_RETAINED = Form(
    key="min_retained",
    says=(
        "Smallest share of what fine-tuning gained over `base` that is kept: (candidate - base) / (fine-tuned - base)."
    ),
    noun="retained",
    ceiling=False,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded", "perplexity"}),
    notation=Notation.PERCENT,
    looks_at="base",
    judge=judge_retained,
    derive=derive_retained,
    certify=certify_retained,
    recount=recount_retained,
    neutral=1.0,
    loss_of="gain",
)
