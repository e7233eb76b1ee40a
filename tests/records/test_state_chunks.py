"""Hidden states of the first pass, laid out for the second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import RecordError
from harness.records.state_chunks import Rows, gather_states, state_file


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two chunks of five and three positions; a position's state holds its number."""
    folder = tmp_path / "first"
    folder.mkdir()
    np.save(folder / state_file(0), np.arange(10, dtype=np.float16).reshape(5, 2))
    np.save(folder / state_file(1), np.arange(10, 16, dtype=np.float16).reshape(3, 2))
    np.save(folder / "head.npy", np.ones(3))
    (folder / "head.json").write_text("{}")
    return folder


def test_rows_are_gathered_in_the_order_asked(stored: Path, tmp_path: Path) -> None:
    """Across chunks, bit for bit, with the output layer beside them."""
    target = tmp_path / "second"
    both = (Rows(chunk=1, start=1, end=3), Rows(chunk=0, start=0, end=2))
    gather_states(stored, target, [both, (Rows(chunk=0, start=4, end=5),)])
    first, second = (np.load(target / state_file(number)) for number in (0, 1))
    assert first.dtype == np.float16
    assert first.tolist() == [[12, 13], [14, 15], [0, 1], [2, 3]]
    assert second.tolist() == [[8, 9]]
    assert {path.name for path in target.iterdir()} == {"000000.npy", "000001.npy", "head.npy", "head.json"}


def test_what_is_there_is_left(stored: Path, tmp_path: Path) -> None:
    """A second call after a stopped run writes only what is missing."""
    chunks = [(Rows(chunk=0, start=0, end=1),), (Rows(chunk=0, start=1, end=2),)]
    gather_states(stored, tmp_path / "second", chunks)
    kept = tmp_path / "second" / state_file(0)
    before = kept.stat().st_mtime_ns
    (tmp_path / "second" / state_file(1)).unlink()
    gather_states(stored, tmp_path / "second", chunks)
    assert kept.stat().st_mtime_ns == before
    assert np.load(tmp_path / "second" / state_file(1)).tolist() == [[2, 3]]


def test_states_that_are_gone_are_named(stored: Path, tmp_path: Path) -> None:
    """The folder and what to do."""
    (stored / state_file(1)).unlink()
    with pytest.raises(RecordError, match=r"first: the baseline's stored states cannot be read .* --fresh"):
        gather_states(stored, tmp_path / "second", [(Rows(chunk=1, start=0, end=1),)])


def test_float16_and_bfloat16_chunks_become_one_of_bfloat16(stored: Path, tmp_path: Path) -> None:
    """A chunk whose states leave float16's range holds bfloat16's bits; other numbers must not be read as bits."""
    values = np.array([[1.0, 2.0**20], [-3.0, 0.5]], dtype=np.float32)
    np.save(stored / state_file(1), (values.view(np.uint32) >> 16).astype(np.uint16))
    gather_states(stored, tmp_path / "second", [(Rows(chunk=0, start=3, end=5), Rows(chunk=1, start=0, end=2))])
    found = np.load(tmp_path / "second" / state_file(0))
    assert found.dtype == np.uint16
    numbers = (found.astype(np.uint32) << 16).view(np.float32)
    assert numbers.tolist() == [[6, 7], [8, 9], *values.tolist()]
