"""Limits on batches over the sessions of one evaluation."""

from __future__ import annotations

from pathlib import Path

from harness.engines.protocol import Facts
from harness.records.store import Store
from harness.runner.batch_limits import BatchLog


def facts(pass_tokens: int | None, budget: int | None = 2**20) -> Facts:
    return Facts(
        engine="e", architecture="A", model_type="a", parameters=1, dtype="float32", device="cpu",
        pass_tokens=pass_tokens, cache_tokens=None if pass_tokens is None else 9, memory_budget=budget,
    )  # fmt: skip


def starts(store: Store) -> list[tuple[int, int]]:
    return [(part.chunk, part.pass_tokens) for part in store.batches("k")]


def test_one_limit_is_kept_once_and_another_is_said(tmp_path: Path) -> None:
    """Three sessions: two alike, one with another budget."""
    store = Store(tmp_path)
    log = BatchLog(store, "k")
    assert [log.asked(chunk, facts(2048)) for chunk in range(3)] == [None] * 3
    assert BatchLog(store, "k").asked(3, facts(2048)) is None
    assert starts(store) == [(0, 2048)]
    said = BatchLog(store, "k").asked(4, facts(64))
    assert said is not None
    assert said.startswith("from batch 5 on with at most 64 padded tokens")
    assert "before with at most 2,048" in said
    assert starts(store) == [(0, 2048), (4, 64)]


def test_a_chunk_that_was_never_stored_leaves_no_trace(tmp_path: Path) -> None:
    """Killed between keeping a limit and storing the answers: the next session's limit is the chunk's."""
    store = Store(tmp_path)
    BatchLog(store, "k").asked(0, facts(2048))
    BatchLog(store, "k").asked(1, facts(64))
    assert BatchLog(store, "k").asked(1, facts(2048)) is None
    assert starts(store) == [(0, 2048)]
    BatchLog(store, "k").asked(0, facts(64))
    assert starts(store) == [(0, 64)]


def test_an_engine_without_limits_keeps_nothing(tmp_path: Path) -> None:
    """No file, nothing to say."""
    assert BatchLog(Store(tmp_path), "k").asked(0, facts(None, None)) is None
    assert Store(tmp_path).batches("k") == ()


def test_what_memory_allows_is_kept_when_it_is_news(tmp_path: Path) -> None:
    """For a later run of the same evaluation; the same again is written no second time."""
    store = Store(tmp_path)
    log = BatchLog(store, "k")
    assert log.tokens is None
    assert [log.allowed(tokens) for tokens in (None, 90, 90, 45)] == [False, True, False, True]
    assert BatchLog(store, "k").tokens == 45
    assert not BatchLog(store, "k").allowed(45)
