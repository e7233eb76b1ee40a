"""What is not read at all: a YAML text that is too large or too deep once its aliases are expanded, and a file that
is not regular.

Works on parsing events, of ruamel or of PyYAML, so that 700 bytes that expand to millions of nodes cost nothing, and
no recursion goes deeper than what is counted here.

A pipe waits for its writer forever, and a device may have no end.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_NODES = 200_000
DEEPEST = 64


class UnboundedError(Exception):
    """A document that is too large or too deep, with line and column (both from 1)."""

    def __init__(self, message: str, mark: Any) -> None:
        super().__init__(message)
        self.line, self.column = int(mark.line) + 1, int(mark.column) + 1


@dataclass(kw_only=True)
class _Part:
    """A list or mapping that is still open, or the whole document."""

    anchor: str | None = None
    nodes: int = 1
    depth: int = 0
    """Depth of its content."""


@dataclass(kw_only=True)
class _Count:
    open: list[_Part] = field(default_factory=lambda: [_Part()])
    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Nodes and depth of every anchor that is complete."""

    def add(self, nodes: int, depth: int, mark: Any) -> None:
        """Adds to the innermost open part and to all that enclose it."""
        inner = self.open[-1]
        inner.nodes, inner.depth = inner.nodes + nodes, max(inner.depth, depth)
        if inner.nodes > MOST_NODES:
            raise UnboundedError(f"expands to more than {MOST_NODES:,} values once its aliases are expanded", mark)
        if len(self.open) - 1 + depth > DEEPEST:
            raise UnboundedError(f"nests lists and mappings more than {DEEPEST} deep", mark)

    def close(self, mark: Any) -> None:
        part = self.open.pop()
        if part.anchor is not None:
            self.known[part.anchor] = (part.nodes, part.depth + 1)
        self.add(part.nodes, part.depth + 1, mark)


def check_bounds(events: Iterable[Any]) -> None:
    """Raises `UnboundedError`, and whatever the parser raises for invalid YAML."""
    count = _Count()
    for event in events:
        kind, mark = type(event).__name__, event.start_mark
        anchor: Any = getattr(event, "anchor", None)
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            count.open.append(_Part(anchor=anchor))
            count.add(0, 0, mark)
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            count.close(mark)
        elif kind == "ScalarEvent":
            count.add(1, 0, mark)
            if anchor is not None:
                count.known[anchor] = (1, 0)
        elif kind == "AliasEvent":
            if any(part.anchor == anchor for part in count.open):
                raise UnboundedError(f"*{anchor} is inside the node that it names", mark)
            count.add(*count.known.get(anchor, (1, 0)), mark)


def unreadable(path: Path) -> str | None:
    """What `path` is if not a regular file, in words; None for a file. Raises OSError where nothing exists."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "a device")
