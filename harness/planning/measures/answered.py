"""What a metric of generated answers is given, and how it says that it cannot score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


class ScoreError(Exception):
    """A metric could not score an answer: its own fault, never a zero. The message says why."""


class Unfit(Exception):  # noqa: N818  # not an error: the answer is scored, and this is why it got 0
    """An answer scores 0, and the message says why."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One answer as the task's `regex` left it, with all that a metric may look at."""

    answer: str
    references: tuple[str, ...]
    row: Mapping[str, object]
    """The item's own fields."""


Measure = Callable[[Answered], float]
"""Raises `ScoreError`, and `Unfit` for a 0 with its reason."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The metrics of a task, in the order asked for."""

    by_name: Mapping[str, Measure]
    lower_is_better: frozenset[str] = frozenset()
    facts: Mapping[str, object] = field(default_factory=dict)
    """What determines their scores, for the identity of the task."""
    whole: tuple[str, ...] = ()
    """Metrics of the whole that are asked for."""
