"""`max_drop`: the largest absolute loss of a per-item metric, judged as non-inferiority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Recount, Terms, decide, reasoned
from harness.notation import Notation, bounds, confidence, more_would_decide, number, points

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.records.findings import Decision
    from harness.samples.pairs import PairedMetric
    from harness.samples.strata import StrataPairs
    from harness.samples.whole_pairs import WholePairs
    from harness.stats.mover import WeightedDrop


NOISE_CAP = 0.05
"""The largest limit that the baseline's own noise gives where the suite sets no other: more is no gate."""


def judge_drop(sample: PairedMetric | StrataPairs | WholePairs, terms: Terms) -> Judgement:
    from harness.forms.whole import judge_whole_drop
    from harness.samples.measures import drop_of
    from harness.samples.strata import StrataPairs
    from harness.samples.whole_pairs import WholePairs
    from harness.stats import PairedDrop, more_items

    if isinstance(sample, StrataPairs):
        return _judge_mean(sample, terms)
    if isinstance(sample, WholePairs):
        return judge_whole_drop(sample, terms)
    drop = drop_of(sample, margin=terms.limit, alpha=terms.alpha)
    estimate = Estimate(value=drop.drop, lower=drop.lower, upper=drop.upper, n=sample.count, p=drop.p_fail)
    decision = decide(estimate, terms.limit, ceiling=True)
    write = points if isinstance(drop, PairedDrop) else number
    worse, better = ("drop", "gain") if sample.higher_is_better else ("rise", "fall")
    measured = (
        f"{worse if drop.drop >= 0 else better} {write(abs(drop.drop))}, one-sided {confidence(terms.alpha)} bounds "
        f"{bounds(drop.lower, drop.upper, write)}; limit {write(terms.limit)}"
    )
    wanted = decision == "INCONCLUSIVE" and sample.count > 1 and drop.clusters != 1
    more = more_items(drop) if wanted else None
    return Judgement(
        decision=decision,
        reason=reasoned(
            measured,
            decision,
            drop.warning,
            more_would_decide(more, "item") if wanted else None,
            f"{sample.failed} of its answers failed and count as wrong" if sample.failed else None,
        ),
        estimate=estimate,
        more_items=more,
    )


def _judge_mean(sample: StrataPairs, terms: Terms) -> Judgement:
    """The mean over tasks."""
    from harness.forms.weighted import each_in_words, judge_weighted, writer

    write = writer(sample)

    def words(found: WeightedDrop) -> str:
        what = f"{'drop' if found.drop >= 0 else 'gain'} {write(abs(found.drop))}"
        return f"{what} over {len(sample.parts)} tasks ({each_in_words(sample, found)})"

    return judge_weighted(sample, terms, words)


def derive_drop(sample: PairedMetric | StrataPairs | WholePairs, terms: Terms) -> Derivation:
    from harness.derivations.bootstrap import of_whole
    from harness.derivations.paired_t import paired_t
    from harness.derivations.tango import tango
    from harness.forms.weighted import derive_weighted
    from harness.samples.measures import drop_of
    from harness.samples.strata import StrataPairs
    from harness.samples.whole_pairs import WholePairs
    from harness.stats import PairedDrop

    if isinstance(sample, StrataPairs):
        return derive_weighted(sample, terms)
    if isinstance(sample, WholePairs):
        return of_whole(sample, "loss", alpha=terms.alpha)
    drop = drop_of(sample, margin=terms.limit, alpha=terms.alpha)
    return tango(sample, drop) if isinstance(drop, PairedDrop) else paired_t(sample, drop)


def recount_drop(sample: PairedMetric | StrataPairs | WholePairs, terms: Terms) -> Recount | None:
    from harness.samples.measures import drop_of
    from harness.samples.pairs import PairedMetric
    from harness.stats import PairedDrop
    from harness.stats.drop import recounted

    if not isinstance(sample, PairedMetric):
        return None
    drop = drop_of(sample, margin=terms.limit, alpha=terms.alpha)
    if not isinstance(drop, PairedDrop) or not drop.whole or drop.clusters == 1 or drop.unseen is not None:
        return None
    won = int(drop.wrong_to_right)

    def decided(count: int) -> Decision:
        return recounted(drop, count, won).verdict.value

    others = f"with the same {won} the other way" if drop.clusters is None else "at the same design effect"
    return Recount(decide=decided, seen=int(drop.right_to_wrong), most=drop.n - won, n=drop.n, others=others)


def certify_drop(design: Design, limit: float) -> Certified:
    from harness.forms.certified_loss import certify_loss
    from harness.forms.certified_strata import certify_strata

    if design.parts:
        return certify_strata(design, limit)
    return certify_loss(design, limit, relative=False)


MAX_DROP = Form(
    key="max_drop",
    says="Largest absolute loss of a higher-is-better metric.",
    noun="drop",
    ceiling=True,
    domain=(0, 1),
    measured={"noise": NOISE_CAP},
    expects="a fraction from 0 to 1, or noise",
    kinds=frozenset({"binary", "graded", "corpus"}),
    notation=Notation.POINTS,
    looks_at="pairs",
    judge=judge_drop,
    derive=derive_drop,
    certify=certify_drop,
    recount=recount_drop,
    neutral=0.0,
    stops_early=True,
    loss_of="scale",
    pools=True,
    accumulates=True,
)
