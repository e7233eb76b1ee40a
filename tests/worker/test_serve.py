"""A worker's answer to memory that runs out: the batch is halved, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.engines.hidden_states import Chunk, bfloat16_bits
from harness.engines.protocol import LoadSpec, OutOfMemoryError, Window, WindowScore
from harness.engines.scripted import ScriptedEngine
from harness.errors import EngineError
from harness.worker.client import Worker

WINDOWS = [Window(tokens=tuple(range(3, 3 + length)), scored_from=2) for length in (40, 30, 20, 10, 9, 8, 7)]


class Tight:
    """An engine that runs out of memory above `most` windows, and whose states are numbers that tell where they
    belong; `wide`: windows from which on they need the range of bfloat16."""

    def __init__(self, most: int, wide: int = 99) -> None:
        self.most, self.wide, self.asked = most, wide, list[int]()
        self.seen: list[Any] = []

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None, states_in: str | None
    ) -> list[WindowScore]:
        self.asked.append(len(windows))
        if len(windows) > self.most:
            raise OutOfMemoryError("the script says so")
        values = np.concatenate([np.arange(each.scored_from, len(each.tokens)) for each in windows])
        if states_in is not None:
            self.seen += np.load(states_in).tolist()
        if states_out is not None:
            values = values.astype(np.float32)[:, None]
            narrow = len(windows[0].tokens) < self.wide
            np.save(states_out, values.astype(np.float16) if narrow else bfloat16_bits(values))
        return [WindowScore(log_probs=(-1.0,) * (len(each.tokens) - each.scored_from)) for each in windows]


def ask(engine: Tight, folder: Path, **files: str | None) -> list[WindowScore]:
    scores: list[WindowScore] = []
    out, given = files.get("states_out"), files.get("states_in")
    with Chunk(WINDOWS, out and str(folder / out), given and str(folder / given)) as chunk:
        while len(scores) < len(WINDOWS):
            scores += chunk.ask(WINDOWS[len(scores) : len(scores) + engine.most], engine.score_windows)
    return scores


@pytest.mark.parametrize("most", [7, 4, 2, 1])
def test_states_of_parts_are_those_of_the_chunk(tmp_path: Path, most: int) -> None:
    """However a chunk is parted, one file with its states is written, its parts see their own rows of the baseline's,
    and no scraps stay."""
    ask(Tight(7), tmp_path, states_out="whole.npy")
    tight = Tight(most)
    scores = ask(tight, tmp_path, states_out="parts.npy", states_in="whole.npy")
    assert [len(each.log_probs) for each in scores] == [len(each.tokens) - 2 for each in WINDOWS]
    whole, parts = np.load(tmp_path / "whole.npy"), np.load(tmp_path / "parts.npy")
    assert parts.dtype == whole.dtype == np.float16
    assert parts.tolist() == whole.tolist() == tight.seen
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.npy", "whole.npy"]


def test_parts_in_two_number_formats(tmp_path: Path) -> None:
    """Where a part's states needed the range of bfloat16, those of the chunk are all in it."""
    ask(Tight(2, wide=30), tmp_path, states_out="mixed.npy")
    mixed = np.load(tmp_path / "mixed.npy")
    values = np.concatenate([np.arange(2, len(each.tokens)) for each in WINDOWS]).astype(np.float32)
    assert mixed.dtype == np.uint16
    assert (mixed.astype(np.uint32) << 16).view(np.float32).ravel().tolist() == values.tolist()


def test_a_part_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither a file of the chunk nor of its parts."""

    def fails(windows: Sequence[Window], **files: str | None) -> list[WindowScore]:
        if len(windows[0].tokens) < 20:
            raise EngineError("refused")
        return Tight(7).score_windows(windows, states_out=files["states_out"], states_in=None)

    def parts() -> None:
        with Chunk(WINDOWS, str(tmp_path / "states.npy"), None) as chunk:
            chunk.ask(WINDOWS[:3], fails)
            assert len(list(tmp_path.iterdir())) == 1
            chunk.ask(WINDOWS[3:], fails)

    with pytest.raises(EngineError, match="refused"):
        parts()
    assert list(tmp_path.iterdir()) == []


def spec(**script: str | float) -> LoadSpec:
    return LoadSpec(variant="v", engine="scripted", path="none", script=script)


@pytest.mark.parametrize("most", [4, 3, 1])
def test_windows_that_do_not_fit_are_halved(tmp_path: Path, most: int) -> None:
    """Perplexity is halved as everything is: the scores of the whole chunk, its states in one file."""
    expected = ScriptedEngine(spec()).score_windows(WINDOWS)
    with Worker("v", log=tmp_path / "v.log") as worker:
        worker.load(spec(oom_above=most))
        found = worker.score_windows(WINDOWS, states_out=str(tmp_path / "states" / "000000.npy"))
        limit = worker.batch_tokens()
        assert limit is not None
        assert limit <= 40 * 7 // 2
        found_out = (tmp_path / "v.log").read_text()
        again = worker.score_windows(WINDOWS, states_in=str(tmp_path / "states" / "000000.npy"))
    assert found == expected
    assert [each.log_probs for each in again] == [each.log_probs for each in expected]
    assert all(each.kl is not None for each in again)
    assert [path.name for path in (tmp_path / "states").iterdir()] == ["000000.npy"]
    assert (tmp_path / "v.log").read_text() == found_out  # the second time it was known


def test_a_single_window_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Only then does the message say so."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        worker.load(spec(oom_above=0))
        with pytest.raises(EngineError, match="out of memory even with a single request"):
            worker.score_windows(WINDOWS)
    assert "out of memory with 7 requests, 280 padded tokens, at once" in (tmp_path / "v.log").read_text()


def test_a_worker_is_told_what_another_found(tmp_path: Path) -> None:
    """No batch that did not fit before is tried again; a wider limit changes nothing."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        worker.load(spec(oom_above=2))
        worker.limit_batches(80)
        worker.limit_batches(900)
        assert worker.batch_tokens() == 80
        assert [asdict(each) for each in worker.score_windows(WINDOWS[:3])]
    assert "out of memory" not in (tmp_path / "v.log").read_text()
