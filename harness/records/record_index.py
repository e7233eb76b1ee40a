"""The records of an evaluation in the plan's order, one at a time. Owns the offset of each record in its file.

Stored order is the order of work (longest first), so a reader in another order would have to hold every record. This
holds two numbers per item instead, and reads each record on demand.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from harness.errors import RecordError
from harness.records.chunks import Chunks
from harness.records.items import ItemRecord

CHECKSUM_BYTES = 65
"""In front of a chunk's JSON: SHA-256 in hex, a space."""
_DECODE = json.JSONDecoder().raw_decode


class RecordIndex:
    """One evaluation's records by place. `count`: records that the file holds."""

    def __init__(self, chunks: Chunks, places: Mapping[str, int]) -> None:
        """Reads every chunk once, checksums included. `places`: item to its place, from 0.

        Raises `RecordError` as `Chunks.load`.
        """
        self.chunks = chunks
        self.count = 0
        ends = max(places.values(), default=-1) + 1
        self._starts, self._lengths = array("q", bytes(8 * ends)), array("q", bytes(8 * ends))
        for number, (offset, payload) in enumerate(chunks.payloads(), start=1):
            try:
                spans = list(_spans(payload))
            except (ValueError, KeyError, TypeError) as error:
                chunks.records(number, payload)  # says where it is and what
                raise RecordError(f"{chunks.path}:{number}: {error}; run the suite again with --fresh.") from error
            self.count += len(spans)
            for item, start, length in spans:
                place = places.get(item)
                if place is not None:
                    self._starts[place], self._lengths[place] = offset + CHECKSUM_BYTES + start, length

    def __iter__(self) -> Iterator[ItemRecord | None]:
        """By place; None where the evaluation has no record of the item. Raises `RecordError` for an invalid record."""
        if not self._lengths:
            return
        with self.chunks.path.open("rb") as stream:
            for start, length in zip(self._starts, self._lengths, strict=True):
                if not length:
                    yield None
                    continue
                stream.seek(start)
                try:
                    record = ItemRecord.model_validate_json(stream.read(length))
                except ValidationError as error:
                    says = f"{error.errors()[0]['msg']}; run the suite again with --fresh."
                    raise RecordError(f"{self.chunks.path}: byte {start}: {says}") from error
                yield record


def _spans(payload: bytes) -> Iterator[tuple[str, int, int]]:
    """Item, first byte and number of bytes of every record of a chunk. Raises ValueError for another shape."""
    text = payload.decode()
    place, byte = text.index("[") + 1, payload.index(b"[") + 1
    while text[place : place + 1] != "]":
        record, end = _DECODE(text, place)
        length = len(text[place:end].encode())
        yield record["item"], byte, length
        place, byte = end, byte + length
        if text[place : place + 1] == ",":
            place, byte = place + 1, byte + 1
