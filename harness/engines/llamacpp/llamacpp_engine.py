"""llama.cpp itself, through llama-cpp-python's low-level interface: the engine for .gguf files.

`options`: `threads`, `threads_batch` (prompts), `n_batch` (tokens of one decode), `flash_attention`, `n_gpu_layers`,
`shared_prefix`. The defaults give reference scores: no flash attention, every sequence alone in an empty cache.
The interpreter needs numpy and llama_cpp only.
"""

from __future__ import annotations

import os
import time as clock
from collections.abc import Sequence
from pathlib import Path

from harness.checkpoints.gguf_header import Header, read_headers
from harness.engines.llamacpp.c_model import Model, Settings
from harness.engines.llamacpp.generate import generate, time_workload
from harness.engines.llamacpp.gguf_facts import gather_facts
from harness.engines.llamacpp.score import score_plain, score_shared, score_windows
from harness.engines.protocol import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError

OPTIONS = ("threads", "threads_batch", "n_batch", "flash_attention", "n_gpu_layers", "shared_prefix")


def load(spec: LoadSpec) -> LlamaCppEngine:
    """Load a .gguf file, or a split model by its first file. Raises `EngineError`."""
    started = clock.perf_counter()
    path = Path(spec.path)
    if not path.is_file():
        raise EngineError(f"{path}: no such .gguf file")
    if spec.adapter is not None:
        raise EngineError(f"{path}: llama.cpp takes no adapter here; merge it and convert the whole model")
    if unknown := set(spec.options or {}) - set(OPTIONS):
        raise EngineError(f"{path}: unknown option {min(unknown)!r}; expected one of {', '.join(OPTIONS)}")
    headers = read_headers(path)
    if headers[0].metadata.get(f"{headers[0].text('general.architecture')}.attention.causal") is False:
        raise EngineError(
            f"{path}: this model sees later tokens (attention.causal is false in it), so it is not causal"
        )
    model = Model(path, _settings(spec), long_from=_long_from(headers))
    return LlamaCppEngine(spec, headers, model, clock.perf_counter() - started)


class LlamaCppEngine:
    """One loaded GGUF model."""

    def __init__(self, spec: LoadSpec, headers: Sequence[Header], model: Model, load_s: float) -> None:
        self._model, self._headers = model, headers
        self._shared = _flag(spec, "shared_prefix")
        self._facts = gather_facts(headers, model, device=spec.device, shared_prefix=self._shared, load_s=load_s)

    def facts(self) -> Facts:
        return self._facts

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        return [self._model.encode(text, add_special_tokens=add_special_tokens) for text in texts]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        score = score_shared if self._shared else score_plain
        return [score(self._model, request) for request in requests]

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        return score_windows(self._model, self._headers, windows, states_out=states_out, states_in=states_in)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        return generate(self._model, requests)

    def time(self, workload: Workload) -> Timing:
        return time_workload(self._model, workload)

    def device_peaks(self) -> tuple[int | None, int | None]:
        return None, None

    def reset_device_peaks(self) -> None:
        return None

    def close(self) -> None:
        self._model.close()


def _settings(spec: LoadSpec) -> Settings:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = _whole(spec, "threads", spec.threads or cores, least=1)
    kind, _, index = spec.device.partition(":")
    if kind not in ("cpu", "cuda"):
        raise EngineError(f"{spec.path}: device {spec.device}: expected cpu, cuda or cuda:N")
    return Settings(
        threads=threads,
        threads_batch=_whole(spec, "threads_batch", threads, least=1),
        n_batch=_whole(spec, "n_batch", Settings.n_batch, least=1),
        flash_attention=_flag(spec, "flash_attention"),
        gpu_layers=_whole(spec, "n_gpu_layers", -1 if kind == "cuda" else 0, least=-1),
        gpu=int(index) if index else None,
    )


def _whole(spec: LoadSpec, name: str, default: int, *, least: int) -> int:
    value = (spec.options or {}).get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise EngineError(f"{spec.path}: option {name}: expected an integer of at least {least}, got {value!r}")
    return value


def _flag(spec: LoadSpec, name: str) -> bool:
    value = (spec.options or {}).get(name)
    if value is not None and not isinstance(value, bool):
        raise EngineError(f"{spec.path}: option {name}: expected true or false, got {value!r}")
    return bool(value)


def _long_from(headers: Sequence[Header]) -> int | None:
    """The context length beyond which llama.cpp takes the long rotary factors of a longrope model."""
    first = headers[0]
    if not any("rope_factors_long" in tensor.name for header in headers for tensor in header.tensors):
        return None
    return first.whole(f"{first.text('general.architecture')}.rope.scaling.original_context_length")
