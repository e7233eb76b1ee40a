"""The tokens with the highest KL, and how much of its mean few of them carry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from harness.records.columns import Floats, Indices
from harness.records.evaluation_manifest import TokenText
from harness.records.measures import DivergentToken, DivergentTokens

MOST = 20
"""Tokens of a task that are shown at most."""
FEW = ((1, 0.1), (10, 0.25))
"""So many tokens carry much of the mean where they carry at least this share of it."""
FEW_IN_A_HUNDRED = 0.5
"""The same of one token in a hundred."""


def highest(values: Floats, most: int = MOST) -> Indices:
    """Places of the highest values above 0, the highest first; of equal ones the first."""
    if values.size > most:
        least = np.partition(values, values.size - most)[values.size - most]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(values.size)
    order = places[np.argsort(-values[places], kind="stable")][:most]
    return order[values[order] > 0].astype(np.int64)


def most_divergent(
    task: str, values: Floats, lengths: Sequence[int], delta_p: Floats | None, name: Callable[[int], str]
) -> DivergentTokens | None:
    """The most divergent tokens of a task, without their texts; None where nothing diverges.

    `values`: KL of every token, one document's after the other's; `name`: of a document.
    """
    total, ends = float(values.sum()), np.cumsum(lengths)
    found = highest(values)
    if not found.size:
        return None
    documents = np.searchsorted(ends, found, side="right")
    starts = (ends - np.asarray(lengths))[documents]
    few, carried = concentration(values) or (None, None)
    return DivergentTokens(
        task=task,
        tokens=values.size,
        few=few,
        carried=carried,
        most=tuple(
            DivergentToken(
                item=name(document),
                place=at - start,
                kl=float(values[at]),
                share=float(values[at]) / total,
                delta_p=None if delta_p is None else float(delta_p[at]),
            )
            for at, document, start in zip(found.tolist(), documents.tolist(), starts.tolist(), strict=True)
        ),
    )


def with_texts(tokens: DivergentTokens, texts: Sequence[TokenText]) -> DivergentTokens:
    """With what the evaluation stored of the tokens in words."""
    known = {(text.item, text.place): text.model_dump(exclude={"item", "place"}) for text in texts}
    most = tuple(token.model_copy(update=known.get((token.item, token.place), {})) for token in tokens.most)
    return tokens.model_copy(update={"most": most})


def concentration(values: Floats) -> tuple[int, float] | None:
    """How many tokens carry much of the mean, and what share of it; None where no few tokens do.

    One token with a tenth of it, ten with a quarter, or one in a hundred with half.
    """
    total = float(values.sum())
    if not total > 0:
        return None
    for count, share in _few(values.size):
        carried = float(values[highest(values, count)].sum()) / total
        if carried >= share:
            return count, carried
    return None


def _few(tokens: int) -> Iterator[tuple[int, float]]:
    """Numbers of tokens that are few among so many, and what they have to carry."""
    yield from ((count, share) for count, share in FEW if tokens >= 20 * count)
    hundredth = math.ceil(tokens / 100)
    if hundredth > FEW[-1][0]:
        yield hundredth, FEW_IN_A_HUNDRED
