"""Metrics of speed: figures of one timed run, compared as ratios over adjacent pairs of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics.row import Headline, Metric, TimedFigure

if TYPE_CHECKING:
    from harness.records.timings import TimingSample, WorkloadTimes


def _prefill(run: TimingSample, workload: WorkloadTimes) -> float:
    return workload.batch * workload.prompt_tokens / run.ttft_s


def _decode(run: TimingSample, workload: WorkloadTimes) -> float:
    return workload.batch * (workload.new_tokens - 1) / (run.end_to_end_s - run.ttft_s)


def _ttft(run: TimingSample, _: WorkloadTimes) -> float:
    return run.ttft_s


def _throughput(name: str, description: str, computed: TimedFigure, headline: Headline | None = None) -> Metric:
    return Metric(
        name=name,
        kind="speed",
        unit="tok/s",
        description=description,
        computed=computed,
        higher_is_better=True,
        neutral=1.0,
        headline=headline,
    )


def _seconds(name: str, description: str, computed: TimedFigure) -> Metric:
    return Metric(name=name, kind="speed", unit="s", description=description, computed=computed, neutral=1.0)


def _gap(name: str, quantile: float, description: str, formula: str, *, tokens: int = 0) -> Metric:
    """A quantile of the times between new tokens."""

    def of(run: TimingSample, _: WorkloadTimes) -> float:
        import numpy as np

        return float(np.quantile(run.inter_token_s, quantile))

    return _seconds(name, description, TimedFigure(of=of, formula=formula, tokens=tokens))


SPEED = (
    _throughput(
        "prefill_tokens_per_s",
        "prompt tokens per second",
        TimedFigure(of=_prefill, formula="batch · prompt_tokens / ttft_s"),
    ),
    _throughput(
        "decode_tokens_per_s",
        "new tokens per second after the first",
        TimedFigure(of=_decode, formula="batch · (new_tokens − 1) / (end_to_end_s − ttft_s)"),
        headline=Headline(title="decode", rank=4),
    ),
    _seconds("ttft_s", "time to first token", TimedFigure(of=_ttft, formula="ttft_s")),
    _gap("inter_token_p50_s", 0.50, "median time between new tokens", "median of inter_token_s"),
    _gap("inter_token_p95_s", 0.95, "95th percentile between new tokens", "95th percentile of inter_token_s"),
    _gap(
        "inter_token_p99_s",
        0.99,
        "99th percentile between new tokens",
        "99th percentile of inter_token_s",
        tokens=1000,
    ),
)
