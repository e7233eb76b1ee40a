"""What is in the files of a checkpoint: hashes, remembered, and the marks by which a file is known to be as it was.

Owns the memory of hashes in the user's cache. A modification time can be set to anything, so a file counts as
unchanged only while size, both times, inode and device are what they were; who wants to be sure hashes again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.resolve import Checkpoint
from harness.errors import EngineError

BLOCK = 1 << 22
FINE_NS, COARSE_NS = 50_000_000, 3_000_000_000
"""More than a tick of a file system's clock, of one that counts in less than milliseconds and of others. A file that
changed so recently may change again within one tick, unseen: its hash is not kept."""
ABSENT = "absent"


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A file's state as the system keeps it. The time of a change of state (ctime) cannot be set by a program."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, file: Path) -> Stamp | None:
        """None for a file that is not there."""
        try:
            found = file.stat()
        except OSError:
            return None
        return cls(
            path=str(file),
            size=found.st_size,
            mtime_ns=found.st_mtime_ns,
            ctime_ns=found.st_ctime_ns,
            inode=found.st_ino,
            device=found.st_dev,
        )


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a checkpoint holds, by content: a copy elsewhere is the same, and so is one beside other files."""

    weights: str
    """Of weights and of what decides how they are read, adapters included."""
    tokenizer: str
    """Of the tokenizer's files and chat templates; empty where a .gguf file holds it with the weights."""
    generation: str
    """Of the generation settings; empty for none."""
    stamps: tuple[Stamp, ...]
    """Of every file, as it was when it was hashed."""
    hashes: tuple[tuple[str, str], ...]
    """Path and SHA-256 of every file."""


def content_of(checkpoint: Checkpoint, *, fresh: bool = False) -> Content:
    """Hash every file that loading opens. `fresh`: also those that seem unchanged. Raises `EngineError` for a file
    that cannot be read, or changes meanwhile."""
    known = Hashes.read(fresh=fresh)
    groups = {
        "weights": (*checkpoint.weights, *checkpoint.settings),
        "tokenizer": checkpoint.tokenizer_files,
        "generation": (checkpoint.generation,) if checkpoint.generation is not None else (),
    }
    digests = {name: known.digest(files) for name, files in groups.items()}
    known.save()
    files = sorted({each for group in groups.values() for each in group})
    stamps = tuple(known.stamps[str(each)] for each in files if str(each) in known.stamps)
    hashes = tuple((str(each), known.hash(each)) for each in files)
    return Content(**digests, stamps=stamps, hashes=hashes)


class Hashes:
    """File hashes, kept in the user's cache. Losing it costs time, nothing else."""

    def __init__(self, place: Path, entries: dict[str, str], *, fresh: bool = False) -> None:
        self._place, self._entries, self._changed = place, entries, False
        self._fresh = fresh
        self._now: dict[str, str] = {}
        self.stamps: dict[str, Stamp] = {}
        """Of the files hashed or looked up here."""

    @classmethod
    def read(cls, *, fresh: bool = False) -> Hashes:
        """`fresh`: what is remembered is not believed."""
        place = cache_folder() / "hashes.json"
        try:
            entries = json.loads(place.read_text())
        except (OSError, ValueError):
            entries = {}
        return cls(place, entries if isinstance(entries, dict) else {}, fresh=fresh)

    def hash(self, file: Path) -> str:
        """SHA-256 of a file, or `ABSENT`. Raises `EngineError`."""
        if str(file) in self._now:
            return self._now[str(file)]
        stamp = Stamp.of(file)
        found = ABSENT if stamp is None else self._looked_up(file, stamp)
        self._now[str(file)] = found
        if stamp is not None:
            self.stamps[str(file)] = stamp
        return found

    def digest(self, files: Iterable[Path]) -> str:
        """One hash over files by name and content, in their order; empty for none."""
        lines = [f"{each.name}:{self.hash(each)}\n" for each in files]
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}" if lines else ""

    def save(self) -> None:
        if not self._changed:
            return
        with suppress(OSError):  # a cache that cannot be written is only slower next time
            _replace(self._place, json.dumps(self._entries).encode())

    def _looked_up(self, file: Path, stamp: Stamp) -> str:
        key = f"{file.resolve()}|{stamp.size}|{stamp.mtime_ns}|{stamp.ctime_ns}|{stamp.inode}|{stamp.device}"
        if key in self._entries and not self._fresh:
            return self._entries[key]
        tick = FINE_NS if stamp.ctime_ns % 1_000_000 else COARSE_NS
        settled = time.time_ns() - stamp.ctime_ns > tick
        found = file_hash(file)
        if Stamp.of(file) != stamp:
            raise EngineError(f"{file}: changed while it was read; wait until it is whole, then start again")
        if settled:
            self._entries[key] = found
            self._changed = True
        return found


def file_hash(file: Path) -> str:
    """SHA-256 of a file. Raises `EngineError`."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise EngineError(f"{file}: could not be read: {error.strerror or error}") from error
    return digest.hexdigest()


def cache_folder() -> Path:
    """`$QUANTGATE_CACHE`, or quantgate's folder in the user's cache."""
    if own := os.environ.get("QUANTGATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "quantgate"


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
