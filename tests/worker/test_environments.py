"""Environments: keyed by content, built once, never used half built, and clear about why a build failed."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EngineError
from harness.worker.environments import MARK, Environment, Environments, Step, from_requirements, shipped


def empty(name: str = "empty", **changes: object) -> Environment:
    """An environment without packages: `pip install pip` asks no index, because pip is there."""
    made_of: dict[str, Any] = {"steps": (Step(requirements=("pip",)),), "variables": {}, **changes}
    return Environment(name=name, **made_of)


def test_built_once_and_removed(tmp_path: Path) -> None:
    """The second build finds the first; the interpreter runs; removing it removes it."""
    store = Environments(tmp_path)
    said: list[str] = []
    python = store.build(empty(), said.append)
    assert subprocess.run([python, "-c", "import pip"], check=False).returncode == 0
    count = len(said)
    assert store.build(empty(), said.append) == python
    assert len(said) == count
    assert store.remove(empty())
    assert store.python(empty()) is None
    assert not store.remove(empty())


def test_a_half_built_one_is_not_used(tmp_path: Path) -> None:
    """Without its mark it does not count, and the next build starts anew."""
    store = Environments(tmp_path)
    python = store.build(empty())
    (store.folder(empty()) / MARK).unlink()
    assert store.python(empty()) is None
    said: list[str] = []
    assert store.build(empty(), said.append) == python
    assert "removing what an interrupted build left" in said[0]


def test_an_interpreter_that_vanished(tmp_path: Path) -> None:
    """A built environment whose interpreter is gone is built again."""
    store = Environments(tmp_path)
    python = store.build(empty())
    python.unlink()
    assert store.python(empty()) is None
    assert store.build(empty()).exists()


def test_two_builders_share_one_build(tmp_path: Path) -> None:
    """The second waits for the first and uses what it built."""
    said: list[str] = []
    builders = [threading.Thread(target=lambda: Environments(tmp_path).build(empty(), said.append)) for _ in range(2)]
    for each in builders:
        each.start()
    for each in builders:
        each.join()
    assert sum("built in" in each for each in said) == 1


def test_a_failed_build_shows_pips_words(tmp_path: Path) -> None:
    """An impossible requirement, a missing module: what failed, where the log is, what to do."""
    store = Environments(tmp_path)
    bad = from_requirements(("./no-such-folder/no-such-wheel.whl",), suite="'my suite.yaml'")
    with pytest.raises(
        EngineError, match=r"(?s)could not be built.*no-such-wheel.*`quantgate env build 'my suite\.yaml'`"
    ):
        store.build(bad)
    assert store.python(bad) is None
    with pytest.raises(EngineError, match="no_such_module"):
        store.build(empty(probe=("no_such_module",)))


def test_the_key_changes_with_every_pin() -> None:
    """Requirements, options and pins are in it; the description is not."""
    keys = {
        empty().key,
        empty(probe=("x",)).key,
        from_requirements(("a==1",), suite="a.yaml").key,
        from_requirements(("a==2",), suite="b.yaml").key,
    }
    assert len(keys) == 3


def test_shipped_ones_have_exact_pins() -> None:
    """Every requirement of every shipped environment is pinned, by itself or by its pins file."""
    for name, environment in shipped().items():
        pinned = environment.pins.read_text().lower() if environment.pins is not None else ""
        for step in environment.steps:
            for requirement in step.requirements:
                exact = "==" in requirement or f"\n{requirement.lower()}==" in f"\n{pinned}"
                assert exact, f"{name}: {requirement}"


def test_a_full_disk_is_found_before(tmp_path: Path) -> None:
    """Too little room is said before anything is written."""
    with pytest.raises(EngineError, match="are free in"):
        Environments(tmp_path, least_free=1 << 60).build(empty())
    assert not (tmp_path / f"empty-{empty().key}").exists()


BACKEND = """
import pathlib, zipfile
def build_wheel(folder, settings=None, metadata=None):
    pathlib.Path({built!r}).open("a").write("built ")
    info = "slow_to_build-1.dist-info/"
    with zipfile.ZipFile(pathlib.Path(folder) / "slow_to_build-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("slow_to_build.py", "")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: slow-to-build\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return "slow_to_build-1-py3-none-any.whl"
"""


def test_what_was_compiled_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is built again takes the wheels of the first build, also where pip's own cache is off."""
    source, built = tmp_path / "slow_to_build-1", tmp_path / "built"
    source.mkdir()
    (source / "backend.py").write_text(BACKEND.format(built=str(built)))
    build_system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (source / "pyproject.toml").write_text(f'{build_system}[project]\nname = "slow-to-build"\nversion = "1"\n')
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: slow-to-build\nVersion: 1\n")
    shutil.make_archive(str(source), "gztar", tmp_path, source.name)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    step = Step(requirements=("slow-to-build==1",), options=("--no-index", "--find-links", str(tmp_path)))
    environment = empty("kept", probe=("slow_to_build",), steps=(step,))
    store = Environments(tmp_path / "environments")
    for _ in range(2):
        store.build(environment)
        store.remove(environment)
    assert built.read_text() == "built "
