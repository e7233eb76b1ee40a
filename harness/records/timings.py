"""Speed and memory as stored: seconds of adjacent timed runs, bytes of one fresh process."""

from __future__ import annotations

from typing import Literal

from harness.records.evaluation_manifest import Host
from harness.records.model import SCHEMA, Key, Model, Name


class TimingSample(Model):
    """One run of a workload, in seconds."""

    ttft_s: float
    end_to_end_s: float
    inter_token_s: tuple[float, ...]


class TimedPair(Model):
    """Two adjacent runs; `order` says which came first."""

    order: Literal["AB", "BA"]
    baseline: TimingSample
    candidate: TimingSample


class WorkloadTimes(Model):
    batch: int
    prompt_tokens: int
    new_tokens: int
    pairs: tuple[TimedPair, ...]

    @property
    def name(self) -> str:
        return f"{self.batch}x{self.prompt_tokens}+{self.new_tokens}"


class MemoryFigures(Model):
    """Bytes of one fresh process; None where a figure is not available."""

    weight_bytes: int | None = None
    disk_bytes: int | None = None
    process_peak_load_bytes: int | None = None
    process_peak_inference_bytes: int | None = None
    allocator_peak_allocated_bytes: int | None = None
    allocator_peak_reserved_bytes: int | None = None
    device_process_peak_bytes: int | None = None
    workload: str | None = None
    """The batch and context at which the inference figures were taken."""


class SpeedRecord(Model):
    """Speed and memory of one candidate beside the baseline, both in fresh processes of one host."""

    schema_version: int = SCHEMA
    key: Key
    variant: Name
    baseline: Name
    host: Host
    workloads: tuple[WorkloadTimes, ...]
    memory: MemoryFigures
    baseline_memory: MemoryFigures
    measured_at: str
