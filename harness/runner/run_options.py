"""The options of a run, written once: `quantgate run`, `harness.run`'s keywords and the table in the docs follow.

Owns their names, types, defaults and help, and which values are refused; what an option does is up to the runner.
Light, as the command line starts with it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.suite.models import Suite

LONGEST_LABEL = 64
"""Characters: a commit's hash has 40 or 64."""
P = ParamSpec("P")
A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Option:
    """How a field of `RunOptions` appears on the command line. Options shared with other commands have none of their
    own."""

    help: str
    flag: str | None = None
    """Where it does not follow from the field's name."""
    size: str | None = None
    """Placeholder of a number of bytes that is written with a unit."""


def _shown(text: str, *, flag: str | None = None, size: str | None = None) -> Mapping[str, Option]:
    return {"option": Option(help=text, flag=flag, size=size)}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Everything about a run that is not in its suite."""

    results: str | Path = Path("results")
    artifacts: str | Path = Path("artifacts")
    limit: int | None = field(default=None, metadata=_shown("At most this many items of each task."))
    variants: tuple[str, ...] = field(
        default=(), metadata=_shown("Only this candidate (repeatable).", flag="--variant")
    )
    tasks: tuple[str, ...] = field(default=(), metadata=_shown("Only this task (repeatable).", flag="--task"))
    offline: bool = field(default=False, metadata=_shown("Never ask a model hub.", flag="--offline"))
    fresh: bool = field(default=False, metadata=_shown("Compute again what exists.", flag="--fresh"))
    memory_budget: int | None = field(
        default=None, metadata=_shown("What scoring may take beside the weights, such as 4GiB.", size="SIZE")
    )
    """Bytes; None is half of what is free, down to a power of two."""
    stuck_after: float | None = field(
        default=None, metadata=_shown("Seconds that a load or chunk may take (default: by the slowest before it).")
    )
    label: str = field(default="", metadata=_shown("What to call this version in history: a tag, a commit."))
    stop_early: bool = field(
        default=False,
        metadata=_shown("Stop a variant once it cannot hold a limit any more.", flag="--stop-early/--no-stop-early"),
    )
    report_only: bool = False
    """Apply no gate."""

    @property
    def partial(self) -> bool:
        """Whether the run is of less than the whole suite."""
        return self.limit is not None or bool(self.variants) or bool(self.tasks)

    def check(self, suite: Suite) -> None:
        """Raises `UsageError` for a variant or task that the suite does not have, and for other impossible values."""
        for option, names, known in (
            ("--variant", self.variants, tuple(suite.variants)),
            ("--task", self.tasks, tuple(suite.tasks)),
        ):
            for name in names:
                if name not in known:
                    raise UsageError(f"{option} {name}: the suite has {', '.join(known)}")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit: expected an integer of at least 1, got {self.limit}")
        if self.stuck_after is not None and not self.stuck_after > 0:
            raise UsageError(f"--stuck-after: expected seconds, more than 0, got {self.stuck_after:g}")
        if len(self.label) > LONGEST_LABEL or not self.label.isprintable():
            raise UsageError(
                f"--label: expected at most {LONGEST_LABEL} printable characters on one line, got "
                f"{len(self.label)}: {self.label[:LONGEST_LABEL]!a}"
            )


def called_with(make: Callable[P, A]) -> Callable[[Callable[[A], R]], Callable[P, R]]:
    """Let a function of one set of arguments be called with these themselves, typed and with their defaults."""

    def decorate(function: Callable[[A], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> R:
            return function(make(*args, **keywords))

        result = inspect.signature(function).return_annotation
        call.__signature__ = inspect.signature(make).replace(return_annotation=result)  # type: ignore[attr-defined]
        return call

    return decorate
