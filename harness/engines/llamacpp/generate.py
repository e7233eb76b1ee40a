"""Generation one request after the other, and exact-length timing runs over parallel sequences."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.engines.decoding import Decoding, refusal, unable
from harness.engines.llamacpp.c_model import SEQUENCES, Logits, Model, Shape
from harness.engines.penalties import FOLLOWED, ruled
from harness.engines.protocol import GenerateRequest, Generation, Timing, Workload
from harness.engines.sampler import choose
from harness.errors import EngineError

LOOK_BACK = 16
"""Tokens looked at after every step for a stop string, beyond the longest stop string's characters."""


def generate(model: Model, requests: Sequence[GenerateRequest]) -> list[Generation]:
    """Answer one after the other in a cache of its own. A prompt that is asked several times in a row is decoded once,
    where llama.cpp can take an answer out of its cache again."""
    answers: list[Generation] = []
    held: tuple[tuple[int, ...], int] | None = None
    first = np.empty(0, dtype=np.float32)
    for request in requests:
        asked = request.prompt, _room(model, request)
        if asked != held or not model.shorten(len(request.prompt)):
            [(_, rows)] = model.sequence(request.prompt, len(request.prompt) - 1, more=asked[1])
            first, held = rows[0].copy(), asked
        answers.append(_answer(model, request, first, asked[1]))
    return answers


def _room(model: Model, request: GenerateRequest) -> int:
    """New tokens that fit. Raises `EngineError` for none, and for rules that are not followed here."""
    if request.decoding is not None and (names := unable(request.decoding, FOLLOWED)):
        raise EngineError(f"{model.path}: {refusal(names, 'llama.cpp')}")
    room = min(request.max_new_tokens, model.context_length - len(request.prompt))
    if room < min(1, request.max_new_tokens):
        raise EngineError(
            f"{model.path}: a prompt of {len(request.prompt)} tokens leaves nothing of its context of "
            f"{model.context_length}"
        )
    return room


def _answer(model: Model, request: GenerateRequest, row: NDArray[np.float32], room: int) -> Generation:
    """Continue the prompt that the cache holds, given the logits after it. At the end of the model's context the answer
    ends as `length`."""
    decoding = request.decoding
    until = [stop for stop in request.until if stop]
    back = LOOK_BACK + max(map(len, until), default=0)
    tokens: list[int] = []
    finish = "length"
    while len(tokens) < room:
        scores = row if decoding is None else ruled(row, request.prompt, tokens, decoding)
        token = choose(scores, request, len(tokens))
        if _ends(model, token, decoding):
            finish = "stop"
            break
        tokens.append(token)
        if until and _stands_in(model.text(tokens[-back:], special=True), until):
            finish = "stop"
            break
        if len(tokens) < room:
            place = len(request.prompt) + len(tokens) - 1
            row = model.decode([token], _numbers(place), _numbers(0), _numbers(1))[0]
    text = whole = model.text(tokens)
    for stop in until:
        text = text.split(stop)[0]
    return Generation(tokens=tuple(tokens), text=text, finish="stop" if text != whole else finish)


def _ends(model: Model, token: int, decoding: Decoding | None) -> bool:
    """Whether a token ends the answer: by the suite's rules, or by the file's own."""
    return model.ends(token) if decoding is None else token in decoding.end_tokens


def _stands_in(text: str, until: list[str]) -> bool:
    return any(stop in text for stop in until)


def _numbers(*values: int) -> NDArray[np.int32]:
    return np.array(values, dtype=np.int32)


def time_workload(model: Model, workload: Workload) -> Timing:
    """Prefill and one-token steps over random tokens, all sequences side by side; end of text is ignored."""
    count, prompt = workload.batch, workload.prompt_tokens
    length = prompt + workload.new_tokens
    if count > min(SEQUENCES, model.settings.n_batch):
        raise EngineError(
            f"{model.path}: a batch of {count}, llama.cpp takes at most {min(SEQUENCES, model.settings.n_batch)}"
        )
    if length > model.context_length:
        raise EngineError(f"{model.path}: {length} tokens do not fit its context of {model.context_length}")
    model.prepare(Shape(tokens=length, sequences=count, all_logits=False))
    ids = np.random.default_rng(workload.seed).integers(0, model.vocabulary, (count, prompt))
    sequences = np.arange(count, dtype=np.int32)
    width = model.size // count
    started = clock.perf_counter()
    rows: Logits | None = None
    for start in range(0, prompt, width):
        part = ids[:, start : start + width]
        positions = np.tile(np.arange(start, start + part.shape[1], dtype=np.int32), count)
        rows = model.decode(
            part.ravel().tolist(), positions, np.repeat(sequences, part.shape[1]), positions == prompt - 1
        )
    assert rows is not None
    tokens = rows.argmax(-1).tolist()
    model.wait()
    first = last = clock.perf_counter()
    gaps = []
    for step in range(workload.new_tokens - 1):
        positions = np.full(count, prompt + step, dtype=np.int32)
        rows = model.decode(tokens, positions, sequences, np.ones(count, dtype=np.int8))
        tokens = rows.argmax(-1).tolist()
        model.wait()
        now = clock.perf_counter()
        gaps.append(now - last)
        last = now
    return Timing(ttft_s=first - started, end_to_end_s=last - started, inter_token_s=tuple(gaps))
