"""Every example of every method on a tiny real model: made, loaded, shown to be quantized, scored.

A new method's row is picked up here without a change. Environments are built once into quantgate's cache; where one
cannot be built (no network), its methods are skipped with pip's reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EngineError
from harness.methods import METHODS, filled
from harness.methods.base import Block, Method
from harness.run.attempts import attempt, tiny_model
from harness.run.runtimes import environments
from harness.spec.quantization import MODELS
from harness.worker.environments import shipped
from harness.worker.versions import gpu_count

CASES = [
    pytest.param(method, block, id=f"{name}-{json.dumps(dict(block))}")
    for name, method in METHODS.items()
    for block in method.examples
]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@cache
def built(name: str) -> str | None:
    """None when the environment is there; else why it cannot be built here."""
    try:
        environments().build(shipped()[name])
    except EngineError as error:
        return str(error).splitlines()[-2]
    return None


def needed(method: Method, block: Block) -> set[str]:
    tool = method.tool(block)
    names = {method.environment} if method.environment else set()
    return names | ({tool.environment} if tool is not None else set())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "block"), CASES)
def test_method(method: Method, block: Block, model: Path, tmp_path: Path) -> None:
    """It works, or this hardware cannot have it; holding no quantized module is not working."""
    whole = filled(method.name, block)
    if (why := method.not_here(whole, gpu_count() > 0)) is not None:
        pytest.skip(why)
    for name in sorted(needed(method, whole)):
        if (reason := built(name)) is not None:
            pytest.skip(f"environment {name} cannot be built here: {reason}")
    found = attempt(method, block, model, tmp_path)
    assert found.state == "works", found.says
    if "full precision" in found.says or "speed and memory are not" in found.says:
        return
    full = method.name == "gguf" and block["type"] == "F16"
    assert found.bits_per_weight is not None
    assert found.bits_per_weight < (17 if full else 1.5 * method.bits(whole) + 2)


@pytest.mark.parametrize(("method", "block"), CASES)
def test_examples_are_valid_in_a_suite(method: Method, block: Mapping[str, Any]) -> None:
    """What the matrix runs is what a suite may say, and the defaults of both agree."""
    made = MODELS[method.name].model_validate({"method": method.name, **block})
    expected = {key: value for key, value in filled(method.name, block).items() if value is not None}
    assert made.block() == expected
    assert made.claimed_bits == method.bits(made.block())


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_rows_are_whole(method: Method) -> None:
    """Each method can quantize in exactly one way, and its environments ship."""
    ways = [method.config is not None, method.apply is not None, bool(method.tools)]
    assert ways.count(True) == 1
    assert method.examples
    for name in (method.environment, *(tool.environment for tool in method.tools)):
        assert name is None or name in shipped()
