"""The import table of the design, held against the code, and what a light command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "harness"
VOCABULARY = {
    "errors",
    "engines.decoding",
    "engines.seam",
    "engines.scripted",
    "engines.states",
    "engines.gguf_header",
    "engines.reference",
    "masking",
    "shown",
}
"""Names for things: anybody may import them. The fake engine is here for its tokenizer, which plans for it; the layout
of stored states for those who read them from a store; the head of a .gguf file for what it says of its model;
what an engine is told to load, as driver and worker both resolve it."""
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "methods": set(),
    "checkpoints": set(),
    "spec": {"methods"},
    "stats": set(),
    "records": {"spec"},
    "engines": {"methods", "checkpoints"},
    "worker": {"engines", "methods", "checkpoints"},
    "plan": {"spec", "stats", "records", "checkpoints"},
    "quantize": {"plan", "methods", "spec", "records"},
    "run": {"plan", "worker", "records", "spec", "quantize", "methods", "compare", "checkpoints"},
    "compare": {"records", "stats", "spec"},
    "gate": {"compare", "stats", "spec", "records"},
    "report": {"gate", "records"},
    "history": {"gate", "records", "report", "stats"},
    "explain": {"compare", "gate", "stats", "spec", "records", "report"},
}


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.removeprefix("harness.") for name in found if name.startswith("harness.")}


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_import_table(package: str) -> None:
    """Each package imports only what the design's table allows."""
    files = [ROOT / f"{package}.py"] if package == "errors" else sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            owner = name.split(".")[0]
            allowed = owner == package or name in VOCABULARY or owner in MAY_IMPORT[package]
            assert allowed, f"{path.relative_to(ROOT)} imports harness.{name}"


@pytest.mark.parametrize(
    "module",
    [
        "harness.cli",
        "harness.api",
        "harness.commands.saved",
        "harness.commands.history",
        "harness.commands.show",
        "harness.commands.explain",
        "harness.report",
    ],
)
def test_light_modules_load_no_model_library(module: str) -> None:
    """compare, gate, report, history and show work without torch and start without heavy libraries."""
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "torch",
        "transformers",
        "datasets",
        "lm_eval",
        "pandas",
        "matplotlib",
        "statsmodels",
    }


def test_the_worker_needs_only_the_standard_library_to_start() -> None:
    """The package, the seam and the errors load without pydantic, numpy or anything else installed."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import harness.errors, harness.engines.seam, "
        "harness.checkpoints.contents; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT.parent)], capture_output=True, text=True, check=True
    )
    assert "pydantic" not in done.stdout.split()
