"""Where the local hub cache holds a model. It queries no hub and downloads nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def hub_cache() -> Path:
    """The folder of huggingface_hub's cache, by its own variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if own := os.environ.get(name):
            return Path(own).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huggingface"
    return Path(os.environ.get("HF_HOME", str(cache))).expanduser() / "hub"


def is_commit(revision: str | None) -> bool:
    return revision is not None and COMMIT.fullmatch(revision) is not None


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


def named_hash(file: Path) -> str | None:
    """The hash by which the cache names the content of a file: 64 digits are its SHA-256, 40 git's SHA-1 of it. None
    for a file that is no link into the cache."""
    if not file.is_symlink():
        return None
    blob = file.resolve()
    return blob.name if blob.parent.name == "blobs" and _HASH.fullmatch(blob.name) else None


def _folder(repository: str) -> Path:
    return hub_cache() / f"models--{repository.replace('/', '--')}"
