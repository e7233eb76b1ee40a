"""Stored hidden states of the baseline, regrouped from the chunks they were written in.

Knows the layout that `engines/states.py` writes: one array per chunk, one row per scored position, and the output layer
next to them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.engines.hidden_states import joined_states
from harness.errors import RecordError
from harness.records.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Where one item's hidden states are: a chunk of the evaluation and its rows [start, end)."""

    chunk: int
    start: int
    end: int


def state_file(chunk: int) -> str:
    """Name of a chunk's file in the folder of states."""
    return f"{chunk:06d}.npy"


def gather_states(source: Path, target: Path, chunks: Sequence[Sequence[Rows]]) -> None:
    """Write to the folder `target` one file for each of `chunks`, with the rows that it names of the files in
    `source`, and the output layer. Existing files are left alone. Raises `RecordError`."""
    try:
        for number, rows in enumerate(chunks):
            if not (target / state_file(number)).exists():
                _write(target / state_file(number), joined_states([_read(source, each) for each in rows]))
        for head in sorted(source.glob("head*")):
            if not (target / head.name).exists():
                _link(head, target / head.name)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{source}: the baseline's stored states cannot be read ({error}); run the baseline again with --fresh"
        ) from error


def _read(source: Path, rows: Rows) -> Any:
    return np.load(source / state_file(rows.chunk), mmap_mode="r")[rows.start : rows.end]


def _write(path: Path, array: Any) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_atomically(path, buffer.getvalue())


def _link(source: Path, target: Path) -> None:
    """The output layer may be a gigabyte: a hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        write_atomically(target, source.read_bytes())
