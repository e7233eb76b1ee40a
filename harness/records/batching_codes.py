"""Codes for how items were batched, and the sentences that versions up to 0.1 stored instead.

Owns the reading of old records only; the codes are made where the order is.
"""

from __future__ import annotations

from collections.abc import Mapping

_SENTENCES: Mapping[str, str] = {
    (
        "shared beginnings computed once; shuffled by hash into blocks of 64 items and then of as many as"
        " before, clusters and up to 16 items with one beginning whole; inside a block sorted by length, "
        "at most 4096 padded tokens (8192 where answers are generated), 128 of them padding where options"
        " are scored, and 64 items a batch"
    ): "blocks-1",
    (
        "shared beginnings computed once; sorted by length, at most 4096 padded tokens and 64 items a batch"
    ): "by-length-1",
    (
        "second pass: a seeded order, other batches than the first, at most 4096 padded tokens (8192 "
        "where answers are generated) and 32 items"
    ): "second-pass-1",
    ("second pass: documents that had company alone, those that were alone together"): "second-pass-documents-1",
}


def batching_code(stored: str) -> str:
    """The code of a stored batching; anything but an old sentence is returned unchanged."""
    return _SENTENCES.get(stored, stored)
