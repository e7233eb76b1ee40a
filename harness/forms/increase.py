"""`max_increase`: the largest relative rise of perplexity or bits per byte, document by document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned
from harness.notation import Notation, bounds, confidence, count, count_is, more_would_decide, percent

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.samples.measures import Level
    from harness.samples.sample import DocumentSample


def document_estimate(level: Level, limit: float, *, ceiling: bool) -> Estimate:
    """A figure of documents; under 20 of them its interval is not reliable."""
    claim = level.p_above if ceiling else level.p_below
    return Estimate(
        value=level.value,
        lower=level.lower,
        upper=level.upper,
        n=level.n,
        reliable=level.reliable,
        why_unreliable=level.why_unreliable or f"{count_is(level.n, 'document')} too few for an interval (20 at least)",
        p=claim(limit) if claim is not None and level.reliable else None,
    )


def judge_increase(sample: DocumentSample, terms: Terms) -> Judgement:
    from harness.samples.measures import increase_of
    from harness.stats import more_documents
    from harness.stats.documents import FEW_DOCUMENTS

    limit = terms.limit
    level = increase_of(sample.documents, sample.metric, alpha=terms.alpha)
    estimate = document_estimate(level, limit, ceiling=True)
    decision = decide(estimate, limit, ceiling=True)
    measured = (
        f"{sample.metric.replace('_', ' ')} {'up' if level.value >= 0 else 'down'} {percent(abs(level.value))}, "
        f"one-sided {confidence(terms.alpha)} bounds {bounds(level.lower, level.upper, percent)} "
        f"over {count(level.n, 'document')}; limit {percent(limit)}"
    )
    more, note = None, None
    if decision == "INCONCLUSIVE" and not estimate.reliable:
        more, note = FEW_DOCUMENTS - level.n, estimate.why_unreliable
    elif decision == "INCONCLUSIVE":
        more = more_documents(level.n, value=level.value, upper=level.upper or 0.0, limit=limit)
        note = more_would_decide(more, "document")
    return Judgement(decision=decision, reason=reasoned(measured, decision, note), estimate=estimate, more_items=more)


def derive_increase(sample: DocumentSample, terms: Terms) -> Derivation:
    from harness.derivations.document_ratio import increase
    from harness.samples.measures import increase_of

    level = increase_of(sample.documents, sample.metric, alpha=terms.alpha)
    return increase(sample.documents, sample.metric, level, alpha=terms.alpha)


def certify_increase(design: Design, limit: float) -> Certified:
    from harness.forms.certified_level import certify_rise

    return certify_rise(design, limit)


MAX_INCREASE = Form(
    key="max_increase",
    says="Largest relative rise of a lower-is-better metric (perplexity).",
    noun="increase",
    ceiling=True,
    domain=(0, math.inf),
    percent=True,
    expects="a fraction above 0 or a percentage (0.02 or 2%)",
    kinds=frozenset({"perplexity"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    judge=judge_increase,
    derive=derive_increase,
    certify=certify_increase,
    neutral=0.0,
    accumulates=True,
)
