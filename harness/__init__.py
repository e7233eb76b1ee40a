"""quantgate: gate quantized variants of a fine-tuned model on paired evidence.

The names below are the library's public face. They load on first use, so that `import harness` costs nothing and
a worker process can import this package without pydantic or torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import stats as stats
    from harness.api import Run as Run
    from harness.api import compare as compare
    from harness.api import explain as explain
    from harness.api import gate as gate
    from harness.api import report as report
    from harness.api import run as run

__all__ = ["Run", "compare", "explain", "gate", "report", "run", "stats"]

_API = ("Run", "compare", "explain", "gate", "report", "run")


class _Face(ModuleType):
    """`harness.run` is the function, also after the package `harness.run` was imported: importing a subpackage sets
    an attribute of its parent, and these properties ignore that."""


def _public(name: str) -> property:
    def get(_: ModuleType) -> object:
        return getattr(importlib.import_module("harness.api"), name)

    return property(get, lambda _, value: None)


for _name in _API:
    setattr(_Face, _name, _public(_name))
sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("quantgate")
    if name == "stats":
        return importlib.import_module("harness.stats")
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
