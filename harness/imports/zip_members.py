"""Members of a ZIP archive that somebody sent: read one at a time into memory, never onto the disk.

Also those that are compressed with Zstandard, which Python's own `zipfile` reads from 3.14 on. Refused are archives
that are not whole, names that lead out of them, encrypted members, and what unpacks to more than any log needs.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from harness.imports.shape import UnreadableError

ZSTANDARD = 93
"""The compression method's number in ZIP's APPNOTE."""
LOCAL_HEADER_BYTES = 30
MOST_BYTES = 1 << 30
"""Bytes of one member when unpacked."""
MOST_RATIO = 2_000
"""Unpacked bytes of all members over bytes of the archive, above `MOST_BYTES`."""
ENCRYPTED = 1
AGAIN = "copy it again or evaluate again"


class Archive:
    """An open archive. `names`: its files; of a name that is there several times the last member counts."""

    def __init__(self, path: Path, file: BinaryIO, archive: zipfile.ZipFile) -> None:
        self.path, self._file, self._archive = path, file, archive
        members = [each for each in archive.infolist() if not each.is_dir()]
        for each in members:
            self._check_name(each)
        total = sum(each.file_size for each in members)
        if total > MOST_BYTES and total > MOST_RATIO * path.stat().st_size:
            raise UnreadableError(path, f"unpacks to {total:,} bytes, {MOST_RATIO:,} times its size: it is no log")
        self.names = tuple(dict.fromkeys(each.filename for each in members))
        counts = Counter(each.filename for each in members)
        self.repeated = tuple(name for name, count in counts.items() if count > 1)

    def _check_name(self, member: zipfile.ZipInfo) -> None:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise UnreadableError(self.path, f"has a member {member.filename!r}, which leads out of the archive")

    def read(self, name: str) -> bytes:
        """A member's content. Raises `UnreadableError`."""
        member, place = self._archive.getinfo(name), f"{self.path}:{name}"
        if member.flag_bits & ENCRYPTED:
            raise UnreadableError(place, "is encrypted; unpack it and pack it again without a password")
        if member.file_size > MOST_BYTES:
            raise UnreadableError(place, f"has {member.file_size:,} bytes; at most {MOST_BYTES:,} are read")
        try:
            content = self._unpacked(member)
            if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
                raise ValueError("its checksum does not match")
        except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
            raise UnreadableError(place, f"could not be unpacked: {error}; {AGAIN}") from error
        return content

    def _unpacked(self, member: zipfile.ZipInfo) -> bytes:
        if member.compress_type != ZSTANDARD:
            return self._archive.read(member)
        import pyarrow

        self._file.seek(member.header_offset)
        header = self._file.read(LOCAL_HEADER_BYTES)
        if not header.startswith(b"PK\3\4") or len(header) < LOCAL_HEADER_BYTES:
            raise ValueError("it is not where the archive's directory says")
        self._file.seek(sum(struct.unpack("<HH", header[26:])), 1)  # the name and the extra field
        packed = self._file.read(member.compress_size)
        if not member.file_size:
            return b""
        # Never unpacks more than the directory says, whatever the frames hold.
        return bytes(pyarrow.Codec("zstd").decompress(packed, decompressed_size=member.file_size, asbytes=True))


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Raises `UnreadableError` for a file that is not a whole ZIP archive."""
    try:
        with path.open("rb") as file:
            try:
                archive = zipfile.ZipFile(file)
            except (zipfile.BadZipFile, ValueError, struct.error, NotImplementedError, OverflowError) as error:
                says = f"is not a whole ZIP archive ({error}): it is cut off, or still being written; {AGAIN}"
                raise UnreadableError(path, says) from error
            with archive:
                yield Archive(path, file, archive)
    except OSError as error:
        raise UnreadableError(path, f"could not be read: {error.strerror or error}") from error
