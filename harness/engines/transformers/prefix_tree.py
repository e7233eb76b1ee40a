"""Rows of a shared pass: a request's own context once, with all of its continuations behind it as a prefix tree.

A row is laid out depth first, so the tokens below a token follow it directly: token j is seen by tokens j to `last[j]`
and by no other. That is the whole mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.engines.protocol import ContinuationScore, ScoreRequest


@dataclass(frozen=True, kw_only=True)
class Row:
    """What goes into one row of a batch, and which position predicts which token of which continuation."""

    tokens: list[int]
    positions: list[int]
    last: list[int]
    """Per token, the last one that sees it."""
    targets: list[tuple[int, int, int]]
    """(position in the row, token it predicts, continuation), every continuation in order."""


def tree_row(request: ScoreRequest, head: int = 0) -> Row:
    """A request without its first `head` tokens, which are computed elsewhere.

    A continuation's last token only is predicted, so it is not in the row. Continuations that begin alike share.
    """
    size = len(request.context) - head
    tokens, positions = list(request.context[head:]), list(range(head, len(request.context)))
    last = [0] * size
    targets: list[list[tuple[int, int, int]]] = [[] for _ in request.continuations]
    path: list[int] = []
    before: tuple[int, ...] = ()
    for number in sorted(range(len(targets)), key=lambda number: request.continuations[number]):
        continuation = request.continuations[number]
        inner = continuation[:-1]
        kept = next(
            (place for place, (own, other) in enumerate(zip(inner, before, strict=False)) if own != other),
            min(len(inner), len(before)),
        )
        for closed in path[kept:]:
            last[closed] = len(tokens) - 1
        del path[kept:]
        for offset in range(kept, len(inner)):
            path.append(len(tokens))
            tokens.append(inner[offset])
            positions.append(len(request.context) + offset)
            last.append(0)
        spots = [size - 1, *path]
        targets[number] = [(spot, token, number) for spot, token in zip(spots, continuation, strict=True)]
        before = inner
    for closed in (*range(size), *path):
        last[closed] = len(tokens) - 1
    return Row(tokens=tokens, positions=positions, last=last, targets=[target for each in targets for target in each])


def padded_ids(rows: Sequence[Row]) -> Any:
    """Token ids, [rows, longest], padded on the right with 0."""
    import torch

    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row.tokens) for row in rows], batch_first=True)


def tree_inputs(rows: Sequence[Row], head: int, dtype: Any) -> dict[str, Any]:
    """Position ids and the additive mask, [rows, 1, longest, head + longest], for a shared pass behind a head."""
    import torch

    longest = max(len(row.tokens) for row in rows)
    positions = torch.nn.utils.rnn.pad_sequence([torch.tensor(row.positions) for row in rows], batch_first=True)
    places = torch.arange(longest)
    last = places.repeat(len(rows), 1)
    for number, row in enumerate(rows):
        last[number, : len(row.last)] = torch.tensor(row.last)
    hidden = (places[None, None, :] > places[None, :, None]) | (places[None, :, None] > last[:, None, :])
    mask = torch.zeros((len(rows), 1, longest, head + longest), dtype=dtype)
    mask[:, 0, :, head:].masked_fill_(hidden, torch.finfo(dtype).min)
    return {"position_ids": positions, "attention_mask": mask}


def plain_inputs(rows: Sequence[Row]) -> dict[str, Any]:
    """The 2-D mask of a batch that is padded on the right."""
    import torch

    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(row.tokens)).long() for row in rows], batch_first=True)
    return {"attention_mask": mask}


def collect(found: Sequence[tuple[int, float, bool]], count: int) -> tuple[ContinuationScore, ...]:
    """A row's (continuation, log-probability, arg-max) back into its `count` continuations."""
    scores = []
    for number in range(count):
        own = [(value, best) for branch, value, best in found if branch == number]
        scores.append(
            ContinuationScore(log_probs=tuple(value for value, _ in own), greedy=all(best for _, best in own))
        )
    return tuple(scores)
