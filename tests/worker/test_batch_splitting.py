"""How much is asked at once where memory ran out."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from harness.worker.batch_splitting import halved, leading, padded_tokens


@dataclass(frozen=True, kw_only=True)
class Ask:
    own_tokens: int


def asks(*lengths: int) -> list[Ask]:
    return [Ask(own_tokens=length) for length in lengths]


@pytest.mark.parametrize(
    ("lengths", "limit", "count", "half"),
    [
        ((), None, 0, None),
        ((5, 5, 5), None, 3, 7),
        ((5, 5, 5), 15, 3, 7),
        ((5, 5, 5), 14, 2, 5),
        ((5, 5, 5), 5, 1, None),
        ((9, 1), 3, 1, None),  # one at least
        ((1, 1, 1, 9), 9, 3, 1),
        ((9,), None, 1, None),
    ],
)
def test_small_cases(lengths: tuple[int, ...], limit: int | None, count: int, half: int | None) -> None:
    """The longest request counts for all of a batch; a single one goes alone, whatever its length."""
    assert leading(asks(*lengths), limit) == count
    assert halved(asks(*lengths), limit) == half


def test_halving_ends_with_every_request_alone() -> None:
    """Every half is less than the largest batch before it, and no batch is larger than its limit."""
    source = random.Random(0)
    for _ in range(200):
        requests = asks(*(source.randrange(1, 500) for _ in range(source.randrange(1, 65))))
        limit, before = None, padded_tokens(requests) + 1
        while (half := halved(requests, limit)) is not None:
            assert half < before
            assert half <= padded_tokens(requests[: leading(requests, limit)]) // 2 or limit is not None
            limit = before = half
        start = 0
        while start < len(requests):
            count = leading(requests[start:], limit)
            assert count == 1 or limit is None
            start += count
