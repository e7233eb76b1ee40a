"""Metrics of memory: bytes of one fresh process, as the worker's meters stored them."""

from __future__ import annotations

from harness.metrics.row import Headline, Metric, StoredBytes


def _bytes(
    name: str, field: str, description: str, *, at_load: bool = False, headline: Headline | None = None
) -> Metric:
    return Metric(
        name=name,
        kind="memory",
        unit="B",
        description=description,
        computed=StoredBytes(field=field, at_load=at_load),
        neutral=1.0,
        headline=headline,
    )


MEMORY = (
    _bytes(
        "weight_bytes",
        "weight_bytes",
        "bytes of resident weights",
        at_load=True,
        headline=Headline(title="weights", rank=4),
    ),
    _bytes("disk_bytes", "disk_bytes", "bytes of weights on disk", at_load=True),
    _bytes("process_peak_bytes", "process_peak_inference_bytes", "peak memory of the process during inference"),
    _bytes("allocator_peak_bytes", "allocator_peak_allocated_bytes", "peak allocated on the GPU during inference"),
    _bytes("allocator_reserved_bytes", "allocator_peak_reserved_bytes", "peak reserved on the GPU by the allocator"),
    _bytes("device_peak_bytes", "device_process_peak_bytes", "the process's VRAM as the driver counts it (NVML)"),
)
