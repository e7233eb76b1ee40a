"""quantgate: gate quantized variants of a fine-tuned model on paired evidence.

The names below are the library's public face. They load on first use, so that `import harness` costs nothing and a
worker process can import this package without pydantic or torch. Packages are nouns and functions are verbs: no
function shares its name with a package, as importing a package would replace it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import stats as stats
    from harness.api import Run as Run
    from harness.api import compare as compare
    from harness.api import explain as explain
    from harness.api import gate as gate
    from harness.api import history as history
    from harness.api import report as report
    from harness.api import run as run

__all__ = ["Run", "compare", "explain", "gate", "history", "report", "run", "stats"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow to load, and seldom asked

        return version("quantgate")
    if name == "stats":
        return import_module("harness.stats")
    if name in __all__:
        return getattr(import_module("harness.api"), name)
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
