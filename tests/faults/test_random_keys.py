"""Checkpoints and adapters whose keys are dropped, renamed, reshaped or added at random: what loads is what was saved,
and what is not is refused by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import EngineError
from tests.faults.checkpoints import Tensors, altered, load, save_adapter, save_llama, scores

EXAMPLES = 40
WORDS = st.text("abcdefgh_", min_size=1, max_size=8)
CHANGES = ("nothing", "drop", "rename", "reshape", "transpose", "add", "add within a layer", "swap names")
SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = save_llama(tmp_path_factory.mktemp("whole") / "m", tie_word_embeddings=request.param)
    return folder, scores(load(folder))


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[float]]:
    top = tmp_path_factory.mktemp("lora")
    base = save_llama(top / "base")
    adapter = save_adapter(base, top / "adapter")
    return base, adapter, scores(load(base, adapter=str(adapter)))


def change_of(draw: st.DataObject, names: list[str]) -> tuple[Callable[[Tensors], None], set[str]]:
    """A change of tensors, and the names of which a refusal has to give one; empty for no change."""
    kind, key, word = draw.draw(st.sampled_from(CHANGES)), draw.draw(st.sampled_from(names)), draw.draw(WORDS)
    other = draw.draw(st.sampled_from([name for name in names if name != key]))
    stem, _, last = key.rpartition(".")
    renamed, added = f"{stem}.{word}.{last}", f"{word}.{last}" if kind == "add" else f"{stem}.{word}"

    def change(found: Tensors) -> None:
        match kind:
            case "drop":
                del found[key]
            case "rename":
                found[renamed] = found.pop(key)
            case "reshape":
                found[key] = torch.cat([found[key], found[key][:1]])
            case "transpose":
                found[key] = found[key].t().contiguous()
            case "add" | "add within a layer":
                found[added] = torch.ones(3)
            case "swap names":
                found[key], found[other] = found[other], found[key]

    touched = {"nothing": set(), "add": {added}, "add within a layer": {added}, "rename": {key, renamed}}
    return change, touched.get(kind, {key, other} if kind == "swap names" else {key})


def holds(make: Callable[[Path], list[float]], expected: list[float], touched: set[str]) -> None:
    """It loads as it was saved, or is refused by a name; a change of shapes or names never loads as something else."""
    said, found = "", []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = make(Path(scratch))
        except EngineError as error:
            said = str(error)
    if found:
        assert found == pytest.approx(expected, abs=1e-6), touched
    else:
        assert any(name in said for name in touched), (touched, said)


def shapes(folder: Path, file: str) -> dict[str, tuple[int, ...]]:
    from safetensors.torch import load_file

    return {name: tuple(tensor.shape) for name, tensor in load_file(folder / file).items()}


@pytest.mark.fault(
    "kind: keys of a checkpoint", "keys dropped, renamed, reshaped or added at random", "refused by name"
)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
@given(draw=st.data())
def test_a_checkpoint_loads_as_it_was_saved(whole: tuple[Path, list[float]], draw: st.DataObject) -> None:
    """Never with a random layer."""
    folder, expected = whole
    known = shapes(folder, "model.safetensors")
    change, touched = change_of(draw, sorted(known))

    def make(scratch: Path) -> list[float]:
        return scores(load(altered(folder, scratch / "m", change)))

    if not is_same(known, change, touched):
        holds(make, expected, touched)


@pytest.mark.fault("kind: keys of an adapter", "keys dropped, renamed, reshaped or added at random", "refused by name")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=SLOW)
@given(draw=st.data())
def test_an_adapter_loads_as_it_was_saved(lora: tuple[Path, Path, list[float]], draw: st.DataObject) -> None:
    """Never in part, and never as the base alone."""
    base, adapter, expected = lora
    known = shapes(adapter, "adapter_model.safetensors")
    change, touched = change_of(draw, sorted(known))

    def make(scratch: Path) -> list[float]:
        place = altered(adapter, scratch / "a", change, "adapter_model.safetensors")
        return scores(load(base, adapter=str(place)))

    if not is_same(known, change, {name.removeprefix("base_model.model.") for name in touched}):
        stems = {name.removeprefix("base_model.model.").removesuffix(".weight") for name in touched}
        holds(make, expected, stems)


def is_same(known: dict[str, tuple[int, ...]], change: Callable[[Tensors], None], touched: set[str]) -> bool:
    """Tensors of equal shape that change places, and one that is its own transpose in shape, are another model whose
    names and shapes are in order: no loader can know."""
    before: dict[str, Any] = {name: torch.empty(shape) for name, shape in known.items()}
    after = dict(before)
    try:
        change(after)
    except RuntimeError:  # a vector has no transpose
        return True
    return bool(touched) and {name: each.shape for name, each in after.items()} == {
        name: each.shape for name, each in before.items()
    }
