"""Metrics of memory: bytes of one fresh process, as the worker's meters stored them."""

from __future__ import annotations

from harness.metrics.row import Headline, Metric, StoredBytes

LOAD_PEAK = StoredBytes(field="process_peak_load_bytes", title="Process peak, load", label="Peak, load")
"""Shown beside the metrics; it depends on how a checkpoint is read, so no gate looks at it."""


def _bytes(name: str, description: str, computed: StoredBytes, *, headline: Headline | None = None) -> Metric:
    return Metric(
        name=name,
        kind="memory",
        unit="B",
        description=description,
        computed=computed,
        neutral=1.0,
        headline=headline,
    )


MEMORY = (
    _bytes(
        "weight_bytes",
        "bytes of resident weights",
        StoredBytes(field="weight_bytes", title="Weights, resident", label="Resident", at_load=True),
        headline=Headline(title="weights", rank=4),
    ),
    _bytes(
        "disk_bytes",
        "bytes of weights on disk",
        StoredBytes(field="disk_bytes", title="Weights, on disk", label="On disk", at_load=True),
    ),
    _bytes(
        "process_peak_bytes",
        "peak memory of the process during inference",
        StoredBytes(field="process_peak_inference_bytes", title="Process peak, inference", label="Peak, infer."),
    ),
    _bytes(
        "allocator_peak_bytes",
        "peak allocated on the GPU during inference",
        StoredBytes(field="allocator_peak_allocated_bytes", title="GPU allocated", label="GPU alloc."),
    ),
    _bytes(
        "allocator_reserved_bytes",
        "peak reserved on the GPU by the allocator",
        StoredBytes(field="allocator_peak_reserved_bytes", title="GPU reserved", label="GPU reserv."),
    ),
    _bytes(
        "device_peak_bytes",
        "the process's VRAM as the driver counts it (NVML)",
        StoredBytes(field="device_process_peak_bytes", title="VRAM by driver", label="VRAM"),
    ),
)
