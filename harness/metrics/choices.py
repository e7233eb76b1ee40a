"""Metrics of options chosen by likelihood that follow from stored log-likelihoods: how sure the right choice is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.row import AnsweredPairs, FromAnswers, Metric

if TYPE_CHECKING:
    from harness.metrics.row import Floats
    from harness.records.columns import Answers


def _margins(pairs: AnsweredPairs) -> tuple[Floats, Floats] | None:
    """Of items with at least two options, one of them right; 0 on both sides where there is no margin to compare."""
    import numpy as np

    baseline, candidate = (_margin(pairs, each) for each in (pairs.baseline, pairs.candidate))
    counts = np.isfinite(baseline)
    if not counts.any():
        return None
    return np.where(counts, baseline, 0.0), np.where(counts, candidate, 0.0)


def _margin(pairs: AnsweredPairs, answers: Answers) -> Floats:
    """Log-likelihood of the right option minus the best wrong one, in nats, [n]; NaN where that has no meaning."""
    import numpy as np

    plan, places = pairs.plan, pairs.places
    whole = np.flatnonzero((answers.options == plan.options[places]) & (answers.options > 1))
    item, option, likelihoods = answers.offered(whole)
    is_right = plan.is_right[plan.first_option[places[whole]][item] + option]
    found = np.full((2, whole.size), -np.inf)
    known = np.where(np.isnan(likelihoods), -np.inf, likelihoods)
    np.maximum.at(found[0], item[is_right], known[is_right])
    np.maximum.at(found[1], item[~is_right], known[~is_right])
    margin: Floats = np.full(places.size, np.nan)
    finite = np.isfinite(found).all(axis=0)
    margin[whole[finite]] = found[0, finite] - found[1, finite]
    return margin


CHOICES = (
    Metric(
        name="margin_ratio",
        kind="ratio",
        unit="nats",
        description="margin of the right option over the best wrong one, candidate over baseline",
        computed=FromAnswers(of="choice", values=_margins, stored="options[].log_likelihood"),
        higher_is_better=True,
        neutral=1.0,
    ),
)
