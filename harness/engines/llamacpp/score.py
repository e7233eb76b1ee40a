"""Likelihoods of continuations and windows, and divergence from a baseline's stored states, on llama.cpp's logits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.checkpoints.gguf_header import Header
from harness.engines.hidden_states import check_vocabularies, has_lm_head, read_states, save_array, save_lm_head_files
from harness.engines.llamacpp.c_model import SEQUENCES, Logits, Model, Shape
from harness.engines.llamacpp.output_layer import StoredLmHead, half, output_lm_head
from harness.engines.protocol import DIVERGENCES, ContinuationScore, ScoreRequest, Window, WindowScore
from harness.errors import EngineError

POSITIONS = 64
"""Positions whose logits over the whole vocabulary are worked on at once."""
BRANCHES = 16
"""Continuations that share a context at once."""
_HEADS: dict[str, StoredLmHead] = {}
"""The baseline's output layer, read once per worker."""


def score_plain(model: Model, request: ScoreRequest) -> tuple[ContinuationScore, ...]:
    """The reference: every continuation behind its own context, in a cache that was empty.

    Continuations that differ in their last token only are read off the same logits: the input is the same.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, continuation in enumerate(request.continuations):
        groups.setdefault(continuation[:-1], []).append(number)
    answers: dict[int, ContinuationScore] = {}
    first = len(request.context) - 1
    for body, numbers in groups.items():
        log_probs: dict[int, list[float]] = {number: [] for number in numbers}
        greedy = dict.fromkeys(numbers, True)
        for start, rows in model.sequence((*request.context, *body), first):
            for number in numbers:
                wanted = request.continuations[number][start - first : start - first + len(rows)]
                values, best = picked(rows, wanted)
                log_probs[number].extend(values)
                greedy[number] &= all(best)
        for number in numbers:
            answers[number] = ContinuationScore(log_probs=tuple(log_probs[number]), greedy=greedy[number])
    return tuple(answers[number] for number in range(len(request.continuations)))


def score_shared(model: Model, request: ScoreRequest) -> tuple[ContinuationScore, ...]:
    """Faster: the context is decoded once, and its cache is shared by all continuations.

    The shape of a batch moves quantized logits, so these differ from the reference by noise.
    """
    context, count = request.context, len(request.continuations)
    width = min(BRANCHES, count, SEQUENCES - 1)
    groups = [range(start, min(start + width, count)) for start in range(0, count, width)]
    longest = max(sum(len(request.continuations[number]) - 1 for number in group) for group in groups)
    deepest = len(context) + max(map(len, request.continuations)) - 1
    if deepest > model.context_length:
        raise EngineError(f"{model.path}: {deepest} tokens do not fit its context of {model.context_length}")
    model.prepare(Shape(tokens=model.room(len(context) + longest), sequences=BRANCHES + 1, shared=True))
    last = _context(model, context)
    scores = [picked(last, (each[0],)) for each in request.continuations]
    log_probs = [list(values) for values, _ in scores]
    greedy = [all(best) for _, best in scores]
    for group in groups:
        branches = {number: branch for branch, number in enumerate(group, 1)}
        for branch in branches.values():
            model.share(0, branch)
        inputs = [
            (branches[number], place, token)
            for number in group
            for place, token in enumerate(request.continuations[number][:-1])
        ]
        for start in range(0, len(inputs), model.size):
            part = inputs[start : start + model.size]
            rows = model.decode(
                [token for _, _, token in part],
                np.array([len(context) + place for _, place, _ in part], dtype=np.int32),
                np.array([branch for branch, _, _ in part], dtype=np.int32),
                np.ones(len(part), dtype=np.int8),
            )
            numbers = [group[branch - 1] for branch, _, _ in part]
            wanted = [
                request.continuations[number][place + 1] for number, (_, place, _) in zip(numbers, part, strict=True)
            ]
            for number, value, best in zip(numbers, *picked(rows, wanted), strict=True):
                log_probs[number].append(value)
                greedy[number] &= best
        for branch in branches.values():
            model.drop(branch)
    return tuple(
        ContinuationScore(log_probs=tuple(values), greedy=best) for values, best in zip(log_probs, greedy, strict=True)
    )


def _context(model: Model, tokens: Sequence[int]) -> Logits:
    """Decode the context as sequence 0; logits after its last token, in memory of our own."""
    rows = np.empty((0, model.vocabulary), dtype=np.float32)
    for start in range(0, len(tokens), model.size):
        part = tokens[start : start + model.size]
        positions = np.arange(start, start + len(part), dtype=np.int32)
        rows = model.decode(part, positions, np.zeros(len(part), dtype=np.int32), positions == len(tokens) - 1)
    return rows.copy()


def score_windows(
    model: Model, headers: Sequence[Header], windows: Sequence[Window], *, states_out: str | None, states_in: str | None
) -> list[WindowScore]:
    """Score windows one after the other. See `protocol.Engine.score_windows`."""
    stored = None if states_in is None else _stored(model, states_in, windows)
    kept: list[NDArray[np.float32]] | None = None
    if states_out is not None:
        kept = []
        if not has_lm_head(Path(states_out).parent):
            head = output_lm_head(model, headers)
            save_lm_head_files(
                Path(states_out).parent, head.weight, head.bias, softcap=head.softcap, multiply=head.multiply,
                known=model.known,
            )  # fmt: skip
    scores, row = [], 0
    for window in windows:
        count = len(window.tokens) - window.scored_from
        base = None if stored is None else (stored[0], stored[1][row : row + count])
        scores.append(_window(model, window, base, kept))
        row += count
    if states_out is not None and kept is not None:
        save_array(Path(states_out), half(np.concatenate(kept)))
    return scores


def _window(
    model: Model,
    window: Window,
    base: tuple[StoredLmHead, NDArray[Any]] | None,
    kept: list[NDArray[np.float32]] | None,
) -> WindowScore:
    """Log-probabilities, and against the baseline what `WindowScore` has of a divergence.

    Hidden states go into `kept`.
    """
    log_probs: list[float] = []
    found: dict[str, list[Any]] = {name: [] for name in DIVERGENCES}
    first = window.scored_from - 1
    for start, part in model.sequence(window.tokens[:-1], first, states=kept is not None):
        if kept is not None:
            kept.append(model.states(len(part)))
        for cut in range(0, len(part), POSITIONS):
            at, rows = start + cut, part[cut : cut + POSITIONS]
            places, wanted = np.arange(len(rows)), np.array(window.tokens[at + 1 : at + 1 + len(rows)])
            log_q = rows - log_z(rows)[:, None].astype(np.float32)
            own = log_q[places, wanted]
            log_probs.extend(own.tolist())
            if base is None:
                continue
            logits = base[0].logits(base[1][at - first : at - first + len(rows)])
            log_p = logits - log_z(logits)[:, None].astype(np.float32)
            kl, ear = divergence(log_p, log_q)
            top, baseline_top = log_q.argmax(-1), log_p.argmax(-1)
            for name, values in (
                ("kl", kl),
                ("ear", ear),
                ("top1_agree", top == baseline_top),
                ("delta_p", np.exp(own) - np.exp(log_p[places, wanted])),
                ("top", top),
                ("baseline_top", baseline_top),
            ):
                found[name].extend(values.tolist())
    if base is None:
        return WindowScore(log_probs=tuple(log_probs))
    return WindowScore(log_probs=tuple(log_probs), **{name: tuple(values) for name, values in found.items()})


def divergence(log_p: Logits, log_q: Logits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """KL(P || Q) in nats and sum min(P, Q) at every position: see `streaming_softmax.divergence`."""
    p, q, common = np.exp(log_p), np.exp(log_q), min(log_p.shape[-1], log_q.shape[-1])
    sum_p, sum_q = (each.sum(-1, dtype=np.float64)[:, None] for each in (p, q))  # 1, but for the rounding of `log_z`
    q *= (sum_p / sum_q).astype(np.float32)
    shared = np.minimum(p[:, :common], q[:, :common]).sum(-1, dtype=np.float64) / sum_p[:, 0]
    if log_p.shape != log_q.shape:
        log_p, log_q = (
            each[:, :common] - log_z(each[:, :common])[:, None].astype(np.float32) for each in (log_p, log_q)
        )
        p = np.exp(log_p)
    kl = np.maximum((p * (log_p - log_q)).sum(-1, dtype=np.float64), 0.0)
    return kl, np.minimum(shared, 1.0)


def picked(rows: Logits, tokens: Sequence[int]) -> tuple[list[float], list[bool]]:
    """Log-probability of one token per row of logits, and whether it is the most likely one."""
    values: list[float] = []
    best: list[bool] = []
    for cut in range(0, len(rows), POSITIONS):
        part = rows[cut : cut + POSITIONS]
        wanted = np.array(tokens[cut : cut + POSITIONS])
        values.extend((part[np.arange(len(part)), wanted] - log_z(part)).tolist())
        best.extend((part.argmax(-1) == wanted).tolist())
    return values, best


def log_z(rows: Logits) -> NDArray[np.float64]:
    """Logarithm of the softmax's denominator per row, summed in float64. NaN stays NaN."""
    top = rows.max(-1, keepdims=True)
    with np.errstate(all="ignore"):
        sums = np.exp(rows - top).sum(-1, dtype=np.float64)
        result: NDArray[np.float64] = top[:, 0] + np.log(sums)
    return result


def _stored(model: Model, states_in: str, windows: Sequence[Window]) -> tuple[StoredLmHead, NDArray[Any]]:
    """The baseline's output layer and its states for these windows."""
    folder = str(Path(states_in).parent)
    states: NDArray[Any] = read_states(states_in, windows)
    if folder not in _HEADS:
        _HEADS.clear()
        _HEADS[folder] = StoredLmHead.read(Path(folder))
    head = _HEADS[folder]
    check_vocabularies(
        str(model.path), Path(states_in).parent,
        base=head.vocabulary, own=model.vocabulary, known=model.known, windows=windows,
    )  # fmt: skip
    return head, states
