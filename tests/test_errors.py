"""Errors keep whose they are apart from what they say."""

from __future__ import annotations

import pytest

from harness.errors import EngineError, RecordError, RunError, WorkerError, WorkerMemoryError


@pytest.mark.parametrize("kind", [RunError, EngineError, WorkerError, WorkerMemoryError, RecordError])
def test_whose_an_error_is_stands_in_front_and_can_be_left_out(kind: type[RunError]) -> None:
    """Whoever names the variant itself shows `says`, and nobody cuts it off a text."""
    error = kind("the worker ended", about="int8")
    assert (str(error), error.says, error.about) == ("int8: the worker ended", "the worker ended", "int8")
    assert str(kind("the worker ended")) == "the worker ended"
