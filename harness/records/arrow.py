"""Arrow columns as numpy arrays, and strings that stay in Arrow. Knows the memory layout of a column, but no record's
shape.

Arrow's own conversions load pandas where it is installed, which takes longer than a small run is compared in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Texts:
    """A string for each of n items, in half the memory of Python's, looked up without creating them."""

    def __init__(self, column: Any) -> None:
        """Raises ValueError where a text is missing."""
        if column.null_count:
            raise ValueError("an item without its name or prompt_hash")
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: int) -> str:
        text: str = self._column[place].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        return iter(self._column.to_pylist())

    def distinct(self) -> int:
        """How many different texts there are."""
        return len(self._column.unique())

    def places_of(self, wanted: Texts) -> NDArray[np.int64]:
        """The first position of each wanted text; -1 where it does not occur."""
        from pyarrow.compute import index_in

        found = index_in(wanted._column, value_set=self._column)
        return np.where(present(found), in_memory(found, np.int32), -1).astype(np.int64)

    def equal(self, places: NDArray[np.int64], others: Texts) -> NDArray[np.bool_]:
        """Whether the texts at `places` are the others, one for one."""
        import pyarrow
        from pyarrow.compute import equal

        wanted = pyarrow.Array.from_buffers(pyarrow.int64(), places.size, [None, pyarrow.py_buffer(places)])
        return flags(equal(self._column.take(wanted), others._column))


def present(column: Any) -> NDArray[np.bool_]:
    """Which entries are not null."""
    return np.ones(len(column), dtype=np.bool_) if column.buffers()[0] is None else _bits(column, 0)


def flags(column: Any) -> NDArray[np.bool_]:
    """Truth values; null is false."""
    return present(column) & _bits(column, 1)


def _bits(column: Any, buffer: int) -> NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(column.buffers()[buffer], dtype=np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)].view(np.bool_)


def in_memory(column: Any, kind: type[np.generic]) -> NDArray[Any]:
    """The numbers in place; null entries hold anything."""
    values = np.frombuffer(column.buffers()[1], dtype=kind)
    return values[column.offset : column.offset + len(column)]


def lengths(lists: Any) -> NDArray[np.int64]:
    """How many entries each list has; null has none."""
    return np.where(present(lists), in_memory(lists.value_lengths(), np.int32), 0).astype(np.int64)


def codes(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """The different texts of a column, and which of them each entry is; -1 for null."""
    encoded = column.dictionary_encode()
    numbers = np.where(present(encoded.indices), in_memory(encoded.indices, np.int32), -1)
    return encoded.dictionary.to_pylist(), numbers.astype(np.int64)


def field(column: Any, *path: str) -> Any:
    """The values under a path of names in a column of structs, in one piece."""
    import pyarrow
    from pyarrow.compute import struct_field

    found = struct_field(column, list(path))
    return found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found
