"""Hugging Face transformers: the engine object over loading, scoring, generation and timing."""

from __future__ import annotations

import shutil
import time as clock
import weakref
from collections.abc import Sequence
from typing import Any

from harness.engines.foreign_errors import translated
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
from harness.engines.transformers.causality import check_causal
from harness.engines.transformers.generate import Generator
from harness.engines.transformers.lm_head import LmHead, known_ids
from harness.engines.transformers.load_facts import gather_facts
from harness.engines.transformers.loading import Loaded, load_model, loading_threads
from harness.engines.transformers.matmul import Processor, faster_products
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.placement import device_placement
from harness.engines.transformers.rolling import score_windows
from harness.engines.transformers.score import Scorer
from harness.engines.transformers.timed_runs import time_workload


def load(spec: LoadSpec, processor: Processor | None = None) -> TransformersEngine:
    """Load a model and verify how it can be scored. Raises `EngineError`. `processor`: None is this machine's."""
    started = clock.perf_counter()
    with translated(spec.path), device_placement(spec) as scratch, loading_threads(spec):
        loaded = load_model(spec, scratch)
        with faster_products(loaded.model, processor):
            check_causal(spec.path, loaded.model, loaded.tokenizer, quantized=loaded.quantized)
        head = LmHead.find(loaded.model)
        budget = MemoryBudget.of(loaded.model, head, spec.memory_budget)
        with faster_products(loaded.model, processor):
            scorer = Scorer.choose(loaded.model, head, budget, quantized=loaded.quantized)
            generator = Generator(loaded.model, loaded.tokenizer, head, scorer)
        load_s = clock.perf_counter() - started
        engine = TransformersEngine(spec, loaded, head, scorer, generator, load_s, processor)
    engine.removes(scratch)
    return engine


class TransformersEngine:
    """One loaded causal language model."""

    def __init__(
        self,
        spec: LoadSpec,
        loaded: Loaded,
        head: LmHead,
        scorer: Scorer,
        generator: Generator,
        load_s: float,
        processor: Processor | None = None,
    ) -> None:
        self._spec, self._loaded, self._head, self._processor = spec, loaded, head, processor
        self._scorer, self._generator = scorer, generator
        self._known = known_ids(loaded.tokenizer)
        self._removal: weakref.finalize[..., Any] | None = None
        self._facts = gather_facts(loaded, head, scorer, generator, load_s, processor)

    def removes(self, folder: str | None) -> None:
        """Remove a folder when this engine is closed or collected, or when the process ends."""
        if folder is not None:
            self._removal = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def facts(self) -> Facts:
        return self._facts

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        tokenizer = self._loaded.tokenizer
        return [tuple(tokenizer.encode(text, add_special_tokens=add_special_tokens)) for text in texts]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        with translated(self._spec.path), faster_products(self._loaded.model, self._processor):
            return self._scorer.score(requests)

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        with translated(self._spec.path), faster_products(self._loaded.model, self._processor):
            return score_windows(
                self._loaded.model,
                self._head,
                self._scorer.budget,
                self._scorer.limits,
                windows,
                states_out=states_out,
                states_in=states_in,
                known=self._known,
            )

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        with translated(self._spec.path), faster_products(self._loaded.model, self._processor):
            return self._generator.generate(requests)

    def time(self, workload: Workload) -> Timing:
        with translated(self._spec.path):
            return time_workload(self._loaded.model, workload)

    def device_peaks(self) -> tuple[int | None, int | None]:
        torch = _torch()
        if "cuda" not in self._facts.device:
            return None, None
        devices = range(torch.cuda.device_count())
        return (
            sum(torch.cuda.max_memory_allocated(device) for device in devices),
            sum(torch.cuda.max_memory_reserved(device) for device in devices),
        )

    def reset_device_peaks(self) -> None:
        torch = _torch()
        if "cuda" in self._facts.device:
            for device in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(device)

    def close(self) -> None:
        del self._scorer, self._generator, self._head, self._loaded
        if self._removal is not None:
            self._removal()


def _torch() -> Any:
    import torch

    return torch
