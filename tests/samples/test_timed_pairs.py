"""The baseline against itself, out of the pairs that are timed anyway."""

from __future__ import annotations

from typing import Literal

import pytest

from harness.records.evaluation_manifest import Host
from harness.records.timings import MemoryFigures, SpeedRecord, TimedPair, TimingSample, WorkloadTimes
from harness.samples.timed_pairs import baseline_ratios


def record(times: list[tuple[Literal["AB", "BA"], float]]) -> SpeedRecord:
    """Baseline runs of these seconds a token."""

    def sample(step: float) -> TimingSample:
        return TimingSample(ttft_s=step, end_to_end_s=5 * step, inter_token_s=(step,) * 4)

    pairs = tuple(TimedPair(order=order, baseline=sample(step), candidate=sample(9.0)) for order, step in times)
    return SpeedRecord(
        key="k",
        variant="small",
        baseline="full",
        host=Host(fingerprint="h", system="", machine="", processor="", cores=1, memory_bytes=1, python=""),
        workloads=(WorkloadTimes(batch=1, prompt_tokens=8, new_tokens=5, pairs=pairs),),
        memory=MemoryFigures(),
        baseline_memory=MemoryFigures(),
        measured_at="",
    )


def test_only_adjacent_runs_count() -> None:
    """A1 B1 | B2 A2 | A3 B3 | B4 A4 | A5 B5: A2 beside A3 and A4 beside A5, never A1 beside A2."""
    abba = record([("AB", 1.0), ("BA", 2.0), ("AB", 4.0), ("BA", 4.0), ("AB", 5.0)])
    found = baseline_ratios([abba])
    assert found["1x8+5", "ttft_s"].tolist() == [2.0, 1.25]
    assert found["1x8+5", "decode_tokens_per_s"].tolist() == pytest.approx([0.5, 0.8])


def test_candidates_are_pooled_and_few_pairs_give_none() -> None:
    """Each record on its own: the last run beside one candidate is not adjacent to the first beside the next."""
    part = record([("AB", 1.0), ("BA", 2.0), ("AB", 3.0)])
    assert baseline_ratios([part, part])["1x8+5", "ttft_s"].tolist() == [1.5, 1.5]
    assert baseline_ratios([record([("AB", 1.0), ("BA", 2.0)])]) == {}
