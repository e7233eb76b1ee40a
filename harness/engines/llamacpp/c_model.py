"""One model in llama.cpp's C interface: loading, contexts, decoding. Everything that crosses into C stands here."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.engines.protocol import OutOfMemoryError
from harness.errors import EngineError

WARN, ERROR, CONT = 3, 4, 5
"""ggml's log levels; CONT goes on with the line before."""
WORDS = 6
"""Lines of llama.cpp's own errors that an error of ours quotes."""
LEAST = 512
"""Tokens of the shortest context."""
STEP = 256
"""Context lengths are multiples of it, as llama.cpp pads them."""
SEQUENCES = 256
"""Sequences that llama.cpp takes at once (LLAMA_MAX_SEQ)."""
FULL, REFUSED = 1, -1
"""What llama_decode answers: no room in the cache; no valid batch."""

Logits = NDArray[np.float32]
_LISTENERS: list[Any] = []
"""What llama.cpp calls with its log; ctypes forgets a function that nobody holds."""


UNUSED, CONTROL = 1 << 1, 1 << 3
"""Attributes of a token (`llama_token_attr` in llama.h)."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is run."""

    threads: int
    threads_batch: int
    n_batch: int = 512
    """Tokens of one decode; more would abort the process."""
    flash_attention: bool = False
    gpu_layers: int = 0
    gpu: int | None = None
    """Which GPU alone is used; None is all of them."""

    @property
    def on_gpu(self) -> bool:
        return self.gpu_layers != 0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a context is made for."""

    tokens: int
    """Length of one sequence; of all together when they share a cache."""
    sequences: int = 1
    shared: bool = False
    """One cache for all sequences, so that they can have tokens in common."""
    all_logits: bool = True
    """Logits of every token may be asked for, not only of one a sequence."""
    states: bool = False
    """The final hidden states are kept beside the logits."""


class Model:
    """A loaded model and the one context it has at a time. Not for several threads."""

    def __init__(self, path: Path, settings: Settings, *, long_from: int | None = None) -> None:
        """`long_from`: the length of context beyond which other rotary factors are taken (longrope)."""
        self.settings, self.path, self._long_from = settings, path, long_from
        self._words: deque[str] = deque(maxlen=WORDS)
        self.llama = _library()
        self._listen()
        self._context: Any = None
        self._shape: Shape | None = None
        self._batch: _Batch | None = None
        self._memory: Any = None
        self.size = settings.n_batch
        """Tokens that one decode takes."""
        self._model = self._load()
        self._vocab = self.llama.llama_model_get_vocab(self._model)
        self.vocabulary = int(self.llama.llama_vocab_n_tokens(self._vocab))
        self.context_length = int(self.llama.llama_model_n_ctx_train(self._model))
        llama, loaded = self.llama, self._model
        encodes = llama.llama_model_has_encoder(loaded) or not llama.llama_model_has_decoder(loaded)
        if encodes or llama.llama_model_is_diffusion(loaded):
            self.close()
            raise EngineError(f"{path}: not a causal language model")

    @property
    def known(self) -> int:
        """Ids below this one are tokens of its vocabulary; those from it on are padding and special ones."""
        beyond = UNUSED | CONTROL
        known = self.vocabulary
        while known and int(self.llama.llama_vocab_get_attr(self._vocab, known - 1)) & beyond:
            known -= 1
        return known

    # -- loading

    def _load(self) -> Any:
        llama, settings = self.llama, self.settings
        llama.llama_backend_init()
        if settings.on_gpu and not llama.llama_supports_gpu_offload():
            raise EngineError(
                f"{self.path}: this build of llama-cpp-python has no GPU support; "
                "install one that was built with -DGGML_CUDA=on, or use device: cpu"
            )
        params = llama.llama_model_default_params()
        params.n_gpu_layers = settings.gpu_layers
        if settings.gpu is not None:
            params.split_mode, params.main_gpu = llama.LLAMA_SPLIT_MODE_NONE, settings.gpu
        model = llama.llama_model_load_from_file(os.fsencode(self.path), params)
        if not model:
            raise EngineError(f"{self.path}: llama.cpp could not load it{self._said()}")
        return model

    def _listen(self) -> None:
        """llama.cpp's log: warnings and errors go to stderr, errors are kept for our own messages."""
        last = 0

        def listen(level: int, text: bytes, _: object) -> None:
            nonlocal last
            last = last if level == CONT else level
            if last not in (WARN, ERROR):
                return
            words = text.decode(errors="replace")
            sys.stderr.write(words)
            if last == ERROR and words.strip():
                self._words.append(words.strip())

        listener = self.llama.llama_log_callback(listen)
        self.llama.llama_log_set(listener, ctypes.c_void_p(0))
        _LISTENERS[:] = [listener]

    def _said(self) -> str:
        """The newest errors of llama.cpp, for an error of ours."""
        words = "; ".join(self._words)
        self._words.clear()
        return f": {words}" if words else ""

    @property
    def system(self) -> str:
        """llama.cpp's own words about the processor's features it uses."""
        return str(self.llama.llama_print_system_info().decode(errors="replace")).strip()

    # -- contexts

    def prepare(self, shape: Shape) -> None:
        """Have an empty context that fits. The present one stays when it does."""
        old = self._shape
        if old is not None and (
            replace(old, tokens=0) == replace(shape, tokens=0)
            and old.tokens >= shape.tokens
            and self._side(old.tokens) == self._side(shape.tokens)
        ):
            self.forget()
        else:
            self._open(shape)

    def room(self, tokens: int) -> int:
        """A length that serves requests of about this many tokens: contexts are created for a few lengths only."""
        length = max(LEAST, 1 << (tokens - 1).bit_length())
        limits = [limit for limit in (self._long_from, self.context_length) if limit is not None and tokens <= limit]
        return max(tokens, min([length, *limits]))

    def _side(self, tokens: int) -> bool:
        """Whether a context of this length makes llama.cpp take the long rotary factors."""
        return self._long_from is not None and tokens > self._long_from

    def _open(self, shape: Shape) -> None:
        self._close_context()
        llama, settings = self.llama, self.settings
        tokens = -(-shape.tokens // STEP) * STEP
        params = llama.llama_context_default_params()
        params.n_ctx = tokens if shape.shared else tokens * shape.sequences
        params.n_batch = settings.n_batch
        params.n_ubatch = min(settings.n_batch, params.n_ubatch)
        params.n_seq_max = shape.sequences
        params.n_outputs_max = 0 if shape.all_logits else shape.sequences
        params.n_threads, params.n_threads_batch = settings.threads, settings.threads_batch
        params.flash_attn_type = (
            llama.LLAMA_FLASH_ATTN_TYPE_ENABLED if settings.flash_attention else llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        params.offload_kqv = params.op_offload = settings.on_gpu
        params.kv_unified = shape.shared
        params.embeddings = shape.states
        params.no_perf = True
        context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise OutOfMemoryError(
                f"{self.path}: no context of {shape.sequences} × {tokens} tokens could be made{self._said()}"
            )
        self._context = context
        self.size = min(settings.n_batch, int(llama.llama_n_batch(context)))
        self._shape = replace(shape, tokens=tokens)
        self._memory = llama.llama_get_memory(context)
        if not self._memory:
            raise EngineError(f"{self.path}: not a causal language model: it keeps no cache")
        if self._batch is None:
            self._batch = _Batch(llama, settings.n_batch)

    def forget(self) -> None:
        """Empty the cache."""
        self.llama.llama_memory_clear(self._memory, True)

    def share(self, source: int, target: int) -> None:
        """Let sequence `target` begin with all tokens of `source`."""
        self.llama.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, sequence: int) -> None:
        """Take a sequence out of the cache; tokens it had in common with others stay theirs."""
        self.llama.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def shorten(self, length: int) -> bool:
        """Take what comes after the first `length` tokens of sequence 0 out of the cache; False for a cache that cannot
        be cut, such as that of a recurrent model."""
        return bool(self.llama.llama_memory_seq_rm(self._memory, 0, length, -1))

    # -- decoding

    def sequence(
        self, tokens: Sequence[int], wanted_from: int, *, more: int = 0, states: bool = False
    ) -> Iterator[tuple[int, Logits]]:
        """Decode one sequence into an empty context with room for `more` tokens, in parts that fit.

        Yields (position, logits after it and the ones that follow, [rows, vocabulary]) from `wanted_from` on. The
        rows lie in llama.cpp's memory and hold until the next part. Raises `EngineError` when it is too long.
        """
        if len(tokens) > self.context_length:
            raise EngineError(f"{self.path}: {len(tokens)} tokens do not fit its context of {self.context_length}")
        self.prepare(Shape(tokens=self.room(len(tokens) + more), states=states))
        size = self.size
        for start in range(0, len(tokens), size):
            part = tokens[start : start + size]
            positions = np.arange(start, start + len(part), dtype=np.int32)
            wanted = positions >= wanted_from
            rows = self.decode(part, positions, np.zeros(len(part), dtype=np.int32), wanted)
            if len(rows):
                yield max(start, wanted_from), rows

    def decode(
        self, tokens: Sequence[int], positions: NDArray[np.int32], sequences: NDArray[np.int32], wanted: NDArray[Any]
    ) -> Logits:
        """One decode of at most `n_batch` tokens; logits of the wanted ones in their order, held until the next."""
        assert self._batch is not None
        assert self._shape is not None
        assert 0 < len(tokens) <= self.size  # llama.cpp aborts the process
        keep = self._shape.states  # llama.cpp then has logits and states of every token
        asked = np.ones(len(tokens), dtype=np.int8) if keep else wanted
        code = self.llama.llama_decode(self._context, self._batch.fill(tokens, positions, sequences, asked))
        if code == FULL:
            raise OutOfMemoryError(f"{self.path}: the cache of {self._shape} is full{self._said()}")
        if code == REFUSED:
            raise EngineError(f"{self.path}: llama.cpp refused the tokens{self._said()}")
        if code != 0:
            raise EngineError(f"{self.path}: llama.cpp failed with status {code}{self._said()}")
        if not wanted.any():
            return np.empty((0, self.vocabulary), dtype=np.float32)
        found = self.llama.llama_get_logits(self._context)  # waits until they are there
        rows = np.ctypeslib.as_array(found, shape=(int(np.count_nonzero(asked)), self.vocabulary))
        return rows[wanted.astype(bool)] if keep else rows

    def states(self, count: int) -> NDArray[np.float32]:
        """Final hidden states after the last `count` tokens of the newest decode, [count, d_model]."""
        assert self._batch is not None
        width = int(self.llama.llama_model_n_embd_out(self._model))
        found = self.llama.llama_get_embeddings(self._context)
        if not found:
            raise EngineError(f"{self.path}: llama.cpp shows no hidden states of this model")
        return np.ctypeslib.as_array(found, shape=(self._batch.count, width))[-count:].copy()

    def wait(self) -> None:
        """Until everything asked for is computed."""
        self.llama.llama_synchronize(self._context)

    # -- text

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        """Token ids; the text of a special token becomes that token."""
        content = text.encode()
        room = len(content) + 8
        while True:
            buffer = (self.llama.llama_token * room)()
            count = self.llama.llama_tokenize(
                self._vocab, content, len(content), buffer, room, add_special_tokens, True
            )
            if count >= 0:
                return tuple(buffer[:count])
            if -count <= room:
                raise EngineError(f"{self.path}: llama.cpp could not tokenize a text of {len(content)} bytes")
            room = -count

    def text(self, tokens: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens; of special ones only where `special` says so."""
        if not tokens:
            return ""
        ids = (self.llama.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self.llama.llama_detokenize(self._vocab, ids, len(tokens), buffer, room, False, special)
            if count >= 0:
                return buffer.raw[:count].decode(errors="replace")
            room = -count

    def ends(self, token: int) -> bool:
        """Whether a token ends a text."""
        return bool(self.llama.llama_vocab_is_eog(self._vocab, token))

    # -- the end

    def _close_context(self) -> None:
        if self._context is not None:
            self.llama.llama_free(self._context)
            self._context = self._shape = None

    def close(self) -> None:
        """Free everything; calling it again does nothing."""
        self._close_context()
        if self._model is not None:
            self.llama.llama_model_free(self._model)
            self._model = None


class _Batch:
    """llama.cpp's batch over arrays of ours."""

    def __init__(self, llama: Any, size: int) -> None:
        self._tokens = np.zeros(size, dtype=np.int32)
        self._positions = np.zeros(size, dtype=np.int32)
        self._sequences = np.zeros(size, dtype=np.int32)
        self._wanted = np.zeros(size, dtype=np.int8)
        self._ones = np.ones(size, dtype=np.int32)
        # A list of sequences per token; each list is one entry of `_sequences`.
        self._lists = (self._sequences.ctypes.data + 4 * np.arange(size)).astype(np.uintp)
        kinds = dict(llama.llama_batch._fields_)
        self._batch = llama.llama_batch(
            n_tokens=0,
            token=ctypes.cast(self._tokens.ctypes.data, kinds["token"]),
            embd=None,
            pos=ctypes.cast(self._positions.ctypes.data, kinds["pos"]),
            n_seq_id=ctypes.cast(self._ones.ctypes.data, kinds["n_seq_id"]),
            seq_id=ctypes.cast(self._lists.ctypes.data, kinds["seq_id"]),
            logits=ctypes.cast(self._wanted.ctypes.data, kinds["logits"]),
        )

    def fill(
        self, tokens: Sequence[int], positions: NDArray[np.int32], sequences: NDArray[np.int32], wanted: NDArray[Any]
    ) -> Any:
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._sequences[:count] = sequences
        self._wanted[:count] = wanted
        self._batch.n_tokens = count
        return self._batch

    @property
    def count(self) -> int:
        """Tokens of the newest decode."""
        return int(self._batch.n_tokens)


def _library() -> Any:
    """llama.cpp's functions. Threads that wait must not spin, which has to be said before OpenMP loads."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return importlib.import_module("llama_cpp.llama_cpp")
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(f"{sys.executable}: llama-cpp-python cannot be imported: {error}") from error
