"""Model folders and load specs for the engine's tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:  # `tests.engines.tiny` has to be importable however pytest was started
    sys.path.insert(0, ROOT)

from harness.engines.protocol import LoadSpec  # noqa: E402
from tests.engines.tiny import Build, Make, Spec, save_tokenizer, tiny_config  # noqa: E402

Stamps = dict[str, tuple[int, int]]


def stamps_of(folder: Path) -> Stamps:
    """Each file's size and when it was changed."""
    facts = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (each.st_size, each.st_mtime_ns) for name, each in facts.items()}


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Makes a model folder once per set of arguments: `build("llama", tie_word_embeddings=True)`. Tests share it: one
    that changes a file changes a copy."""
    made: dict[str, tuple[Path, Stamps]] = {}

    def make(family: str, **changes: Any) -> Path:
        import torch
        import transformers

        key = repr((family, sorted(changes.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(7)
            model = transformers.AutoModelForCausalLM.from_config(tiny_config(family, **changes))
            with torch.no_grad():
                # Fresh weights are so small that every logit is nearly equal and any mistake hides.
                for parameter in model.parameters():
                    if parameter.ndim > 1:
                        parameter.mul_(6.0)
            model.save_pretrained(folder)
            save_tokenizer(folder)
            made[key] = folder, stamps_of(folder)
        folder, stamps = made[key]
        assert stamps_of(folder) == stamps, f"a test changed the shared model of {key}"
        return folder

    return make


@pytest.fixture
def make_model(tmp_path: Path) -> Make:
    """Saves a fresh random model of a family as float32 safetensors; `change` may alter it first."""

    def make(family: str = "llama", change: Callable[[Any], None] | None = None, name: str = "model") -> Path:
        import torch
        import transformers

        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(tiny_config(family))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        if change is not None:
            change(model)
        folder = tmp_path / name
        model.save_pretrained(str(folder))
        save_tokenizer(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def spec() -> Spec:
    """A load spec of a folder in float32 on the CPU; keywords change it."""

    def make(folder: Path, **changes: Any) -> LoadSpec:
        found: dict[str, Any] = {
            "variant": "v", "engine": "transformers", "path": str(folder), "dtype": "float32", "offline": True,
        }  # fmt: skip
        return LoadSpec(**{**found, **changes})

    return make
