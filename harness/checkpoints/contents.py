"""What is in the files of a checkpoint: cached hashes, and the marks by which an unchanged file is recognised. Owns the
cache of hashes in the user's cache folder. A modification time can be set to anything, so a file counts as unchanged
only while size, both times, inode and device are the same; `fresh` hashes again.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints.opened_files import is_commit, named_hash
from harness.checkpoints.resolve import Checkpoint, Location
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
    """A checkpoint's contents. A folder is identified by content: a copy elsewhere is the same, also next to other
    files. A hub id is identified by its commit, against which its cached files are checked."""

    weights: str
    """Of weights and of what decides how they are read, adapters included."""
    tokenizer: str
    """Of the tokenizer's files and chat templates; empty where a .gguf file holds it with the weights."""
    generation: str
    """Of the generation settings; empty for none."""
    is_complete: bool
    """Everything that loading opens is known. Not so for a hub id whose commit nobody has asked for yet."""
    stamps: tuple[Stamp, ...]
    """Of every file, as it was when it was hashed."""
    hashes: Mapping[str, str]
    """Path to SHA-256 of every file."""


def content_of(checkpoint: Checkpoint, *, fresh: bool = False) -> Content:
    """Hash every file that loading opens. `fresh`: also those that seem unchanged. Raises `EngineError` for a file
    that cannot be read, changes meanwhile, or is not what the hub's cache calls it."""
    known = Hashes.read(fresh=fresh)
    base, own = checkpoint.base, checkpoint.tokenizer
    weights = [known.named(part.place, part.files) for part in checkpoint.parts]
    tokenizer = "" if checkpoint.gguf_tokenizer else known.named(own, checkpoint.tokenizer_files)
    generation = known.named(base, (checkpoint.generation,)) if checkpoint.generation is not None else ""
    known.save()
    return Content(
        weights="+".join(weights),
        tokenizer=tokenizer,
        generation=generation,
        is_complete=all(
            each.folder is not None if not each.is_hub else is_commit(each.revision) for each in checkpoint.places
        ),
        stamps=tuple(known.stamps.values()),
        hashes=dict(known.hashes),
    )


def opened_files(checkpoint: Checkpoint) -> tuple[Path, ...]:
    """Every file that loading opens, each once."""
    generation = (checkpoint.generation,) if checkpoint.generation is not None else ()
    return tuple(dict.fromkeys((*checkpoint.weights, *checkpoint.settings, *checkpoint.tokenizer_files, *generation)))


class Hashes:
    """File hashes, kept in the user's cache. Losing it costs time, nothing else."""

    def __init__(self, place: Path, entries: dict[str, str], *, fresh: bool = False) -> None:
        self._place, self._entries, self._changed = place, entries, False
        self._fresh = fresh
        self.hashes: dict[str, str] = {}
        """By path, of the files hashed or looked up here."""
        self.stamps: dict[str, Stamp] = {}
        """Of the same, those that are there."""

    @classmethod
    def read(cls, *, fresh: bool = False) -> Hashes:
        """`fresh`: ignore cached hashes."""
        place = cache_folder() / "hashes.json"
        try:
            entries = json.loads(place.read_text())
        except (OSError, ValueError):
            entries = {}
        return cls(place, entries if isinstance(entries, dict) else {}, fresh=fresh)

    def hash(self, file: Path) -> str:
        """SHA-256 of a file, or `ABSENT`. Raises `EngineError`."""
        if str(file) in self.hashes:
            return self.hashes[str(file)]
        stamp = Stamp.of(file)
        found = ABSENT if stamp is None else self._looked_up(file, stamp)
        self.hashes[str(file)] = found
        if stamp is not None:
            self.stamps[str(file)] = stamp
        return found

    def digest(self, files: Iterable[Path]) -> str:
        """One hash over files by name and content, in their order; empty for none."""
        lines = [f"{each.name}:{self.hash(each)}\n" for each in files]
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}" if lines else ""

    def named(self, place: Location, files: Iterable[Path]) -> str:
        """The identity of a location's files: by content, or by a hub's commit and the files that the cache cannot
        vouch for."""
        if not place.is_hub:
            return self.digest(files)
        unnamed = [each for each in files if not self._vouched_for(each)]
        return f"hub:{place.path}@{place.revision or 'main'}" + (f":{self.digest(unnamed)}" if unnamed else "")

    def _vouched_for(self, file: Path) -> bool:
        """Whether the cache names the file by its content. Raises `EngineError` where it does and is wrong."""
        named = named_hash(file)
        if named is None:
            return False
        content = self.hash(file)
        if named not in (content, git_hash(file) if len(named) == 40 else content):
            raise EngineError(
                f"{file}: is not what its hub's commit holds; remove {file.resolve()} and download it again"
            )
        return True

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


def git_hash(file: Path) -> str:
    """SHA-1 as git names a file of this content, which the hub does with small ones."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


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
