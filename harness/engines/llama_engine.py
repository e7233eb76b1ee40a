"""llama.cpp itself, through the low-level API of llama-cpp-python: the runtime that GGUF files are served on.

Needs numpy, gguf and llama_cpp in its interpreter. Scores are taken the reference way: one sequence a decode, memory
cleared, flash attention off. `shared_prefix` decodes an item's context once; the kernels of quantized formats round
differently by batch shape, so its scores differ by up to tenths of a nat, and the facts say which way was used.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time as clock
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness.engines.gguf_file import FULL, GgufFacts, read_gguf
from harness.engines.llama_divergence import Baseline, log_softmax
from harness.engines.seam import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    OutOfMemoryError,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError

BATCH = 512
"""Tokens of one decode; llama.cpp ends the process for more than its context was made for."""
LEAST_CONTEXT = 512
_KEPT: list[Any] = []
"""The log callback: ctypes forgets what nobody holds."""


def load(spec: LoadSpec) -> LlamaCppEngine:
    """Load a .gguf file. Raises `EngineError` for a file that llama.cpp cannot take."""
    started = clock.perf_counter()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    file = Path(spec.path)
    if not file.is_file():
        raise EngineError(f"{file}: no such .gguf file")
    held = read_gguf(file)
    lib = _library()
    lib.llama_backend_init()
    options = dict(spec.options or {})
    parameters = lib.llama_model_default_params()
    layers = options.get("n_gpu_layers")
    on_gpu = spec.device.startswith("cuda")
    parameters.n_gpu_layers = int(layers) if isinstance(layers, int) else (999 if on_gpu else 0)
    model = lib.llama_model_load_from_file(str(file).encode(), parameters)
    if not model:
        raise EngineError(
            f"{file}: llama.cpp cannot load this file; its architecture is {held.architecture!r}. The log says why"
        )
    return LlamaCppEngine(lib, model, spec, held, clock.perf_counter() - started)


def _library() -> Any:
    """llama_cpp with its chatter cut to warnings and errors."""
    try:
        import llama_cpp as lib
    except ImportError as error:
        raise EngineError("llama_cpp is not installed here: `quantgate env build llama.cpp`") from error
    warning = 3

    def say(level: int, text: bytes, _: object) -> None:
        if level >= warning and level < warning + 2:
            sys.stderr.write(text.decode(errors="replace"))

    callback = lib.llama_log_callback(say)
    _KEPT.append(callback)
    lib.llama_log_set(callback, ctypes.c_void_p(0))
    return lib


class LlamaCppEngine:
    """One loaded GGUF model; its context grows with what it is asked."""

    def __init__(self, lib: Any, model: Any, spec: LoadSpec, held: GgufFacts, load_s: float) -> None:
        self._lib, self._model, self._spec = lib, model, spec
        options = dict(spec.options or {})
        self._threads = int(options.get("threads") or spec.threads or _cores())
        self._threads_batch = int(options.get("threads_batch") or self._threads)
        self._flash = bool(options.get("flash_attention"))
        self._shared = bool(options.get("shared_prefix"))
        self._vocab = lib.llama_model_get_vocab(model)
        self._size = int(lib.llama_vocab_n_tokens(self._vocab))
        self._most = int(lib.llama_model_n_ctx_train(model))
        self._context: Any = None
        self._shape = (0, 0)
        self._facts = self._gather(held, load_s)

    # -- facts

    def _gather(self, held: GgufFacts, load_s: float) -> Facts:
        quantized = {kind: count for kind, count in held.linear.items() if kind not in FULL}
        full = sorted((count, kind) for kind, count in held.linear.items() if kind in FULL)
        dtype = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(full[-1][1], "mixed") if full else "mixed"
        notes = [
            f"threads: {self._threads}, for batches {self._threads_batch}",
            f"flash attention: {'on' if self._flash else 'off'}",
            f"system: {self._lib.llama_print_system_info().decode(errors='replace').strip()}",
        ]
        return Facts(
            engine="llama.cpp",
            architecture=held.architecture,
            model_type=held.architecture,
            parameters=held.parameters,
            dtype=dtype if not quantized else "quantized",
            device=self._spec.device,
            linear_modules=sum(held.linear.values()),
            quantized_modules=sum(quantized.values()),
            quantized_kinds=quantized,
            bits_per_weight=held.linear_bits,
            weight_bytes=held.weight_bytes,
            disk_bytes=held.disk_bytes,
            kernels=tuple(f"llama.cpp {kind}" for kind in sorted(held.linear)),
            vocabulary=self._size,
            context_length=self._most,
            versions={name: version(name) for name in ("llama_cpp_python", "numpy", "gguf")},
            non_finite=held.non_finite,
            weights_digest=held.digest,
            scoring_path="tree" if self._shared else "plain",
            load_s=load_s,
            notes=tuple(notes),
        )

    def facts(self) -> Facts:
        return self._facts

    # -- decoding

    def _prepare(self, tokens: int, sequences: int = 1) -> None:
        """A clear memory with room for `tokens` in each sequence."""
        lib = self._lib
        if tokens > self._most:
            raise EngineError(f"{self._spec.path}: {tokens} tokens were asked, the model's context holds {self._most}")
        if self._context is not None and self._shape[0] >= tokens * sequences and self._shape[1] >= sequences:
            lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
            return
        if self._context is not None:
            lib.llama_free(self._context)
            self._context = None
        size = LEAST_CONTEXT
        while size < tokens * sequences:
            size *= 2
        parameters = lib.llama_context_default_params()
        parameters.n_ctx, parameters.n_seq_max = size, sequences
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads, parameters.n_threads_batch = self._threads, self._threads_batch
        parameters.kv_unified = True
        parameters.no_perf = True
        parameters.flash_attn_type = (
            lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if self._flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self._context = lib.llama_init_from_model(self._model, parameters) or None
        if self._context is None:
            raise OutOfMemoryError(f"llama.cpp could not make a context of {size} tokens")
        self._shape = (size, sequences)

    def _decode(self, entries: Sequence[tuple[int, int, int, bool]]) -> Any:
        """Decode (token, position, sequence, wanted) entries; logits of the wanted, [wanted, vocabulary]."""
        lib, rows = self._lib, []
        for start in range(0, len(entries), BATCH):
            part = entries[start : start + BATCH]
            batch = lib.llama_batch_init(len(part), 0, 1)
            try:
                batch.n_tokens = len(part)
                for place, (token, position, sequence, wanted) in enumerate(part):
                    batch.token[place], batch.pos[place] = token, position
                    batch.n_seq_id[place] = 1
                    batch.seq_id[place][0] = sequence
                    batch.logits[place] = wanted
                code = lib.llama_decode(self._context, batch)
            finally:
                lib.llama_batch_free(batch)
            if code == 1:
                raise OutOfMemoryError("llama.cpp's context is full")
            if code != 0:
                raise EngineError(f"{self._spec.path}: llama.cpp could not decode {len(part)} tokens (status {code})")
            for place, entry in enumerate(part):
                if entry[3]:
                    pointer = lib.llama_get_logits_ith(self._context, place)
                    rows.append(np.ctypeslib.as_array(pointer, shape=(self._size,)).copy())
        return np.stack(rows) if rows else np.zeros((0, self._size), np.float32)

    def _sequence(self, tokens: Sequence[int], first: int) -> Any:
        """Logits after every token from place `first` on, in one sequence from a clear memory."""
        self._prepare(len(tokens))
        return self._decode([(token, at, 0, at >= first) for at, token in enumerate(tokens)])

    # -- what the seam asks

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        found = []
        for text in texts:
            raw = text.encode()
            room = len(raw) + 8
            array = (self._lib.llama_token * room)()
            count = self._lib.llama_tokenize(self._vocab, raw, len(raw), array, room, add_special_tokens, True)
            if count < 0:
                raise EngineError(f"{self._spec.path}: llama.cpp could not tokenise a text of {len(raw)} bytes")
            found.append(tuple(array[:count]))
        return found

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        return [self._score_shared(each) if self._shared else self._score(each) for each in requests]

    def _score(self, request: ScoreRequest) -> tuple[ContinuationScore, ...]:
        place = len(request.context) - 1
        return tuple(
            _scored(self._sequence([*request.context, *continuation[:-1]], place), continuation)
            for continuation in request.continuations
        )

    def _score_shared(self, request: ScoreRequest) -> tuple[ContinuationScore, ...]:
        size = len(request.context)
        self._prepare(size + max(map(len, request.continuations)))
        last = self._decode([(token, at, 0, at == size - 1) for at, token in enumerate(request.context)])
        memory = self._lib.llama_get_memory(self._context)
        scores = []
        for continuation in request.continuations:
            tail = self._decode([(token, size + at, 0, True) for at, token in enumerate(continuation[:-1])])
            scores.append(_scored(np.concatenate([last, tail]), continuation))
            self._lib.llama_memory_seq_rm(memory, 0, size, -1)
        return tuple(scores)

    def roll(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        if states_out is not None:
            raise EngineError(
                "llama.cpp keeps no hidden states, so it cannot be the baseline of a divergence: let transformers be "
                "the baseline, or set divergence: false"
            )
        base = None if states_in is None else Baseline.read(states_in, self._size)
        scores, row = [], 0
        for window in windows:
            wanted = window.tokens[window.scored_from :]
            logits = self._sequence(window.tokens[:-1], window.scored_from - 1)
            if base is None:
                scores.append(WindowScore(log_probs=_scored(logits, wanted).log_probs))
            else:
                scores.append(base.compare(logits, wanted, row))
            row += len(wanted)
        if base is not None and row != base.positions:
            raise EngineError(f"{states_in}: holds {base.positions} positions, {row} were asked")
        return scores

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        return [self._generate(each) for each in requests]

    def _generate(self, request: GenerateRequest) -> Generation:
        """Greedy, token by token, until end of text, a stop string or the limit."""
        if request.temperature > 0:
            raise EngineError("llama.cpp is asked greedily only: leave temperature at 0")
        logits = self._room(request)
        made: list[int] = []
        finish = "length"
        while len(made) < request.max_new_tokens:
            token = int(logits[-1].argmax())
            if self._lib.llama_vocab_is_eog(self._vocab, token):
                finish = "stop"
                break
            made.append(token)
            text = self._text(made)
            if any(stop and stop in text for stop in request.until):
                finish = "stop"
                break
            if len(made) < request.max_new_tokens:
                logits = self._decode([(token, len(request.prompt) + len(made) - 1, 0, True)])
        text = self._text(made)
        for stop in request.until:
            text = text.split(stop)[0] if stop else text
        return Generation(tokens=tuple(made), text=text, finish=finish)

    def _room(self, request: GenerateRequest) -> Any:
        size = len(request.prompt)
        self._prepare(min(self._most, size + request.max_new_tokens))
        return self._decode([(token, at, 0, at == size - 1) for at, token in enumerate(request.prompt)])

    def _text(self, tokens: Sequence[int]) -> str:
        pieces = b""
        for token in tokens:
            room = 256
            buffer = ctypes.create_string_buffer(room)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, room, 0, False)
            pieces += buffer.raw[: max(0, count)]
        return pieces.decode(errors="replace")

    def time(self, workload: Workload) -> Timing:
        lib, size = self._lib, workload.prompt_tokens
        ids = np.random.default_rng(workload.seed).integers(0, self._size, (workload.batch, size)).tolist()
        self._prepare(size + workload.new_tokens, workload.batch)
        lib.llama_synchronize(self._context)
        started = clock.perf_counter()
        entries = [(t, at, row, at == size - 1) for row, prompt in enumerate(ids) for at, t in enumerate(prompt)]
        tokens = self._decode(entries).argmax(-1)
        lib.llama_synchronize(self._context)
        first = last = clock.perf_counter()
        gaps = []
        for step in range(workload.new_tokens - 1):
            tokens = self._decode([(int(token), size + step, row, True) for row, token in enumerate(tokens)]).argmax(-1)
            lib.llama_synchronize(self._context)
            now = clock.perf_counter()
            gaps.append(now - last)
            last = now
        return Timing(ttft_s=first - started, end_to_end_s=last - started, inter_token_s=tuple(gaps))

    def device_peaks(self) -> tuple[int | None, int | None]:
        return None, None

    def reset_device_peaks(self) -> None:
        """llama.cpp's own allocations on a GPU are seen through NVML only."""

    def close(self) -> None:
        if self._context is not None:
            self._lib.llama_free(self._context)
            self._context = None
        if self._model is not None:
            self._lib.llama_model_free(self._model)
            self._model = None


def _scored(logits: Any, continuation: Sequence[int]) -> ContinuationScore:
    """Log-probabilities of a continuation from the logits before each of its tokens, [tokens, vocabulary]."""
    log_p = log_softmax(logits)
    wanted = np.asarray(continuation)
    return ContinuationScore(
        log_probs=tuple(log_p[np.arange(len(wanted)), wanted].tolist()),
        greedy=bool((logits.argmax(-1) == wanted).all()),
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
