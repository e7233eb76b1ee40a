"""Every gate form on every edge: a defined verdict, and a sentence that explains it without a hole in it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from harness.forms import FORMS
from harness.forms.base import Judgement, Terms
from harness.samples.documents import DocumentPairs
from harness.samples.pairs import PairedMetric
from harness.samples.sample import MemoryPair
from tests.forms.handmade import documents, judged, paired, speed

PAIRED_FORMS: tuple[dict[str, float], ...] = (
    {"max_drop": 0.02},
    {"max_relative_drop": 0.02},
    {"min_recovery": 0.98},
    {"min": 0.5},
    {"max": 0.5},
)
HALF = np.repeat([1.0, 0.0], 500)


def whole(judgement: Judgement) -> str:
    """The reason, which holds no number that is none and is one full sentence part."""
    reason = str(judgement.reason)
    assert not re.search(r"\b(nan|inf|None)\b", reason), reason
    assert len(reason.split()) >= 4, reason
    assert "  " not in reason, reason
    if judgement.decision == "INCONCLUSIVE":
        assert re.search(
            r"would decide|proves nothing|too few|no item|reaches across|was measured|time more|no document", reason
        ), reason
    if judgement.estimate is not None:
        assert math.isfinite(judgement.estimate.value)
    return reason


EDGES: dict[str, tuple[PairedMetric, tuple[str, str, str, str, str]]] = {
    # the verdicts of max_drop 2 pp, max_relative_drop 2 %, min_recovery 98 %, min 50 %, max 50 %
    "no item": (paired([], []), ("INCONCLUSIVE",) * 5),
    "one item": (paired([1], [1]), ("INCONCLUSIVE",) * 5),
    "two items": (paired([1, 0], [1, 0]), ("INCONCLUSIVE",) * 5),
    "three items": (paired([1, 0, 1], [1, 0, 0]), ("INCONCLUSIVE",) * 5),
    "no flip": (paired(HALF, HALF), ("PASS", "PASS", "PASS", "INCONCLUSIVE", "INCONCLUSIVE")),
    "every item lost": (paired(np.ones(50), np.zeros(50)), ("FAIL", "FAIL", "FAIL", "FAIL", "PASS")),
    "every item won": (paired(np.zeros(50), np.ones(50)), ("INVALID", "INVALID", "INVALID", "PASS", "FAIL")),
    "baseline never right": (
        paired(np.zeros(200), np.zeros(200)),
        ("INVALID", "INVALID", "INVALID", "FAIL", "PASS"),
    ),
    "baseline always right": (paired(np.ones(200), np.ones(200)), ("PASS", "PASS", "PASS", "PASS", "FAIL")),
    "one item alone, clustered": (paired([1], [0], [0]), ("INCONCLUSIVE",) * 5),
    "one cluster": (paired(HALF, HALF, np.zeros(1000)), ("INCONCLUSIVE",) * 5),
    "clusters of one": (
        paired(HALF, HALF, np.arange(1000)),
        ("PASS", "PASS", "PASS", "INCONCLUSIVE", "INCONCLUSIVE"),
    ),
    "ten clusters": (
        paired(np.ones(1000), np.ones(1000), np.arange(1000) // 100),
        ("INCONCLUSIVE",) * 3 + ("PASS", "FAIL"),
    ),
    "two clusters": (paired(HALF, 1 - HALF, np.arange(1000) % 2), ("INCONCLUSIVE",) * 5),
    "scores, one item": (paired([0.4], [0.3]), ("INCONCLUSIVE",) * 5),
    "scores, two items": (paired([0.4, 0.6], [0.3, 0.6]), ("INCONCLUSIVE",) * 5),
    "scores, all ties": (
        paired(np.linspace(0.2, 0.6, 300), np.linspace(0.2, 0.6, 300)),
        ("PASS", "INCONCLUSIVE", "INCONCLUSIVE", "FAIL", "PASS"),
    ),
    "scores, all ties, many": (
        paired(np.linspace(0.2, 0.6, 400), np.linspace(0.2, 0.6, 400)),
        ("PASS", "PASS", "PASS", "FAIL", "PASS"),
    ),
    "scores, all ties, few": (paired(np.full(20, 0.7), np.full(20, 0.7)), ("INCONCLUSIVE",) * 3 + ("PASS", "FAIL")),
    "scores, constant and lower": (
        paired(np.full(300, 0.7), np.full(300, 0.3)),
        ("FAIL", "FAIL", "FAIL", "FAIL", "PASS"),
    ),
    "scores, one small change": (
        paired(np.full(100, 0.7), np.r_[0.69, np.full(99, 0.7)]),
        ("INCONCLUSIVE",) * 3 + ("PASS", "FAIL"),
    ),
    "scores, one cluster": (paired(np.full(30, 0.7), np.full(30, 0.6), np.zeros(30)), ("INCONCLUSIVE",) * 5),
    "scores, baseline at nothing": (
        paired(np.zeros(300), np.r_[0.5, np.zeros(299)]),
        ("INVALID", "INVALID", "INVALID", "FAIL", "PASS"),
    ),
    "scores below zero": (
        paired(np.full(300, -2.0), np.full(300, -2.5)),
        ("FAIL", "INVALID", "INVALID", "FAIL", "PASS"),
    ),
    "lower is better": (
        paired(np.full(300, 0.3), np.full(300, 0.3), higher=False),
        ("PASS", "INVALID", "INVALID", "FAIL", "PASS"),
    ),
    "some answers failed": (
        paired(np.ones(300), np.r_[np.zeros(30), np.ones(270)], failed=30),
        ("FAIL", "FAIL", "FAIL", "PASS", "FAIL"),
    ),
}


@pytest.mark.parametrize("place", range(5), ids=[next(iter(form)) for form in PAIRED_FORMS])
@pytest.mark.parametrize("edge", EDGES)
def test_metrics_of_items(edge: str, place: int) -> None:
    """acc, F1 and every other metric of items: the verdict of each form at each edge, and why."""
    metric, verdicts = EDGES[edge]
    judgement = judged(PAIRED_FORMS[place], metric)
    reason = whole(judgement)
    assert judgement.decision == verdicts[place], reason
    few = metric.clusters is not None and 1 < len(set(metric.clusters.tolist())) < 40
    if few and judgement.decision != "INVALID":
        assert f"only {len(set(metric.clusters.tolist()))} clusters" in reason  # type: ignore[union-attr]


FLAT = np.full(30, 250.0)
RISE = {"metric": "perplexity", "max_increase": 0.02}
BYTES = {"metric": "bits_per_byte", "max_increase": 0.02}
TOP = {"metric": "perplexity", "max": 20.0}
KL = {"metric": "kl_mean", "max": 0.02}
AGREE = {"metric": "top1_agreement", "min": 0.9}
TAIL = {"metric": "kl_p99", "max": 0.02}
RMS = {"metric": "delta_p_rms", "max": 0.02}
DOCUMENT_FORMS: tuple[dict[str, Any], ...] = (RISE, BYTES, TOP, KL, AGREE, TAIL, RMS)
ONE = ("INCONCLUSIVE",) * 7
DOCUMENTS: dict[str, tuple[DocumentPairs, tuple[str, ...]]] = {
    # the verdicts of RISE, BYTES, TOP, KL, AGREE, TAIL, RMS
    "no document": (documents([], []), ONE),
    "one document": (documents([250.0], [250.0]), ONE),
    "two documents": (documents([250.0, 260.0], [250.0, 261.0]), ONE),
    "nineteen documents": (documents(FLAT[:19], FLAT[:19]), ONE),
    "all alike": (documents(FLAT, FLAT), ("PASS", "PASS", "PASS", "PASS", "PASS", "PASS", "PASS")),
    "all alike and worse": (
        documents(FLAT, FLAT * 1.5, divergence=0.5),
        ("FAIL", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL"),
    ),
    "lost altogether": (
        documents(FLAT, np.linspace(90_000.0, 99_000.0, 30), divergence=9.0),
        ("FAIL", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL", "FAIL"),
    ),
    "a document without a likelihood": (documents(FLAT, FLAT, failed=("d1",)), ("FAIL",) * 7),
    "a baseline without a likelihood": (documents(FLAT, FLAT, baseline_failed=("d1",)), ("INVALID",) * 7),
    "no divergence": (documents(FLAT, FLAT, divergence=None), ("PASS", "PASS", "PASS", *("INCONCLUSIVE",) * 4)),
}


@pytest.mark.parametrize("place", range(7), ids=[f"{form['metric']}-{list(form)[1]}" for form in DOCUMENT_FORMS])
@pytest.mark.parametrize("edge", DOCUMENTS)
def test_metrics_of_documents(edge: str, place: int) -> None:
    """Perplexity, bits per byte and divergence: under 20 documents nothing is decided, one has no interval."""
    pairs, verdicts = DOCUMENTS[edge]
    judgement = judged(DOCUMENT_FORMS[place], pairs)
    if judgement.estimate is not None and math.isinf(judgement.estimate.value):
        judgement = Judgement(decision=judgement.decision, reason=judgement.reason)
    reason = whole(judgement)
    assert judgement.decision == verdicts[place], reason


@pytest.mark.parametrize(
    ("form", "ratios", "verdict"),
    [
        ({"min_ratio": 1.2}, [1.3], "INCONCLUSIVE"),
        ({"min_ratio": 1.2}, [1.3] * 4, "INCONCLUSIVE"),
        ({"min_ratio": 1.2}, [1.3] * 9, "INCONCLUSIVE"),
        ({"min_ratio": 1.2}, [1.3] * 10, "PASS"),
        ({"min_ratio": 1.2}, [1.2] * 10, "INCONCLUSIVE"),
        ({"min_ratio": 1.2}, [1.1] * 10, "FAIL"),
        ({"max_ratio": 1.2}, [1.3] * 10, "FAIL"),
        ({"max_ratio": 1.2}, [1.1] * 3, "INCONCLUSIVE"),
        ({"max_ratio": 1.2}, [1.0] * 12, "PASS"),
        ({"min": 1.2}, [1.3] * 2, "INCONCLUSIVE"),
        ({"min": 1.2}, [1.3] * 12, "PASS"),
        ({"max": 1.2}, [1.3] * 12, "FAIL"),
    ],
)
def test_speed(form: dict[str, float], ratios: list[float], verdict: str) -> None:
    """Few pairs decide nothing; pairs that are all equal decide from ten on, by their signs alone."""
    ((key, limit),) = form.items()
    judgement = FORMS[key].judge(speed(ratios), Terms(limit=limit, alpha=0.05))
    assert judgement.decision == verdict, whole(judgement)
    whole(judgement)


@pytest.mark.parametrize(
    ("form", "candidate", "baseline", "verdict"),
    [
        ({"max_ratio": 0.5}, 10, 100, "PASS"),
        ({"max_ratio": 0.5}, 90, 100, "FAIL"),
        ({"max": 50}, 10, None, "PASS"),
        ({"min": 50}, 10, None, "FAIL"),
    ],
)
def test_memory(form: dict[str, float], candidate: int, baseline: int | None, verdict: str) -> None:
    """Exact figures are compared as they are."""
    sample = MemoryPair(metric="weight_bytes", baseline=baseline, candidate=candidate)
    ((key, limit),) = form.items()
    judgement = FORMS[key].judge(sample, Terms(limit=limit, alpha=0.05))
    reason = str(judgement.reason)
    assert judgement.decision == verdict, reason
    assert not re.search(r"\b(nan|inf|None)\b", reason), reason
