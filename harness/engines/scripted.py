"""A fake model for tests of everything around an engine: deterministic, without weights, and able to misbehave.

Answers come from a hash of the request, so that two scripted variants agree except where `noise` moves one of them.
`script` keys: `seed`, `noise` (share of requests answered differently), `unsteady` (share of requests whose answer
depends on what they are batched with), `shift` (nats added to every NLL),
`equal` (all options of an item are equally likely),
`quantized_modules`, `digest`, `context_length`, `nan` (every likelihood is NaN), `non_finite` (a NaN weight),
`answer` (the text of every generation), `die_after` and `hang_after` (requests until the process dies or stops
answering), `die_once` and `hang_once` (a file: only while it does not exist), `delay` (seconds a batch takes),
`oom_above` (largest batch), `oom_tokens` (the same in padded tokens), `killed_tokens` (the same, where the system kills
the process instead) and `killed_note` (the file in which the system counts that), `tokens: shift` (its tokenizer
disagrees), `speed` (seconds a token), `refuse` (the engine refuses to load).
"""

from __future__ import annotations

import hashlib
import math
import os
import signal
import time as clock
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.engines.hidden_states import save_array
from harness.engines.protocol import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    OutOfMemoryError,
    Pieces,
    Scalar,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError

VOCABULARY = 259
"""Bytes, and three special tokens in front of them."""
WIDTH = 8
"""Width of the pretended hidden states."""


class ScriptedTokenizer:
    """Bytes as tokens, shifted by three; token 1 starts a text, token 2 ends it."""

    identity = "scripted-bytes-1"
    prefix_token = 1
    prefix_text = "\x01"
    eos_text: str | None = "\x02"
    leading: tuple[int, ...] = ()
    trailing: tuple[int, ...] = ()
    unknown: int | None = None

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        del add_special_tokens
        return tuple(byte + 3 for byte in text.encode())

    def pieces(self, text: str) -> Pieces:
        """Bytes say nothing of characters, and none of them reaches over a join."""
        return Pieces(ids=self.encode(text, add_special_tokens=False), spans=None)

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token - 3 for token in tokens if 3 <= token < VOCABULARY).decode(errors="replace")

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        turns = "".join(f"<{each['role']}>{each['content']}\n" for each in messages)
        return turns + ("<assistant>" if add_generation_prompt else "")

    def moves(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> bool:
        del messages, add_generation_prompt
        return False


def tokenizer() -> ScriptedTokenizer:
    """What plans for a baseline on this engine."""
    return ScriptedTokenizer()


def load(spec: LoadSpec) -> ScriptedEngine:
    """A scripted engine; `spec.script` says how it behaves."""
    if (spec.script or {}).get("refuse"):
        raise EngineError("the script says to refuse", about=spec.variant)
    return ScriptedEngine(spec)


class ScriptedEngine:
    """See the module's text."""

    def __init__(self, spec: LoadSpec) -> None:
        self._script: Mapping[str, Scalar] = spec.script or {}
        self._variant = spec.variant
        self._asked = 0
        self._company: tuple[object, ...] = ()

    def _number(self, key: str, default: float) -> float:
        value = self._script.get(key, default)
        return float(value) if isinstance(value, int | float) else default

    def facts(self) -> Facts:
        modules = int(self._number("quantized_modules", 0))
        return Facts(
            engine="scripted",
            architecture="Scripted",
            model_type="scripted",
            parameters=1000,
            dtype="float32",
            device="cpu",
            linear_modules=12,
            quantized_modules=modules,
            quantized_kinds={"ScriptedLinear": modules} if modules else {},
            bits_per_weight=8.0 if modules else 32.0,
            weight_bytes=1000 if modules else 4000,
            disk_bytes=4000,
            vocabulary=VOCABULARY,
            versions={"numpy": np.__version__},
            non_finite=("layer.0.weight",) if self._script.get("non_finite") else (),
            weights_digest=str(self._script.get("digest", self._variant)),
            weights_digest_full=True,
        )

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        found = [ScriptedTokenizer().encode(text, add_special_tokens=add_special_tokens) for text in texts]
        if self._script.get("tokens") == "shift":
            return [tuple(token + 1 for token in ids) for ids in found]
        return found

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        self._count(requests)
        self._company = tuple(each.context for each in requests)
        return [tuple(self._continuation(each.context, tail) for tail in each.continuations) for each in requests]

    def _continuation(self, context: tuple[int, ...], tail: tuple[int, ...]) -> ContinuationScore:
        if self._script.get("nan"):
            return ContinuationScore(log_probs=(math.nan,) * len(tail), greedy=False)
        if self._script.get("equal"):
            return ContinuationScore(log_probs=(-1.0, *(0.0,) * (len(tail) - 1)), greedy=False)
        moved = self._moved(context)
        values = tuple(-4 * self._uniform("score", context, tail, place, moved) for place in range(len(tail)))
        return ContinuationScore(log_probs=values, greedy=self._uniform("greedy", context, tail, moved) < 0.5)

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        self._count(windows)
        if states_out is not None:
            positions = sum(len(window.tokens) - window.scored_from for window in windows)
            save_array(Path(states_out), np.zeros((positions, WIDTH), dtype=np.float16))
        if states_in is not None and not Path(states_in).exists():
            raise EngineError(f"{states_in}: no stored states")
        return [self._window(window, divergence=states_in is not None) for window in windows]

    def _window(self, window: Window, *, divergence: bool) -> WindowScore:
        shift = math.nan if self._script.get("nan") else self._number("shift", 0.0)
        count = len(window.tokens) - window.scored_from
        source = self._source("window", window.tokens)
        log_probs = tuple(float(value) for value in -2 - source.random(count) - shift)
        if not divergence:
            return WindowScore(log_probs=log_probs)
        kl = tuple(float(value) for value in source.exponential(abs(shift) + 1e-6, count))
        agree = tuple(bool(value) for value in source.random(count) > abs(shift))
        true = window.tokens[window.scored_from :]
        return WindowScore(
            log_probs=log_probs,
            kl=kl,
            top1_agree=agree,
            delta_p=(-shift / 10,) * count,
            ear=tuple(math.nan if math.isnan(value) else max(0.0, 1 - math.sqrt(value / 2)) for value in kl),
            baseline_top=true,
            top=tuple(token if same else token + 1 for token, same in zip(true, agree, strict=True)),
        )

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        self._count(requests)
        self._company = tuple(each.prompt for each in requests)
        return [self._text(each) for each in requests]

    def _text(self, request: GenerateRequest) -> Generation:
        fixed = self._script.get("answer")
        words = ("yes", "no", "maybe")
        sampled = (request.seed, request.temperature) if request.temperature > 0 else ()
        place = int(3 * self._uniform("text", request.prompt, self._moved(request.prompt), *sampled))
        text = str(fixed) if fixed is not None else f" {words[place]}"
        return Generation(tokens=tuple(text.encode()), text=text, finish="stop")

    def time(self, workload: Workload) -> Timing:
        token = self._number("speed", 1e-4)
        wobble = self._uniform("time", self._asked)
        self._asked += 1
        step = token * (1 + 0.05 * wobble)
        first = step * workload.prompt_tokens / 10
        clock.sleep(min(first, 0.01))
        gaps = (step,) * (workload.new_tokens - 1)
        return Timing(ttft_s=first, end_to_end_s=first + sum(gaps), inter_token_s=gaps)

    def device_peaks(self) -> tuple[int | None, int | None]:
        return None, None

    def reset_device_peaks(self) -> None:
        return None

    def close(self) -> None:
        return None

    # -- misbehaviour

    def _count(self, asked: Sequence[ScoreRequest | GenerateRequest | Window]) -> None:
        requests, largest = len(asked), self._number("oom_above", math.inf)
        tokens = requests * max((each.own_tokens for each in asked), default=0)
        if requests > largest:
            raise OutOfMemoryError(f"{requests} requests, the script allows {largest:.0f}")
        if tokens > self._number("oom_tokens", math.inf):
            raise OutOfMemoryError(f"{tokens} padded tokens")
        if tokens > self._number("killed_tokens", math.inf):
            Path(str(self._script["killed_note"])).write_text(f"pgfault 12\noom_kill {clock.time_ns()}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        self._asked += requests
        clock.sleep(self._number("delay", 0.0))
        if self._asked > self._number("die_after", math.inf) and self._still("die_once"):
            os._exit(9)
        if self._asked > self._number("hang_after", math.inf) and self._still("hang_once"):
            clock.sleep(3600)

    def _still(self, key: str) -> bool:
        """Whether it misbehaves now: always, or only the first time when a file keeps that in mind."""
        once = self._script.get(key)
        if not isinstance(once, str):
            return True
        if Path(once).exists():
            return False
        Path(once).write_text("once")
        return True

    # -- answers from hashes

    def _moved(self, context: tuple[int, ...]) -> bool:
        """Whether the noise of this variant, or the company it is asked in, moves its answer to this context."""
        unsteady = self._number("unsteady", 0.0)
        if unsteady and self._uniform("unsteady", context, self._company) < unsteady:
            return True
        return self._uniform("noise", context, self._variant) < self._number("noise", 0.0)

    def _uniform(self, *parts: object) -> float:
        return float(self._source(*parts).random())

    def _source(self, *parts: object) -> np.random.Generator:
        text = repr((self._script.get("seed", 0), *parts))
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))
