"""Made checkpoints: whole or not there, and a failure shows the tool's own words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from harness.errors import EngineError
from harness.quantization.artifacts import CARD, MODEL, Artifacts, Order
from harness.suite.quantize_block import MODELS


def order(source: Path) -> Order:
    return Order(
        quantization=MODELS["gguf"].model_validate({"method": "gguf", "type": "Q8_0"}),
        source=source,
        weights="sha256:1",
        calibration=None,
        interpreter=None,
        variables={},
        made_with={"x": "1"},
    )


def test_a_failed_recipe_leaves_nothing(tmp_path: Path) -> None:
    """No folder that could be taken for a checkpoint; the end of the log; no half-written card."""
    store = Artifacts(tmp_path / "artifacts")
    wanted = order(tmp_path / "no-model-here")
    with pytest.raises(EngineError, match=r"(?s)llama\.cpp could not make gguf.*the end of .*\.log"):
        store.make(wanted, lambda text: None)
    assert store.find(wanted) is None
    assert [each.name for each in store.root.iterdir() if not each.name.startswith(".")] == ["logs"]


def test_what_killed_makers_left_is_removed(tmp_path: Path) -> None:
    """Of this checkpoint and of others, but never of one that somebody is making, which is where its lock is held."""
    store = Artifacts(tmp_path / "artifacts")
    wanted = order(tmp_path / "no-model-here")
    own, stale, busy = (
        store.root / f".making-{name}" for name in (store.folder(wanted).name, "gptq-0123456789abcdef", "awq-busy")
    )
    for left in (own, stale, busy):
        (left / MODEL).mkdir(parents=True)
        (left / MODEL / "model.safetensors").write_bytes(b"half")
    with FileLock(store.root / ".awq-busy.lock"), pytest.raises(EngineError, match="could not make gguf"):
        store.make(wanted, lambda text: None)
    assert [each.exists() for each in (own, stale, busy)] == [False, False, True]


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C or SIGTERM while a checkpoint is made: no half of it stays."""
    store = Artifacts(tmp_path / "artifacts")

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make(order(tmp_path / "m"), interrupt)
    assert not list(store.root.glob(".making-*"))


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    """A finished folder is found by content; its model is the folder or the one .gguf file."""
    store = Artifacts(tmp_path)
    wanted = order(tmp_path / "m")
    folder = store.folder(wanted)
    (folder / MODEL).mkdir(parents=True)
    (folder / MODEL / "model.Q8_0.gguf").write_bytes(b"GGUF")
    assert store.find(wanted) is None  # no card yet: it was never finished
    (folder / CARD).write_text(json.dumps({"method": "gguf"}))
    found = store.make(wanted, pytest.fail)
    assert found.model == folder / MODEL / "model.Q8_0.gguf"
    (folder / CARD).write_text("{")
    with pytest.raises(EngineError, match="damaged"):
        store.find(wanted)


def test_the_key_is_the_content(tmp_path: Path) -> None:
    """Other weights, versions or parameters make another checkpoint; another place of the source does not."""
    first = order(tmp_path)
    others = [
        replace(first, weights="sha256:2"),
        replace(first, made_with={"x": "2"}),
        replace(first, quantization=MODELS["gguf"].model_validate({"method": "gguf", "type": "Q4_0"})),
    ]
    assert first.key not in {each.key for each in others}
    assert replace(first, source=tmp_path / "elsewhere").key == first.key
