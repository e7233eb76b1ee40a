"""Only regular files are read: a pipe waits for its writer forever, and a device may have no end."""

from __future__ import annotations

import stat
from pathlib import Path


def unreadable(path: Path) -> str | None:
    """What `path` is if not a regular file, in words; None for a file. Raises OSError where nothing exists."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}
    return next((words for is_kind, words in kinds.items() if is_kind(mode)), "a device")
