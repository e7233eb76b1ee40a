"""Batch sizes after memory ran out. Counted in padded tokens, which determine memory, so that one task's or worker's
finding serves the others. Standard library only: the worker and its driver both use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Sized(Protocol):
    """A request of any kind."""

    @property
    def own_tokens(self) -> int: ...


def padded_tokens(requests: Sequence[Sized]) -> int:
    """Tokens of these requests in one batch, each padded to the longest."""
    return len(requests) * max((request.own_tokens for request in requests), default=0)


def leading(requests: Sequence[Sized], limit: int | None) -> int:
    """How many of the first requests make one batch within `limit` tokens; one at least, None is no limit."""
    if limit is None:
        return len(requests)
    longest = 0
    for count, request in enumerate(requests):
        longest = max(longest, request.own_tokens)
        if count and (count + 1) * longest > limit:
            return count
    return len(requests)


def halved(requests: Sequence[Sized], limit: int | None) -> int | None:
    """Half of the largest batch in which these requests are asked; None where each is asked alone already."""
    largest, start = 0, 0
    while start < len(requests):
        count = leading(requests[start:], limit)
        if count > 1:
            largest = max(largest, padded_tokens(requests[start : start + count]))
        start += count
    return largest // 2 or None
