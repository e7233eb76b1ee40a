"""The single order in which every variant answers the items: blocks of shuffled items, in each block batches sorted by
length.

Sorting all items by length pads least, but then the first batches hold the longest items and say little about the
rest. Here the items are shuffled first, so that those of the first blocks are a fair sample of the task and a test
between two blocks is valid; inside a block, where no test is made, they are sorted. The order depends on nothing but
what is asked: it is the same for every variant, in every process, and whether or not a run may stop early.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

FIRST = 64
"""Minimum items of the first block. Each further block is as large as all before it together: a hopeless variant is
detected after few items, and most items are in blocks large enough to hold many of similar length. A smaller last block
is merged into the one before."""
TOGETHER = 16
"""Items with a prefix of their own that stay in one block, so that it is computed once. A prefix that more
items share costs each of them little when every block computes it again."""
PADDED_TOKENS = 4096
ANSWERED_TOKENS = 8192
"""Padded tokens of a batch of answers, where every step reads all weights for as many rows as there are. An engine cuts
it where their states do not fit. Twice as many would put an hour's work into one call where answers are generated one
by one and slowly, and a call of an hour counts as hung."""
MOST_ITEMS = 64
PADDING = 128
"""Tokens of padding in a batch of scored options: more would cost more than the next batch does. It does not apply to
generation, where every batch repeats every step."""
BATCHING, BATCHING_WHOLE = "blocks-1", "by-length-1"
"""Codes of the two orders: `in_blocks` with the figures above, and `in_one`. Part of every evaluation's identity: a
change of an order or of a figure gives its code the next number."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """Every item once: batches of item indices, and the batches after which a block ends."""

    chunks: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]
    """How many chunks there are up to the end of each block; the last is all of them."""


def in_blocks(
    prefixes: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    clusters: Sequence[str | None],
    *,
    seed: str,
    tokens: int = PADDED_TOKENS,
    padding: int | None = None,
) -> Order:
    """Shuffled blocks of n items. `prefixes`: the tokens an item's first request shares with others, [n]; `lengths`:
    tokens it puts into a batch, [n]; `clusters`: [n], None for an item in none; `seed`: what is asked, as a hash;
    `tokens`: the most in a batch, padding included; `padding`: the most of that, None for any."""
    chunks: list[tuple[int, ...]] = []
    ends: list[int] = []
    for block in _blocks(_units(prefixes, clusters), seed):
        chunks += _batches(block, prefixes, lengths, tokens, padding)
        ends.append(len(chunks))
    return Order(chunks=tuple(chunks), ends=tuple(ends))


def in_one(prefixes: Sequence[tuple[int, ...]], lengths: Sequence[int]) -> Order:
    """All items as one block, for tasks that cannot be stopped: nothing to shuffle, and the least padding."""
    chunks = _batches(range(len(lengths)), prefixes, lengths, PADDED_TOKENS, None)
    return Order(chunks=tuple(chunks), ends=(len(chunks),))


def _units(prefixes: Sequence[tuple[int, ...]], clusters: Sequence[str | None]) -> list[list[int]]:
    """The items that are shuffled as one, in order of first appearance."""
    sharing = Counter(prefixes)
    units: dict[Hashable, list[int]] = {}
    for index, (prefix, cluster) in enumerate(zip(prefixes, clusters, strict=True)):
        key: Hashable = index
        if cluster is not None:
            key = ("cluster", cluster)
        elif prefix and sharing[prefix] <= TOGETHER:
            key = ("prefix", prefix)
        units.setdefault(key, []).append(index)
    return list(units.values())


def _blocks(units: Sequence[Sequence[int]], seed: str) -> list[list[int]]:
    """Units in the order of a hash of their first item, which is one shuffle on every machine and in every Python."""
    shuffled = sorted(units, key=lambda unit: hashlib.sha256(f"{seed}/{unit[0]}".encode()).digest())
    blocks: list[list[int]] = [[]]
    before = 0
    for unit in shuffled:
        if len(blocks[-1]) >= max(FIRST, before):
            before += len(blocks[-1])
            blocks.append([])
        blocks[-1] += unit
    if len(blocks) > 1 and len(blocks[-1]) < FIRST:
        last = blocks.pop()
        blocks[-1] += last
    return blocks


def _batches(
    members: Sequence[int],
    prefixes: Sequence[tuple[int, ...]],
    lengths: Sequence[int],
    tokens: int,
    padding: int | None,
) -> list[tuple[int, ...]]:
    """Batches of the members: those with one prefix next to each other, longest first, filled by tokens."""
    longest: dict[tuple[int, ...], int] = {}
    for index in members:
        longest[prefixes[index]] = max(lengths[index], longest.get(prefixes[index], 0))
    order = sorted(members, key=lambda index: (-longest[prefixes[index]], prefixes[index], -lengths[index], index))
    chunks: list[tuple[int, ...]] = []
    current: list[int] = []
    widest = filled = 0
    for index in order:
        widest, filled = max(widest, lengths[index]), filled + lengths[index]
        padded = (len(current) + 1) * widest
        wide = padded > tokens or (padding is not None and padded - filled > padding)
        if current and (wide or len(current) == MOST_ITEMS):
            chunks.append(tuple(current))
            current, widest, filled = [], lengths[index], lengths[index]
        current.append(index)
    if current:
        chunks.append(tuple(current))
    return chunks
