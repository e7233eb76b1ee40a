"""The import table of the design, held against the code, and what a light command may load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import harness
from tests.conftest import QUICK

ROOT = Path(__file__).parent.parent / "harness"
TESTS = Path(__file__).parent
VOCABULARY = {
    "errors",
    "engines.decoding",
    "engines.protocol",
    "engines.hidden_states",
    "engines.load_reference",
    "engines.registry",
    "imports.shape",
    "engines.served.fake",
    "masking",
    "notation",
    "shown",
    "start",
}
"""Names for things: anybody may import them. The engines' table is for everybody who asks what depends
on an engine; the layout of stored states for those who read them from a store; what an engine is told to load, as
driver and worker both resolve it; the server that the doctor tries the served engine on; the formats that can be
imported, for suites."""
MAY_IMPORT: dict[str, set[str]] = {
    "methods": set(),
    "checkpoints": set(),
    "stats": set(),
    "records": set(),
    "metrics": {"records"},
    "samples": {"records", "stats", "metrics"},
    "derivations": {"samples", "records", "stats", "metrics"},
    "forms": {"derivations", "samples", "records", "stats", "metrics"},
    "suite": {"methods", "forms", "metrics"},
    "datafiles": {"suite"},
    "engines": {"methods", "checkpoints"},
    "worker": {"engines", "methods", "checkpoints"},
    "planning": {"datafiles", "suite", "metrics", "records", "checkpoints"},
    "imports": {"records", "suite", "metrics"},
    "exports": {"records", "metrics"},
    "quantization": {"planning", "datafiles", "methods", "suite", "records"},
    "comparison": {"samples", "records", "stats", "suite", "metrics"},
    "runner": {
        "imports",
        "metrics",
        "planning",
        "worker",
        "records",
        "suite",
        "quantization",
        "methods",
        "comparison",
        "samples",
        "forms",
        "checkpoints",
    },
    "doctor": {"runner", "worker", "suite", "methods"},
    "forecast": {"planning", "records", "stats", "suite", "metrics", "forms"},
    "gates": {"comparison", "samples", "derivations", "forms", "stats", "suite", "metrics", "records"},
    "explanations": {
        "comparison",
        "samples",
        "derivations",
        "forms",
        "gates",
        "stats",
        "suite",
        "metrics",
        "records",
        "reports",
    },
    "reports": {"records", "metrics", "forms"},
    "trends": {"records", "metrics", "reports", "stats"},
}
FACES = {"commands"}
"""The command line's packages import every room; no room imports them."""


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
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path):
            owner = name.split(".")[0]
            allowed = owner == package or name in VOCABULARY or owner in MAY_IMPORT[package]
            assert allowed, f"{path.relative_to(ROOT)} imports harness.{name}"


def test_the_table_has_no_circle() -> None:
    """Packages are in layers: what one may import may not import it, directly or through others."""
    TopologicalSorter(MAY_IMPORT).prepare()


def test_every_package_is_in_the_table() -> None:
    """A new room says in the table what it may import."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == set(MAY_IMPORT) | FACES


def modules() -> dict[str, Path]:
    named = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def module_imports(known: dict[str, Path]) -> dict[str, set[str]]:
    """Each module with the modules of ours that it imports anywhere, functions and type checking included."""
    graph: dict[str, set[str]] = {}
    for name, path in known.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= (inside & set(known)) or {node.module}
        graph[name] = found & set(known) - {name}
    return graph


def test_tests_mirror_the_rooms() -> None:
    """Each package has its tests in a folder of its name."""
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {room for room in rooms if not list((TESTS / room).rglob("test_*.py"))} == set()


def test_nothing_is_patched() -> None:
    """What reads the machine or a library is handed another one; only variables and the working folder are set."""
    patches = re.compile(r"monkeypatch\.(?:setattr|delattr|setitem|delitem)\b|\bMagicMock\b|\bunittest\.mock\b")
    found = [path for path in TESTS.rglob("*.py") if path != Path(__file__) and patches.search(path.read_text())]
    assert found == []


def test_quick_tests_import_no_model_library() -> None:
    """`make quick` reads their files in a second: what some of them need of torch is imported inside the test."""
    heavy = {"torch", "transformers", "tokenizers", "datasets", "lm_eval", "peft"}
    places = [TESTS / name for name in QUICK]
    assert [place for place in places if not place.exists()] == []
    files = [path for place in places for path in ([place] if place.suffix else place.rglob("*.py"))]
    assert [path for path in files if heavy & top_imports(path)] == []


def top_imports(path: Path) -> set[str]:
    """Packages that a file imports when it is read."""
    body = ast.parse(path.read_text()).body
    plain = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in plain | {n.module or "" for n in body if isinstance(n, ast.ImportFrom)}}


def test_no_import_circle() -> None:
    """Modules are in layers, also where an import stands in a function: each can be read after those it imports."""
    TopologicalSorter(module_imports(modules())).prepare()


def test_file_names_are_no_maze() -> None:
    """A traceback or a tab that shows only the file's name leaves at most two places to look."""
    names = Counter(path.name for path in ROOT.rglob("*.py") if path.name != "__init__.py")
    assert {name: count for name, count in names.items() if count > 2} == {}


def test_public_functions_share_no_name_with_a_package() -> None:
    """Importing `harness.x` sets `harness`'s attribute `x`: a function of that name would be gone."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"stats"}
    assert not packages & set(harness.__all__)


@pytest.mark.parametrize(
    "module",
    [
        "harness.cli",
        "harness.api",
        "harness.commands.saved",
        "harness.commands.history",
        "harness.commands.show",
        "harness.commands.explain",
        "harness.reports",
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
    """The package, the protocol and the errors load without pydantic, numpy or anything else installed."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import harness.errors, harness.engines.protocol, "
        "harness.checkpoints.contents; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT.parent)], capture_output=True, text=True, check=True
    )
    assert "pydantic" not in done.stdout.split()
