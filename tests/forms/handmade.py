"""Samples by hand, and what a gate says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness.comparison.task_sides import Paired
from harness.forms.base import Judgement
from harness.gates.evidence import select
from harness.samples.documents import Divergence, DocumentPairs
from harness.samples.pairs import PairedMetric
from harness.samples.timed_pairs import SpeedPairs
from harness.suite.gate_model import Gate

NOTHING = Paired(metrics={}, documents={}, broken={}, flips=(), flips_total={}, behaviours={})


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


def documents(baseline: Any, candidate: Any, *, divergence: float | None = 0.0, **named: Any) -> DocumentPairs:
    left, right = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    count = left.size
    return DocumentPairs(
        task="t",
        baseline_nll=left,
        candidate_nll=right,
        tokens=np.full(count, 100.0),
        bytes=np.full(count, 400.0),
        words=np.full(count, named["words"]) if "words" in named else None,
        slices={},
        divergence=None
        if divergence is None or not count
        else Divergence(
            sums={
                "kl": np.full(count, 100 * divergence),
                "top1_agree": np.full(count, 100.0 if divergence == 0 else 0.0),
                "delta_p": np.full(count, -100 * divergence),
                "delta_p_squared": np.full(count, 100 * divergence**2),
                "ear": np.full(count, 100 * (1 - min(1, divergence))),
            },
            values=np.full(100 * count, divergence),
            lengths=(100,) * count,
            delta_p=np.full(100 * count, -divergence),
        ),
        failed=named.get("failed", ()),
        baseline_failed=named.get("baseline_failed", ()),
        slice_failed={},
        slice_baseline_failed={},
    )


def speed(ratios: Any) -> SpeedPairs:
    candidate = np.asarray(ratios, dtype=float)
    return SpeedPairs(
        workload="1x8+8", metric="decode_tokens_per_s", baseline=np.ones(candidate.size), candidate=candidate
    )


def judged(limit: Mapping[str, Any], sample: PairedMetric | DocumentPairs, *, alpha: float = 0.05) -> Judgement:
    """What a gate says of the items or documents of a whole task, selected as `gate` does. `limit`: `{max_drop: 0.02}`,
    with the metric where it is not acc."""
    gate = Gate.model_validate({"task": "t", "metric": "acc", **limit})
    if isinstance(sample, DocumentPairs):
        paired = replace(NOTHING, documents={"t": sample})
    else:
        paired = replace(NOTHING, metrics={("t", gate.metric): replace(sample, metric=gate.metric)})
    (found,) = select(gate, paired, None)
    return found.judge(gate.row, limit=gate.limit, alpha=alpha)
