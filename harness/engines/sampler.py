"""The one sampler of engines that choose tokens here: temperature, top-k, top-p, min-p, and a draw from what is left.

Follows transformers' warpers in their order (`generation/logits_process.py`), in float64. The draw is a Gumbel maximum
whose noise is a function of (the request's seed, the position of the new token, the token) and of nothing else: not of
batches, devices, other requests or earlier tokens. So a resumed run, a halved batch and another batch size draw alike,
and two models that are asked with the same seed draw with common random numbers: where their distributions are at a
total variation distance of d, they choose the same token with a probability of at least (1 - d) / (1 + d) (Daliri,
Musco and Suresh 2024, "Coupling without communication"). Needs numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.engines.protocol import GenerateRequest

Floats = NDArray[np.float64]
BITS = 53
"""Of a uniform number in float64."""
FEW = 1024
"""Tokens that are sorted first to find those of top-p."""


def kept(logits: NDArray[np.floating], request: GenerateRequest) -> Floats:
    """The logits over the temperature, minus infinity for a token that top-k, top-p or min-p leaves out,
    [vocabulary]."""
    scores: Floats = np.asarray(logits, dtype=np.float64) / request.temperature
    if 0 < request.top_k < scores.size:
        scores[scores < np.partition(scores, -request.top_k)[-request.top_k]] = -np.inf
    if request.top_p < 1.0:
        nucleus = _nucleus(scores, request.top_p)
        left = np.full_like(scores, -np.inf)
        left[nucleus] = scores[nucleus]
        scores = left
    if request.min_p > 0.0:
        scores[scores < scores.max() + np.log(request.min_p)] = -np.inf
    return scores


def _nucleus(scores: Floats, top_p: float) -> NDArray[np.int64]:
    """The likeliest tokens, each with less than `top_p` of the probability before it. Sorts a few of the likeliest
    first, which mostly hold it all."""
    weights = np.exp(scores - scores.max())
    whole = weights.sum()
    for most in (FEW, scores.size):
        some = np.argpartition(-weights, most - 1)[:most] if most < scores.size else np.arange(scores.size)
        order = some[np.argsort(-weights[some], kind="stable")]
        before = np.cumsum(weights[order]) - weights[order]
        inside = before < top_p * whole
        inside[0] = True
        if most >= scores.size or not inside.all():
            break
    found: NDArray[np.int64] = order[inside]
    return found


def gumbel(seed: int, position: int, tokens: NDArray[np.int64]) -> Floats:
    """The noise of these tokens at one position of one answer: Philox (Salmon et al. 2011) with the seed as its key,
    the position in its counter, and the token's place in the stream, of which numpy guarantees every bit."""
    source = np.random.Philox(key=seed, counter=[0, 0, 0, position])
    raw = source.random_raw(int(tokens.max()) + 1)[tokens]
    uniform = ((raw >> np.uint64(64 - BITS)).astype(np.float64) + 0.5) * 2.0**-BITS
    noise: Floats = -np.log(-np.log(uniform))
    return noise


def choose(logits: NDArray[np.floating], request: GenerateRequest, position: int) -> int:
    """The next token of an answer that has `position` tokens so far: the likeliest one at temperature 0, else drawn.

    A logit that is NaN is chosen, as `argmax` does: it must not go unseen.
    """
    if request.temperature <= 0 or np.isnan(logits).any():
        return int(np.argmax(logits))
    scores = kept(logits, request)
    left = np.flatnonzero(scores > -np.inf)
    if left.size <= 1:
        return int(scores.argmax())
    return int(left[(scores[left] + gumbel(request.seed, position, left)).argmax()])


def choose_each(
    logits: NDArray[np.floating], requests: Sequence[GenerateRequest], positions: Sequence[int]
) -> list[int]:
    """The next token of every row, [rows, vocabulary]."""
    return [choose(row, request, position) for row, request, position in zip(logits, requests, positions, strict=True)]
