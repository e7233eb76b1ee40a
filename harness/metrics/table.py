"""What each metric is: which direction is better, which gates fit it, its unit. One table, no computation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["binary", "graded", "perplexity", "divergence", "speed", "memory"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    name: str
    kind: Kind
    higher_is_better: bool
    unit: str
    says: str


def _row(name: str, kind: Kind, unit: str, says: str, *, higher: bool = False) -> Metric:
    return Metric(name=name, kind=kind, higher_is_better=higher, unit=unit, says=says)


METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        _row("acc", "binary", "fraction", "share of items answered right", higher=True),
        _row(
            "acc_norm",
            "binary",
            "fraction",
            "acc with the log-likelihood per character",
            higher=True,
        ),
        _row("exact_match", "binary", "fraction", "answer equals the reference", higher=True),
        _row("contains", "binary", "fraction", "answer contains the reference", higher=True),
        _row("f1", "graded", "fraction", "word overlap F1 with the reference", higher=True),
        _row("perplexity", "perplexity", "", "exp of the mean negative log-likelihood per token"),
        _row("bits_per_byte", "perplexity", "bits", "negative log2-likelihood per byte of text"),
        _row("kl_mean", "divergence", "nats", "mean KL(baseline || variant) per scored token"),
        _row("kl_median", "divergence", "nats", "median KL per scored token"),
        _row("kl_p95", "divergence", "nats", "95th percentile of KL"),
        _row("kl_p99", "divergence", "nats", "99th percentile of KL"),
        _row("kl_p999", "divergence", "nats", "99.9th percentile of KL"),
        _row("kl_max", "divergence", "nats", "largest KL"),
        _row("top1_agreement", "divergence", "fraction", "same most likely token", higher=True),
        _row(
            "delta_p_mean",
            "divergence",
            "fraction",
            "mean change of the true token's probability",
            higher=True,
        ),
        _row("delta_p_rms", "divergence", "fraction", "RMS change of the true token's probability"),
        _row("prefill_tokens_per_s", "speed", "tok/s", "prompt tokens per second", higher=True),
        _row(
            "decode_tokens_per_s",
            "speed",
            "tok/s",
            "new tokens per second after the first",
            higher=True,
        ),
        _row("ttft_s", "speed", "s", "time to first token"),
        _row("inter_token_p50_s", "speed", "s", "median time between new tokens"),
        _row("inter_token_p95_s", "speed", "s", "95th percentile between new tokens"),
        _row("inter_token_p99_s", "speed", "s", "99th percentile between new tokens"),
        _row("weight_bytes", "memory", "B", "bytes of resident weights"),
        _row("disk_bytes", "memory", "B", "bytes of weights on disk"),
        _row("process_peak_bytes", "memory", "B", "peak memory of the process during inference"),
        _row("allocator_peak_bytes", "memory", "B", "peak allocated on the GPU during inference"),
        _row("allocator_reserved_bytes", "memory", "B", "peak reserved on the GPU by the allocator"),
        _row("device_peak_bytes", "memory", "B", "the process's VRAM as the driver counts it (NVML)"),
    )
}
"""Metrics quantgate computes itself. lm-eval tasks bring more; see `lookup`."""


def lookup(name: str) -> Metric | None:
    """The metric of this name, also with an lm-eval filter behind a comma (`exact_match,strict-match`)."""
    return METRICS.get(name.split(",", 1)[0])
