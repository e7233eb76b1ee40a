"""Prefixes that prompts of a task share (few-shot examples, system prompts, documents), so that engines compute each
once.

The prompts form a prefix tree. A node of it may become a shared prefix: its tokens are computed once, and every prompt
below it costs only what follows. Chosen are the nodes that leave the fewest tokens to compute. Shared prefixes that
begin alike (one system prompt, several documents) have a root prefix in common, found among them in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

SHORTEST = 24
"""Tokens under which a shared prefix is not worth keeping."""
COST = 32
"""What a shared prefix costs beyond itself (a pass of its own, and a batch that ends with its prompts), in tokens."""


@dataclass(kw_only=True, slots=True)
class _Node:
    """Prompts `first` to `last` of the sorted order, which begin with the same `depth` tokens."""

    depth: int
    first: int
    last: int
    children: list[_Node] = field(default_factory=list)
    tokens: int = 0
    """Of all prompts below, shared prefixes included."""
    cost: int = 0
    """Tokens to compute when this node is a shared prefix, or, for a single prompt, without any."""

    @property
    def prompts(self) -> int:
        return self.last - self.first + 1

    def under(self, depth: int) -> int:
        """Tokens to compute when a shared prefix of `depth` tokens serves every prompt here."""
        return self.tokens - self.prompts * depth


def shared_prefix_lengths(prompts: Sequence[tuple[int, ...]]) -> list[int]:
    """Per prompt, how many leading tokens to share with others: fewer than its length, 0 for none."""
    prefixes = [0] * len(prompts)
    if len(prompts) < 2:
        return prefixes
    order = sorted(range(len(prompts)), key=lambda index: prompts[index])
    pending = [_tree([prompts[index] for index in order])]
    while pending:
        node = pending.pop()
        for index in order[node.first : node.last + 1]:
            prefixes[index] = node.depth
        pending.extend(child for child in node.children if child.cost < child.under(node.depth))
    return prefixes


def root_prefix_lengths(prefixes: Sequence[tuple[int, ...]]) -> list[int]:
    """Per shared prefix, how many of its leading tokens to compute once for several: fewer than its length."""
    distinct = sorted({prefix for prefix in prefixes if prefix})
    roots = dict(zip(distinct, shared_prefix_lengths(distinct), strict=True))
    return [roots.get(prefix, 0) for prefix in prefixes]


def _tree(prompts: Sequence[tuple[int, ...]]) -> _Node:
    """The prefix tree of sorted prompts, with costs; its root has depth 0. Built from left to right on a stack."""
    stack: list[_Node] = []
    for index, prompt in enumerate(prompts):
        after = _common(prompt, prompts[index + 1]) if index + 1 < len(prompts) else 0
        leaf = _Node(depth=0, first=index, last=index, tokens=len(prompt), cost=len(prompt))
        node = leaf
        while stack and stack[-1].depth > after:
            node = _closed(stack.pop(), node)
        if stack and stack[-1].depth == after:
            stack[-1].children.append(node)
        else:
            stack.append(_Node(depth=after, first=node.first, last=node.last, children=[node]))
    root = stack[0]
    root.last = len(prompts) - 1
    return _priced(root)


def _closed(node: _Node, last: _Node) -> _Node:
    node.children.append(last)
    return _priced(node)


def _priced(node: _Node) -> _Node:
    """Totals from the children. A shared prefix leaves every prompt at least one token of its own."""
    node.first, node.last = node.children[0].first, node.children[-1].last
    node.tokens = sum(child.tokens for child in node.children)
    node.depth = min([node.depth, *(child.tokens - 1 for child in node.children if not child.children)])
    if node.depth < SHORTEST:
        node.depth = 0
    own = node.depth + COST if node.depth else 0
    node.cost = own + sum(min(child.cost, child.under(node.depth)) for child in node.children)
    return node


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix, by halving: comparing slices is quick."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
