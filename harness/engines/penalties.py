"""Decoding rules on one row of logits, for engines that decode token by token here. Needs numpy.

Each follows transformers' own (`generation/logits_process.py`): same order, same arithmetic in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.engines.decoding import Decoding

FOLLOWED = frozenset(
    (
        *("repetition_penalty", "no_repeat_ngram_size", "bad_words", "min_new_tokens"),
        *("suppress_tokens", "begin_suppress_tokens"),
    )
)


def ruled(
    logits: NDArray[np.float32], prompt: Sequence[int], answer: Sequence[int], decoding: Decoding
) -> NDArray[np.float32]:
    """The logits of the next token as the rules leave them, [vocabulary]; the given array where none is set."""
    if decoding.is_plain:
        return logits
    scores = logits.astype(np.float32, copy=True)
    so_far = [*prompt, *answer]
    if decoding.repetition_penalty != 1.0:
        seen = np.unique(np.asarray(so_far, dtype=np.int64))
        seen = seen[seen < len(scores)]
        values = scores[seen]
        penalty = np.float32(decoding.repetition_penalty)
        scores[seen] = np.where(values < 0, values * penalty, values / penalty)
    banned = list(_repeats(so_far, decoding.no_repeat_ngram_size))
    banned += _bad(so_far, decoding)
    if len(answer) < decoding.min_new_tokens:
        banned += decoding.end_tokens
    banned += decoding.suppress_tokens
    if not answer:
        banned += decoding.begin_suppress_tokens
    scores[[token for token in banned if 0 <= token < len(scores)]] = -np.inf
    return scores


def _repeats(so_far: Sequence[int], size: int) -> list[int]:
    """Tokens that would end a run of `size` tokens that stands in the text already."""
    if size <= 0 or len(so_far) + 1 < size:
        return []
    before = tuple(so_far[len(so_far) - size + 1 :])
    return [
        so_far[place + size - 1]
        for place in range(len(so_far) - size + 1)
        if tuple(so_far[place : place + size - 1]) == before
    ]


def _bad(so_far: Sequence[int], decoding: Decoding) -> list[int]:
    """Last tokens of forbidden sequences whose beginning was just written. An end token alone is never one."""
    found = []
    for word in decoding.bad_words:
        head = word[:-1]
        if not word or (len(word) == 1 and word[0] in decoding.end_tokens):
            continue
        if len(word) <= len(so_far) + 1 and tuple(so_far[len(so_far) - len(head) :]) == head:
            found.append(word[-1])
    return found
