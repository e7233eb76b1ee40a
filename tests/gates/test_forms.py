"""Every gate form on every edge: a defined verdict, and a sentence that explains it without a hole in it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from harness.gates.forms import judge_documents, judge_memory, judge_paired, judge_speed
from harness.gates.judgement import Judgement
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.pairs import PairedMetric
from harness.samples.timed_pairs import SpeedPairs
from harness.suite.gate_model import Gate
from tests.gates.handmade import HOST

PAIRED_FORMS: tuple[dict[str, float], ...] = (
    {"max_drop": 0.02},
    {"max_relative_drop": 0.02},
    {"min_recovery": 0.98},
    {"min": 0.5},
    {"max": 0.5},
)
HALF = np.repeat([1.0, 0.0], 500)


def paired(
    baseline: Any, candidate: Any, clusters: Any = None, *, higher: bool = True, failed: int = 0
) -> PairedMetric:
    left, right = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    binary = bool(np.isin(np.concatenate([left, right]), (0.0, 1.0)).all())
    return PairedMetric(
        task="t",
        metric="acc",
        kind="binary" if binary else "graded",
        higher_is_better=higher,
        baseline=left,
        candidate=right,
        clusters=None if clusters is None else np.asarray(clusters, dtype=np.int64),
        slices={},
        failing=np.arange(left.size) < failed,
        guess=None,
        baseline_failed=(),
    )


def whole(judgement: Judgement) -> str:
    """The reason, which holds no number that is none and is one full sentence part."""
    reason = judgement.reason
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
    gate = Gate(task="t", metric="acc", **PAIRED_FORMS[place])  # type: ignore[arg-type]
    judgement = judge_paired(gate, metric, alpha=0.05)
    reason = whole(judgement)
    assert judgement.decision == verdicts[place], reason
    few = metric.clusters is not None and 1 < len(set(metric.clusters.tolist())) < 40
    if few and judgement.decision != "INVALID":
        assert f"only {len(set(metric.clusters.tolist()))} clusters" in reason  # type: ignore[union-attr]


def documents(baseline: Any, candidate: Any, *, divergence: float | None = 0.0, **named: Any) -> DocumentPairs:
    left, right = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    count = left.size
    return DocumentPairs(
        task="t",
        baseline_nll=left,
        candidate_nll=right,
        tokens=np.full(count, 100.0),
        bytes=np.full(count, 400.0),
        slices={},
        divergence=None
        if divergence is None or not count
        else Divergence(
            sums={
                "kl": np.full(count, 100 * divergence),
                "top1_agree": np.full(count, 100.0 if divergence == 0 else 0.0),
                "delta_p": np.full(count, -100 * divergence),
                "delta_p_squared": np.full(count, 100 * divergence**2),
            },
            values=np.full(100 * count, divergence),
            lengths=(100,) * count,
        ),
        failed=named.get("failed", ()),
        baseline_failed=named.get("baseline_failed", ()),
        slice_failed={},
        slice_baseline_failed={},
    )


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
    judgement = judge_documents(Gate(task="t", **DOCUMENT_FORMS[place]), pairs, alpha=0.05)
    if judgement.estimate is not None and math.isinf(judgement.estimate.value):
        judgement = Judgement(decision=judgement.decision, reason=judgement.reason)
    reason = whole(judgement)
    assert judgement.decision == verdicts[place], reason


def speed(ratios: Any) -> SpeedPairs:
    candidate = np.asarray(ratios, dtype=float)
    return SpeedPairs(
        workload="1x8+8", metric="decode_tokens_per_s", baseline=np.ones(candidate.size), candidate=candidate
    )


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
    judgement = judge_speed(Gate(metric="decode_tokens_per_s", **form), speed(ratios), alpha=0.05)  # type: ignore[arg-type]
    assert judgement.decision == verdict, whole(judgement)
    whole(judgement)


@pytest.mark.parametrize(
    ("form", "candidate", "baseline", "verdict"),
    [
        ({"max_ratio": 0.5}, 10, 100, "PASS"),
        ({"max_ratio": 0.5}, 90, 100, "FAIL"),
        ({"max_ratio": 0.5}, 10, 0, "INCONCLUSIVE"),
        ({"max_ratio": 0.5}, None, 100, "INCONCLUSIVE"),
        ({"max_ratio": 0.5}, 10, None, "INCONCLUSIVE"),
        ({"max": 50}, 10, None, "PASS"),
        ({"min": 50}, 10, None, "FAIL"),
    ],
)
def test_memory(form: dict[str, float], candidate: int | None, baseline: int | None, verdict: str) -> None:
    """Exact figures: decided whenever both can be had, and a figure that cannot be had is never 0."""
    record = SpeedRecord(
        key="k",
        variant="q",
        baseline="fp32",
        host=HOST,
        workloads=(),
        memory=MemoryFigures(weight_bytes=candidate),
        baseline_memory=MemoryFigures(weight_bytes=baseline),
        measured_at="2026-01-01T00:00:00+00:00",
    )
    judgement = judge_memory(Gate(metric="weight_bytes", **form), record)  # type: ignore[arg-type]
    reason = judgement.reason
    assert judgement.decision == verdict, reason
    assert not re.search(r"\b(nan|inf|None)\b", reason), reason
