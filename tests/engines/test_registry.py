"""The table of engines: every row is whole, and what it names is there."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from harness.engines.registry import ENGINES, deduced, takers
from harness.methods import METHODS
from harness.suite.variant_model import Variant
from harness.worker.environments import shipped


@pytest.mark.parametrize("name", ENGINES)
def test_what_a_row_names_is_there(name: str) -> None:
    """Its module, its environment, and the suite's keys that it takes."""
    row = ENGINES[name]
    assert find_spec(row.module) is not None
    assert row.environment is None or row.environment in shipped()
    assert set(row.keys) <= set(Variant.model_fields)
    assert row.settings is None or row.settings in row.keys


def test_methods_name_engines_of_the_table() -> None:
    """A method's row says which engine loads it."""
    assert {method.engine for method in METHODS.values()} <= set(ENGINES)


def test_keys_that_some_engines_take_and_keys_that_all_take() -> None:
    assert takers("url") == ("served",)
    assert takers("path") == ()


@pytest.mark.parametrize(
    ("url", "method_engine", "path", "expected"),
    [
        (None, None, None, "transformers"),
        (None, None, "folder", "transformers"),
        (None, None, "model.gguf", "llama.cpp"),
        (None, "transformers", "model.gguf", "transformers"),
        (None, "llama.cpp", None, "llama.cpp"),
        ("http://localhost:8000", "llama.cpp", "model.gguf", "served"),
    ],
)
def test_the_engine_of_a_variant_that_names_none(
    url: str | None, method_engine: str | None, path: str | None, expected: str
) -> None:
    """Its address, then its method, then its file decide."""
    assert deduced(url=url, method_engine=method_engine, path=path) == expected
