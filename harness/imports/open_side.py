"""Opens what a user names: which reader it is for, and which of its tasks go by which name in quantgate."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

from harness.imports.shape import READERS, ImportedSide, ImportedTask, UnreadableError


def open_side(path: Path, form: str | None = None) -> ImportedSide:
    """One model's results at a path. `form`: the reader; by the files that are there when left out.

    Raises `UnreadableError`.
    """
    if not path.exists():
        raise UnreadableError(path, "no such file or folder")
    side = READERS[form or _recognised(path)].read(path)
    if not side.tasks:
        raise UnreadableError(path, "holds no task whose items could be read")
    return side


def _recognised(path: Path) -> str:
    """The first reader in the table that has files here."""
    if path.is_dir() and not any(path.iterdir()):
        raise UnreadableError(path, "the folder is empty")
    for row in READERS.values():
        if any(_is_there(path, mark) for mark in row.marks):
            return row.name
    known = "; ".join(f"{row.name} ({row.description})" for row in READERS.values())
    raise UnreadableError(path, f"holds no results that can be imported; expected one of: {known}")


def _is_there(path: Path, mark: str) -> bool:
    if path.is_dir():
        return next(path.glob(mark), None) is not None
    return path.match(mark.rpartition("/")[2])


def plain_name(name: str) -> str:
    """A task's name as a suite can have it: letters, digits, `.`, `_` and `-`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._") or "task"


def named_tasks(side: ImportedSide) -> Mapping[str, ImportedTask]:
    """Every task under its plain name. Raises `UnreadableError` where two have the same one."""
    found: dict[str, ImportedTask] = {}
    for name, task in side.tasks.items():
        plain = plain_name(name)
        if plain in found:
            says = f"the tasks {found[plain].name!r} and {name!r} would both be called {plain}"
            raise UnreadableError(task.source, f"{says}; name them in the suite's tasks: `NAME: {{imported: ...}}`")
        found[plain] = task
    return found


def near(name: str, side: ImportedSide) -> str:
    """`; did you mean X?`, or nothing."""
    close = difflib.get_close_matches(name, list(side.tasks), n=1)
    return f"; did you mean {close[0]}?" if close else ""
