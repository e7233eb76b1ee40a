"""What makes an evaluation another one: hashes of weights, tokenizer, requests and everything that computes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from harness.errors import RecordError
from harness.plan.rows import file_hash
from harness.records.models import Identity
from harness.records.store import write_atomically
from harness.spec.models import Variant

_COMMIT = re.compile(r"[0-9a-f]{40}")
WEIGHT_FILES = (
    "*.safetensors",
    "*.bin",
    "*.pt",
    "*.pth",
    "*.gguf",
    "config.json",
    "generation_config.json",
    "quantization_config.json",
    "quantize_config.json",
    "adapter_config.json",
    "*.py",
)


def evaluation_key(identity: Identity) -> str:
    """SHA-256 of the canonical JSON of an identity."""
    return hashlib.sha256(json.dumps(identity.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def quantization_text(variant: Variant) -> str:
    """Canonical JSON of the `quantize` block and placement; empty for neither."""
    parts = {
        "quantize": variant.quantize.model_dump(mode="json") if variant.quantize is not None else None,
        "device_map": variant.device_map,
        "max_memory": variant.max_memory,
        "script": variant.script,
        "gguf_file": variant.gguf_file,
        "endpoint": variant.endpoint.model_dump(mode="json", exclude_none=True)
        if variant.endpoint is not None
        else None,
        "llama_cpp": variant.llama_cpp.model_dump(exclude_none=True) if variant.llama_cpp is not None else None,
        "environment": list(variant.environment) if isinstance(variant.environment, tuple) else variant.environment,
    }
    kept = {name: value for name, value in parts.items() if value is not None}
    return json.dumps(kept, sort_keys=True) if kept else ""


def weights_identity(path: str, *, is_hub: bool, revision: str | None) -> str:
    """Hash of a local folder's weight and configuration files, or a hub id with its revision.

    Hashes are remembered by path, size, time of change and inode, so that a large model is read once. A branch or
    tag moves, so it is named by the commit that the local hub cache holds for it, where it holds one.
    """
    if is_hub:
        wanted = revision or "main"
        return f"hub:{path}@{wanted if _COMMIT.fullmatch(wanted) else _cached_commit(path, wanted) or wanted}"
    folder = Path(path)
    files = sorted({each for pattern in WEIGHT_FILES for each in folder.glob(pattern) if each.is_file()})
    known = _Remembered.read()
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{known.hash(file)}\n".encode())
    known.save()
    return f"sha256:{digest.hexdigest()}"


def file_identity(file: Path) -> str:
    """SHA-256 of one file, remembered."""
    known = _Remembered.read()
    found = known.hash(file)
    known.save()
    return found


def _cached_commit(repository: str, revision: str) -> str | None:
    try:
        from huggingface_hub import constants
    except ImportError:
        return None
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "refs"
    try:
        found = (folder / revision).read_text().strip()
    except OSError:
        return None
    return found or None


class _Remembered:
    """File hashes in the user's cache. Losing it costs time, nothing else."""

    def __init__(self, place: Path, entries: dict[str, str]) -> None:
        self._place, self._entries, self._changed = place, entries, False

    @classmethod
    def read(cls) -> _Remembered:
        place = cache_folder() / "hashes.json"
        try:
            entries = json.loads(place.read_text())
        except (OSError, ValueError):
            entries = {}
        return cls(place, entries if isinstance(entries, dict) else {})

    def hash(self, file: Path) -> str:
        facts = file.stat()
        key = f"{file.resolve()}|{facts.st_size}|{facts.st_mtime_ns}|{facts.st_ino}"
        if key not in self._entries:
            self._entries[key] = file_hash(file)
            self._changed = True
        return self._entries[key]

    def save(self) -> None:
        if not self._changed:
            return
        try:
            write_atomically(self._place, json.dumps(self._entries).encode())
        except RecordError:  # a cache that cannot be written is only slower next time
            return


def cache_folder() -> Path:
    """`$QUANTGATE_CACHE`, or quantgate's folder in the user's cache."""
    if own := os.environ.get("QUANTGATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "quantgate"
