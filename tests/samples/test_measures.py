"""The divergence figures are llama-perplexity's own, from the same positions; the intervals count documents."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.measures import divergence_level, document_measures

GROUPS, LENGTH = 40, 50


def _positions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """KL, top-1 agreement and change of the true token's probability, [documents, tokens], leaning by document."""
    rng = np.random.default_rng(0)
    lean = rng.gamma(2.0, 0.5, size=(GROUPS, 1))
    kl = lean * rng.gamma(0.5, 0.02, size=(GROUPS, LENGTH))
    return kl, rng.random((GROUPS, LENGTH)) < 0.97, rng.normal(-0.002, 0.03, size=(GROUPS, LENGTH)) * lean


def _pairs(kl: np.ndarray, agree: np.ndarray, delta: np.ndarray) -> DocumentPairs:
    return DocumentPairs(
        task="t",
        baseline_nll=np.full(GROUPS, 100.0),
        candidate_nll=np.full(GROUPS, 101.0),
        tokens=np.full(GROUPS, float(LENGTH)),
        bytes=np.full(GROUPS, 200.0),
        slices={},
        divergence=Divergence(
            sums={
                "kl": kl.sum(axis=1),
                "top1_agree": agree.sum(axis=1).astype(float),
                "delta_p": delta.sum(axis=1),
                "delta_p_squared": (delta**2).sum(axis=1),
                "ear": (1 - np.minimum(kl, 1)).sum(axis=1),
            },
            values=kl.ravel(),
            lengths=(LENGTH,) * GROUPS,
            delta_p=delta.ravel(),
        ),
        failed=(),
        baseline_failed=(),
        slice_failed={},
        slice_baseline_failed={},
    )


def test_the_figures_are_the_plain_means_over_positions() -> None:
    """Mean KLD, “same top p”, mean and RMS of the change in p, median, percentiles and maximum, as llama.cpp
    defines them: over all positions alike, whatever document they are in."""
    kl, agree, delta = _positions()
    pairs = _pairs(kl, agree, delta)
    expected = {
        "kl_mean": kl.mean(),
        "kl_median": np.median(kl),
        "kl_p99": np.quantile(kl, 0.99),
        "kl_p999": np.quantile(kl, 0.999),
        "kl_max": kl.max(),
        "top1_agreement": agree.mean(),
        "delta_p_mean": delta.mean(),
        "delta_p_rms": math.sqrt((delta**2).mean()),
        "ear_mean": 1 - np.minimum(kl, 1).mean(),
        **{f"delta_p_p{part}": np.quantile(delta, part / 100) for part in (1, 5, 10, 90, 95, 99)},
    }
    for metric, value in expected.items():
        assert divergence_level(pairs, metric, alpha=0.05).value == pytest.approx(value, rel=1e-12), metric


def test_a_percentile_of_delta_p_has_the_bounds_of_the_share_below_it() -> None:
    """Woodruff's: the share of positions up to the estimate, bounded over documents, read back."""
    kl, agree, delta = _positions()
    level = divergence_level(_pairs(kl, agree, delta), "delta_p_p5", alpha=0.05)
    assert level.lower is not None
    assert level.upper is not None
    below = (delta <= level.value).mean(axis=1)
    half = t.ppf(0.95, GROUPS - 1) * below.std(ddof=1) / math.sqrt(GROUPS)
    bounds = np.quantile(delta, [below.mean() - half, below.mean() + half])
    assert (level.lower, level.upper) == pytest.approx(tuple(bounds), rel=1e-9)


def test_a_tail_in_few_documents_decides_nothing() -> None:
    """Three of forty documents have all tokens of the lowest percentile: the estimate stands, and is not reliable. In
    the middle, and of KL, it is."""
    kl, agree, delta = _positions()
    delta = np.where(np.arange(GROUPS)[:, None] < 3, delta - 1, delta)
    pairs = _pairs(kl, agree, delta)
    level = divergence_level(pairs, "delta_p_p1", alpha=0.05)
    assert not level.reliable
    assert level.why_unreliable.startswith("its tail lies in few documents, as in 1.3 that")
    assert divergence_level(pairs, "delta_p_p90", alpha=0.05).reliable
    assert divergence_level(pairs, "kl_p999", alpha=0.05).reliable
    unmoved = _pairs(kl, agree, np.zeros_like(delta))
    assert all(divergence_level(unmoved, f"delta_p_p{part}", alpha=0.05).reliable for part in (1, 10, 90, 99))
    note = next(each.note for each in document_measures(pairs, alpha=0.05) if each.metric == "delta_p_p1")
    assert note == level.why_unreliable


def test_what_was_not_kept_has_no_figure() -> None:
    """Records of earlier versions: every other figure is there, and these are left out of the measures."""
    whole = _pairs(*_positions())
    assert whole.divergence is not None
    sums = {name: values for name, values in whole.divergence.sums.items() if name != "ear"}
    earlier = replace(whole, divergence=replace(whole.divergence, sums=sums, delta_p=None))
    with pytest.raises(ValueError, match="ear_mean was not measured"):
        divergence_level(earlier, "ear_mean", alpha=0.05)
    names = {measure.metric for measure in document_measures(earlier, alpha=0.05)}
    assert names == {measure.metric for measure in document_measures(whole, alpha=0.05)} - {
        "ear_mean", *(f"delta_p_p{part}" for part in (1, 5, 10, 90, 95, 99)),
    }  # fmt: skip


def test_the_interval_counts_documents_not_tokens() -> None:
    """llama.cpp takes positions as independent: sqrt((mean of squares - mean^2) / (n - 1)). Where documents differ
    that is too narrow; ours is the error of the documents' means."""
    kl, agree, delta = _positions()
    level = divergence_level(_pairs(kl, agree, delta), "kl_mean", alpha=0.05)
    by_token = math.sqrt(((kl**2).mean() - kl.mean() ** 2) / (kl.size - 1))
    by_document = kl.mean(axis=1).std(ddof=1) / math.sqrt(GROUPS)
    assert level.upper is not None
    assert level.upper - level.value == pytest.approx(1.6848751195 * by_document, rel=1e-6)
    assert by_document > 1.5 * by_token
