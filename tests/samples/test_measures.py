"""The divergence figures are llama-perplexity's own, from the same positions; the intervals count documents."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.measures import divergence_level

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
            },
            values=kl.ravel(),
            lengths=(LENGTH,) * GROUPS,
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
    }
    for metric, value in expected.items():
        assert divergence_level(pairs, metric, alpha=0.05).value == pytest.approx(value, rel=1e-12), metric


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
