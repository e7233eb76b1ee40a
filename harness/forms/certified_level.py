"""What a limit on a value of its own, on a rise or on what is timed can certify before the run."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from harness.forms.design import POWER_WORDS, UNKNOWN, Basis, Certified, Design
from harness.metrics.row import TokenMaximum
from harness.metrics.table import lookup
from harness.notation import Notation, significant
from harness.stats import mean_level
from harness.stats.decision import normal_quantile
from harness.stats.documents import FEW_DOCUMENTS
from harness.stats.promise import POWER, certified_level
from harness.stats.speed import FEW_PAIRS


def certify_right(design: Design, limit: float, *, ceiling: bool) -> Certified:
    """A floor or a ceiling of a share of right answers: how far beyond it the truth has to be."""
    sizes, floor = design.sizes, 1 - limit if ceiling else limit
    if design.kind != "binary" or not 0 < floor < 1:
        return Certified()
    labels, written = (
        None if sizes is None else np.repeat(np.arange(len(sizes)), sizes),
        f"{'max' if ceiling else 'min'} {Notation.PERCENT.limit(limit, '')}",
    )
    if mean_level(np.ones(design.count), alpha=design.alpha, clusters=labels).lower <= floor:
        return Certified.impossible(f" cannot PASS {written} whatever they show")
    need = certified_level(floor, sizes or (1,) * design.count, clustered=sizes is not None, alpha=design.alpha)
    truth, side = f"{significant(100 * (1 - need if ceiling else need), 3)} %", "up to" if ceiling else "from"
    best = "" if sizes is None else " at best"
    says = f" certify {written} {side} a true {truth}{best} ({POWER_WORDS})"
    return Certified(says=says, certifies=f"{side} {truth}", basis=Basis(what="binomial"))


def certify_documents(design: Design) -> Certified | None:
    """What holds of every limit on documents; None where it is for the form to say."""
    metric = lookup(design.metric)
    if metric is not None and isinstance(metric.computed, TokenMaximum):
        return Certified(says="; the largest value seen, exact", certifies="exact")
    if design.count < FEW_DOCUMENTS:
        return Certified.impossible(f"; under {FEW_DOCUMENTS} it can only be INCONCLUSIVE", FEW_DOCUMENTS)
    if design.kind != "divergence":
        return None
    if design.seen is None:
        return UNKNOWN
    unit = metric.unit if metric is not None and metric.unit != "fraction" else ""
    words, basis = Notation.LEVEL.rough(design.reach * design.seen.error, unit), design.seen.basis
    says = f" certify to within {words} of the limit ({POWER_WORDS}, {basis})"
    return Certified(says=says, certifies=words, basis=basis)


def certify_rise(design: Design, limit: float) -> Certified:
    """The smallest rise that so many documents can show to be safe, where a run showed how they spread."""
    if (found := certify_documents(design)) is not None:
        return found
    if design.seen is None:
        return UNKNOWN
    half = design.reach * design.seen.error
    certain, basis = math.expm1(half), design.seen.basis
    needs = max(FEW_DOCUMENTS, math.ceil(design.count * (half / math.log1p(limit)) ** 2))
    loss, written = Notation.PERCENT.rough(certain, ""), Notation.PERCENT.limit(limit, "")
    found = Certified.against(
        f"a rise of {loss}", written, basis, enough=certain <= limit, needs=needs, needed=f"about {needs:,}"
    )
    return replace(found, certifies=loss)


def certify_sums(design: Design) -> Certified:
    """A ratio of sums over items, by the spread that a run showed."""
    if design.units == 1:
        return Certified.impossible("; one item or cluster proves nothing about another")
    if design.seen is None:
        return UNKNOWN
    reach = normal_quantile(1 - design.alpha) + normal_quantile(POWER)
    words, basis = Notation.PERCENT.rough(math.expm1(reach * design.seen.error), ""), design.seen.basis
    says = f" tell ratios {words} apart ({POWER_WORDS}, {basis})"
    return Certified(says=says, certifies=words, basis=basis)


def certify_measured(design: Design) -> Certified:
    """Memory is exact; what so many timed pairs tell apart goes by the spread of an earlier run."""
    if design.kind == "memory":
        return Certified(says=": exact, one fresh process each", certifies="exact")
    if design.count < FEW_PAIRS:
        return Certified.impossible(f"; {FEW_PAIRS} at least are needed to decide", FEW_PAIRS)
    if design.seen is None:
        return Certified(says="; what they tell apart is unknown until the first run")
    reach = normal_quantile(1 - design.alpha) + normal_quantile(POWER)
    words, basis = Notation.PERCENT.rough(math.expm1(reach * design.seen.error), ""), design.seen.basis
    says = f" tell ratios {words} apart ({POWER_WORDS}, {basis})"
    return Certified(says=says, certifies=words, basis=basis)
