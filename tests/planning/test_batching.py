"""The order in which items are asked: fair blocks, whole clusters, sorted batches, the same everywhere."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from harness.planning import second_pass
from harness.planning.batching import (
    ANSWERED_TOKENS,
    BATCHING,
    BATCHING_WHOLE,
    FIRST,
    MOST_ITEMS,
    PADDED_TOKENS,
    PADDING,
    TOGETHER,
    Order,
    in_blocks,
    in_one,
)
from harness.records.batching_codes import batching_code

NO_HEAD: tuple[int, ...] = ()


def blocks(order: Order) -> list[list[int]]:
    """Item indices, block by block."""
    ends = [0, *order.ends]
    return [[index for chunk in order.chunks[first:end] for index in chunk] for first, end in pairwise(ends)]


def lengths_of(count: int) -> list[int]:
    drawn = random.Random(1)
    return [drawn.randint(5, 400) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 640, 3000])
def test_every_item_once_in_growing_blocks(count: int) -> None:
    """The first block has 64 items, each further one as many as all before it, the last what is left and at least
    64."""
    order = in_blocks([NO_HEAD] * count, lengths_of(count), [None] * count, seed="s")
    assert sorted(index for chunk in order.chunks for index in chunk) == list(range(count))
    assert order.ends[-1] == len(order.chunks)
    sizes = [len(block) for block in blocks(order)]
    done = 0
    for size in sizes[:-1]:
        assert size == max(FIRST, done)
        done += size
    assert len(sizes) == 1 or FIRST <= sizes[-1] < max(FIRST, done) + FIRST


@pytest.mark.parametrize("ordering", ["blocks", "one"])
def test_batches_are_sorted_inside_a_block(ordering: str) -> None:
    """Longest first, within the limits of a batch."""
    lengths = lengths_of(1000)
    order = in_one([NO_HEAD] * 1000, lengths)
    if ordering == "blocks":
        order = in_blocks([NO_HEAD] * 1000, lengths, [None] * 1000, seed="s", padding=PADDING)
    for block in blocks(order):
        sizes = [lengths[index] for index in block]
        assert sizes == sorted(sizes, reverse=True)
    for chunk in order.chunks:
        assert len(chunk) <= MOST_ITEMS
        padded = len(chunk) * max(lengths[index] for index in chunk)
        assert len(chunk) == 1 or padded <= PADDED_TOKENS
        assert ordering == "one" or padded - sum(lengths[index] for index in chunk) <= PADDING


def test_the_first_block_is_a_fair_sample() -> None:
    """Items sorted by difficulty or length in their file are not sorted any more: over many tasks the mean place in
    the file of the first block's items is the middle."""
    places = []
    for task in range(200):
        order = in_blocks([NO_HEAD] * 500, list(range(1, 501)), [None] * 500, seed=f"task {task}")
        places += blocks(order)[0]
    mean = sum(places) / len(places)
    assert abs(mean - 249.5) < 4 * 144.3 / len(places) ** 0.5
    assert max(Counter(places).values()) < 60  # 25.6 times each on average


def test_another_seed_another_order() -> None:
    """The order follows from what is asked and from nothing else."""
    first, again, other = (
        in_blocks([NO_HEAD] * 300, [9] * 300, [None] * 300, seed=seed).chunks for seed in ("a", "a", "b")
    )
    assert first == again
    assert first != other


def test_clusters_and_small_groups_stay_whole() -> None:
    """A cluster lies in one block, and so do items with a beginning of their own; one that many share does not tie."""
    count = 2000
    clusters = [f"c{index % 150}" for index in range(count)]
    for block in blocks(in_blocks([NO_HEAD] * count, [9] * count, clusters, seed="s")):
        inside = Counter(clusters[index] for index in block)
        assert all(size == clusters.count(name) for name, size in inside.items())
    prefixes = [(1, index % 400) for index in range(count)]
    assert count / 400 <= TOGETHER
    for block in blocks(in_blocks(prefixes, [9] * count, [None] * count, seed="s")):
        assert set(Counter(prefixes[index] for index in block).values()) == {5}
    few = [(1, index % 2) for index in range(count)]
    first = blocks(in_blocks(few, [9] * count, [None] * count, seed="s"))[0]
    assert len(first) == FIRST
    assert {few[index] for index in first} == {(1, 0), (1, 1)}


def test_a_batching_s_code_stands_for_its_figures() -> None:
    """Evaluations are stored under the codes: whoever changes a figure, or an order, gives its code the next number and
    writes it here. The sentences that were stored before stand for the same codes."""
    items = [PADDED_TOKENS, ANSWERED_TOKENS, MOST_ITEMS]
    assert (BATCHING, FIRST, TOGETHER, PADDING, *items) == ("blocks-1", 64, 16, 128, 4096, 8192, 64)
    assert (BATCHING_WHOLE, PADDED_TOKENS, MOST_ITEMS) == ("by-length-1", 4096, 64)
    assert (second_pass.BATCHING, second_pass.DOCUMENT_BATCHING, second_pass.WIDEST) == (
        "second-pass-1",
        "second-pass-documents-1",
        32,
    )
    old = "shared beginnings computed once; sorted by length, at most 4096 padded tokens and 64 items a batch"
    assert batching_code(old) == BATCHING_WHOLE
    assert batching_code(BATCHING) == BATCHING
