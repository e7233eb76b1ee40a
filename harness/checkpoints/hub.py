"""Where the local hub cache holds a model. It asks no hub and downloads nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_cache() -> Path:
    """The folder of huggingface_hub's cache, by its own variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if own := os.environ.get(name):
            return Path(own).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huggingface"
    return Path(os.environ.get("HF_HOME", str(cache))).expanduser() / "hub"


def commit_of(repository: str, revision: str | None) -> str | None:
    """The commit that a branch or tag was when it was downloaded last; None where it never was."""
    wanted = revision or "main"
    if COMMIT.fullmatch(wanted):
        return wanted
    try:
        found = (_folder(repository) / "refs" / wanted).read_text().strip()
    except (OSError, ValueError):
        return None
    return found if COMMIT.fullmatch(found) else None


def snapshot_of(repository: str, revision: str | None) -> Path | None:
    """The folder with what was downloaded of a revision; None where nothing was."""
    commit = commit_of(repository, revision)
    found = _folder(repository) / "snapshots" / commit if commit is not None else None
    return found if found is not None and found.is_dir() else None


def _folder(repository: str) -> Path:
    return hub_cache() / f"models--{repository.replace('/', '--')}"
