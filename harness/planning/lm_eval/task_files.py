"""The files that a task's own YAML depends on: its includes, the Python it names, and what that imports. Owns the
search, and that the newest version of each file is the one that runs. It runs nothing; dynamic imports are found among
the loaded modules.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_INCLUDE = re.compile(
    r"^[ \t-]*include:[ \t]*(?P<one>[^\s#][^#\n]*)?(?P<more>(?:\n[ \t]*-[ \t]*[^\n#]+)*)", re.MULTILINE
)
_FUNCTION = re.compile(r"!function[ \t]+[\"']?([\w./-]+)")
MOST = 2000
"""Files of one task; a task with more pulls in something that is not its own."""


def task_files(yaml: Path) -> tuple[Path, ...]:
    """The YAML file and every local file that it depends on, sorted. An unreadable file adds nothing."""
    found: dict[Path, None] = {}
    waiting = [yaml.resolve()]
    while waiting and len(found) < MOST:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found[file] = None
        waiting += [each.resolve() for each in (_imports(file) if file.suffix == ".py" else _names(file))]
    return tuple(sorted(found))


def refresh(files: Iterable[Path]) -> None:
    """Forget modules that were made from these files, and byte code that may be older than they are: Python goes by a
    file's size and the second in which it was changed."""
    python = {each for each in files if each.suffix == ".py"}
    for name, module in list(sys.modules.items()):
        if _file_of(module) in python and name != "__main__":
            del sys.modules[name]
    for file in python:
        with suppress(OSError, NotImplementedError):
            compiled = Path(importlib.util.cache_from_source(str(file)))
            if file.stat().st_ctime_ns >= compiled.stat().st_mtime_ns:
                compiled.unlink()


def _names(yaml: Path) -> Iterator[Path]:
    """What a YAML file includes, and the Python files of its functions."""
    text = _text(yaml)
    for match in _INCLUDE.finditer(text):
        each = [match["one"] or "", *(line.strip().removeprefix("-") for line in match["more"].splitlines())]
        for name in ",".join(each).strip("[] ").split(","):
            if plain := name.strip().strip("\"'[]").strip():
                yield yaml.parent / plain
    for function in _FUNCTION.findall(text):
        module = function.rpartition(".")[0]
        yield yaml.parent / f"{module.replace('.', '/')}.py"
        yield from _module_files(module, yaml.parent)


def _imports(file: Path) -> Iterator[Path]:
    """Local files that a Python file imports anywhere in it."""
    try:
        tree = ast.parse(_text(file))
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(alias.name, file.parent)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parent
            for _ in range(max(0, node.level - 1)):
                folder = folder.parent
            base = node.module or ""
            for name in (base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)):
                yield from _module_files(name, folder)


def _module_files(name: str, folder: Path) -> Iterator[Path]:
    """The files of a module and its packages, beside the importing file, above it or on the path; loaded ones too."""
    parts = [each for each in name.split(".") if each]
    loaded = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    yield from filter(None, (_file_of(sys.modules[each]) for each in loaded if each in sys.modules))
    for root in (folder, folder.parent, *_search_path()):
        for end in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:end])
            for each in (place.with_suffix(".py") if end == len(parts) else None, place / "__init__.py"):
                if each is not None and each.is_file() and _is_local(each):
                    yield each


def _search_path() -> tuple[Path, ...]:
    return tuple(Path(entry or os.curdir).resolve() for entry in sys.path if _is_local(Path(entry or os.curdir)))


def _file_of(module: object) -> Path | None:
    """The local file that a module was made from."""
    try:
        named = getattr(module, "__file__", None)
        file = Path(named).resolve() if isinstance(named, str) else None
    except Exception:  # noqa: BLE001  # a module may be any object, and raise anything when it is looked at
        return None
    return file if file is not None and file.suffix == ".py" and _is_local(file) else None


def _is_local(place: Path) -> bool:
    """Neither the standard library, an installed package nor quantgate: their versions identify those."""
    found = place.resolve()
    return not any(found.is_relative_to(each) for each in _installed())


def _installed() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    own = Path(__file__).resolve().parents[1]
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return (own, *(Path(paths[name]).resolve() for name in names if name in paths))


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
