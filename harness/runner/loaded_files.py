"""Whether a worker has loaded the files that were hashed before, so that answers are stored under what gave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.checkpoints.contents import Content, Stamp, file_hash
from harness.checkpoints.hub import named_hash
from harness.errors import EngineError


def check_loaded(content: Content, opened: Sequence[Stamp]) -> None:
    """`content`: what was hashed; `opened`: the files as the worker found them once it had loaded them.

    A file that was only touched is hashed again. Raises `EngineError` naming the file that is another one, is gone or
    has come, unless a hub's commit vouches for what has come.
    """
    now = {each.path: each for each in opened}
    for before in content.stamps:
        found = now.pop(before.path, None)
        if found is None or (found != before and file_hash(Path(before.path)) != content.hashes[before.path]):
            raise _other(before.path, "changed between hashing and loading")
    for path in now:
        if named_hash(Path(path)) is None:
            raise _other(path, "came between hashing and loading")


def _other(path: str, what: str) -> EngineError:
    return EngineError(f"{path}: {what}, so that nobody can say what was loaded; run again when nothing writes there")
