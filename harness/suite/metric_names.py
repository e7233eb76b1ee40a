"""Metrics that a task names by where they come from: `metrics.py:score`, `lm_eval:NAME`, `evaluate:NAME`, the latter
also with `:lower` or `:higher` for the way that is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

PYTHON = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)")
LIBRARY = re.compile(r"(?P<library>lm_eval|evaluate):(?P<name>\S+?)(?::(?P<better>lower|higher))?")


@dataclass(frozen=True, kw_only=True)
class PythonMetric:
    """A function in a Python file beside the suite."""

    file: str
    function: str

    @property
    def written(self) -> str:
        return f"{self.file}:{self.function}"


@dataclass(frozen=True, kw_only=True)
class LibraryMetric:
    """A metric that a library knows by name."""

    library: Literal["lm_eval", "evaluate"]
    name: str
    better: Literal["lower", "higher"] | None = None
    """Which way is better, where the suite says so."""

    @property
    def written(self) -> str:
        return f"{self.library}:{self.name}"


def elsewhere(metric: str) -> PythonMetric | LibraryMetric | None:
    """Where a metric comes from; None for one of quantgate's own."""
    if (found := LIBRARY.fullmatch(metric)) is not None:
        better: Literal["lower", "higher"] | None = None
        if found["better"] is not None:
            better = "lower" if found["better"] == "lower" else "higher"
        library: Literal["lm_eval", "evaluate"] = "lm_eval" if found["library"] == "lm_eval" else "evaluate"
        return LibraryMetric(library=library, name=found["name"], better=better)
    if (found := PYTHON.fullmatch(metric)) is not None:
        return PythonMetric(file=found["file"], function=found["function"])
    return None
