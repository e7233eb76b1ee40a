"""The suites that are shipped as examples are suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.suite.load import load_suite

SUITES = Path(__file__).parents[2] / "suites"


@pytest.mark.parametrize("name", sorted(path.name for path in SUITES.glob("*.yaml")))
def test_every_example_is_a_suite(name: str) -> None:
    """Each is read without an error, and its limits fit its metrics."""
    assert load_suite(SUITES / name).suite.gates
