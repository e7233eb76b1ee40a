"""The head of a GGUF file: its metadata and its table of tensors. Standard library only; refuses damaged files.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. Every count and
length is held against what the file still holds before anything is read, so that a damaged file costs no memory.

Why not the reader of the `gguf` package (0.19 was tried): it is in the `gguf` extra and the llama.cpp environment only,
and planning and other environments' workers read headers too; on the demo's file it takes 2.1 s and 160 MB, this 0.1 s
and nothing to speak of; of damaged files, a cut is an IndexError or a ValueError of numpy's that names no file, a
tensor without values, five dimensions and a big-endian file pass, and an array that claims 2^40 entries does not end.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.errors import EngineError

MAGIC = b"GGUF"
MOST = 1 << 20
"""Tensors or metadata keys that a file may claim; real ones have some thousands."""
MOST_DIMENSIONS = 4
LONGEST_NAME = 1 << 16
DEEPEST = 4
"""Arrays within arrays."""
KEPT = 256
"""Entries of an array that are kept; a longer one (a vocabulary) is read past and known by its length."""
ALIGNMENT = 32
"""Bytes that tensors are aligned to, unless `general.alignment` says otherwise."""
FLOATS = ("F32", "F16", "BF16", "F64")
"""Types that hold weights as they are."""
TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
"""ggml's number of a type: name, values in a block, bytes of a block (ggml 0.25)."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_SPLIT = re.compile(r"^(.*)-(\d{5})-of-(\d{5})\.gguf$")
_LINEAR = re.compile(r"^(?:enc\.|dec\.)?blk\.\d+\..+\.weight$")
_NOT_LINEAR = ("norm", "conv1d", "attn_rel_b")
"""Parts of the names of matrices that are no linear layer."""


@dataclass(frozen=True, kw_only=True)
class LongArray:
    """An array too long to be kept."""

    count: int


Scalar = str | int | float | bool
Value = Scalar | tuple["Value", ...] | LongArray


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One row of the tensor table."""

    name: str
    shape: tuple[int, ...]
    """As stored: the length of a row first."""
    type: str
    """ggml's name, such as F32 or Q4_K."""
    offset: int
    """From the beginning of the file."""
    size: int
    """Bytes."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def linear(self) -> bool:
        """A linear layer of a block; the experts of a layer are one. Not the output layer, not the embeddings."""
        named = _LINEAR.match(self.name) and not any(part in self.name for part in _NOT_LINEAR)
        return bool(named) and sum(length > 1 for length in self.shape) >= 2

    @property
    def quantized(self) -> bool:
        return self.type not in FLOATS


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything before the weights."""

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    file_bytes: int

    def text(self, key: str) -> str | None:
        """A metadata string, or None when the key is missing or of another kind."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    def whole(self, key: str) -> int | None:
        """A metadata integer, or None when the key is missing or of another kind."""
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_header(path: Path) -> Header:
    """Read one file. Raises `EngineError`, which names the file, for anything that is not whole and known."""
    try:
        with path.open("rb") as stream:
            return _Reader(path, stream).header()
    except OSError as error:
        raise EngineError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_headers(path: Path) -> tuple[Header, ...]:
    """The file, or all files of a split model in order, named by the first. Raises `EngineError`."""
    first = read_header(path)
    count = first.whole("split.count") or 1
    if count == 1:
        return (first,)
    named = _SPLIT.match(path.name)
    if named is None or int(named[3]) != count:
        raise EngineError(f"{path}: is part of a model in {count} files, whose names must end in -00001-of-{count:05d}")
    if first.whole("split.no") or int(named[2]) != 1:
        raise EngineError(f"{path}: is not the first of {count} files; name {named[1]}-00001-of-{named[3]}.gguf")
    others = [read_header(path.with_name(f"{named[1]}-{part:05d}-of-{named[3]}.gguf")) for part in range(2, count + 1)]
    headers = (first, *others)
    expected, found = first.whole("split.tensors.count"), sum(len(each.tensors) for each in headers)
    if expected is not None and expected != found:
        raise EngineError(f"{path}: its {count} files hold {found} tensors, expected {expected}")
    return headers


def linear_types(path: Path) -> dict[str, int]:
    """ggml types of the linear layers to their count. Raises `EngineError`."""
    return dict(Counter(each.type for header in read_headers(path) for each in header.tensors if each.linear))


class _Reader:
    """Reads forward and knows how much of the file is left."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream
        self._size = stream.seek(0, 2)
        stream.seek(0)
        self._at = 0

    def header(self) -> Header:
        if (magic := self._stream.read(4)) != MAGIC:
            raise self._broken(f"is not a GGUF file: it begins with {magic!r}, expected {MAGIC!r}")
        self._at = 4
        version = self._number("I")
        if version not in (2, 3):
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
            known = "is big-endian, which is not supported" if swapped in (2, 3) else "expected version 2 or 3"
            raise self._broken(f"GGUF version {version}: {known}")
        tensors, keys = self._count("tensors"), self._count("metadata keys")
        metadata: dict[str, Value] = {}
        for _ in range(keys):
            key = self._string(LONGEST_NAME)
            if key in metadata:
                raise self._broken(f"metadata key {key!r} is repeated")
            metadata[key] = self._value(self._number("I"), 0)
        rows = [self._tensor_row() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
            raise self._broken(f"general.alignment: expected a power of two, got {alignment!r}")
        start = -(-self._at // alignment) * alignment
        table = tuple(self._placed(*row, start=start, alignment=alignment) for row in rows)
        if len({each.name for each in table}) != len(table):
            raise self._broken("a tensor's name is repeated")
        return Header(path=self._path, version=version, metadata=metadata, tensors=table, file_bytes=self._size)

    def _tensor_row(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._string(LONGEST_NAME)
        count = self._number("I")
        if not 1 <= count <= MOST_DIMENSIONS:
            raise self._broken(f"tensor {name!r}: {count} dimensions, expected 1 to {MOST_DIMENSIONS}")
        shape = tuple(self._number("Q") for _ in range(count))
        return name, shape, self._number("I"), self._number("Q")

    def _placed(
        self, name: str, shape: tuple[int, ...], kind: int, offset: int, *, start: int, alignment: int
    ) -> Tensor:
        """A row of the table with its type's name and its place, both checked."""
        if kind not in TYPES:
            raise self._broken(f"tensor {name!r}: type {kind} is not known here")
        type_name, values, block = TYPES[kind]
        elements = math.prod(shape)
        if not 0 < elements < 1 << 63 or shape[0] % values:
            raise self._broken(f"tensor {name!r}: shape {shape} does not go with {type_name}, in blocks of {values}")
        size = elements // values * block
        if offset % alignment:
            raise self._broken(f"tensor {name!r}: offset {offset} is not a multiple of {alignment}")
        if start + offset + size > self._size:
            raise self._broken(
                f"is cut off: tensor {name!r} ends at byte {start + offset + size:,}, the file at {self._size:,}"
            )
        return Tensor(name=name, shape=shape, type=type_name, offset=start + offset, size=size)

    # -- values

    def _value(self, kind: int, depth: int) -> Value:
        if kind == _STRING:
            return self._string(self._size)
        if kind == _ARRAY:
            return self._array(depth + 1)
        return self._number(self._format(kind))

    def _array(self, depth: int) -> Value:
        if depth > DEEPEST:
            raise self._broken(f"metadata has arrays in over {DEEPEST} levels")
        kind, count = self._number("I"), self._number("Q")
        smallest = {_STRING: 8, _ARRAY: 12}.get(kind) or struct.calcsize(self._format(kind))
        if count * smallest > self._left:
            raise self._broken(f"is cut off or damaged: an array of {count:,} values, {self._left:,} bytes are left")
        if kind in _SCALARS and count > KEPT:
            self._take(count * smallest)
            return LongArray(count=count)
        values = self._entries(kind, count, depth)
        if count > KEPT:
            for _ in values:
                pass
            return LongArray(count=count)
        return tuple(values)

    def _entries(self, kind: int, count: int, depth: int) -> Iterator[Value]:
        return (self._value(kind, depth) for _ in range(count))

    def _format(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise self._broken(f"metadata has a value of the unknown kind {kind}")
        return _SCALARS[kind]

    def _count(self, what: str) -> int:
        count: int = self._number("Q")
        if count > min(MOST, self._left):
            raise self._broken(f"claims {count:,} {what}; it is damaged")
        return count

    def _string(self, longest: int) -> str:
        length = self._number("Q")
        if length > min(longest, self._left):
            raise self._broken(f"is cut off or damaged: a text of {length:,} bytes, {self._left:,} are left")
        return self._take(length).decode("utf-8", errors="replace")

    def _number(self, form: str) -> int:
        # Floats and booleans pass here too; struct's answer is whatever the format says.
        value: int
        (value,) = struct.unpack(f"<{form}", self._take(struct.calcsize(form)))
        return value

    # -- bytes

    @property
    def _left(self) -> int:
        return self._size - self._at

    def _take(self, count: int) -> bytes:
        if count > self._left:
            raise self._broken(f"is cut off: {count:,} bytes were expected at byte {self._at:,}, {self._left:,} follow")
        content = self._stream.read(count)
        if len(content) != count:
            raise self._broken("became shorter while it was read")
        self._at += count
        return content

    def _broken(self, why: str) -> EngineError:
        return EngineError(f"{self._path}: {why}")
