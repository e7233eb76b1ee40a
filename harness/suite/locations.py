"""Resolves names in a suite: files relative to the suite, model folders, hub ids."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Problem, SuiteError
from harness.suite.load import LoadedSuite

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_HUB = re.compile(r"^[A-Za-z0-9][\w.-]*(/[\w.-]+)?$")


@dataclass(frozen=True, kw_only=True)
class ModelLocation:
    """Where weights are: an absolute local folder, or a hub id."""

    path: str
    is_hub: bool


def expand(text: str) -> str:
    """`~`, `${NAME}` and `${NAME:-default}`."""

    def value(match: re.Match[str]) -> str:
        return os.environ.get(match[1]) or (match[2] if match[2] is not None else match[0])

    found = _VARIABLE.sub(value, text)
    return str(Path(found).expanduser()) if found.startswith("~") else found


def resolve_file(loaded: LoadedSuite, text: str) -> Path:
    """A data file, relative to the suite. It need not exist.

    A link keeps its own name where the file behind it has another ending, as the blobs of a hub's cache have none.
    """
    named = loaded.folder / expand(text)
    behind = named.resolve()
    return behind if behind.suffixes[-2:] == named.suffixes[-2:] else named.absolute()


def resolve_model(loaded: LoadedSuite, text: str, key: str) -> ModelLocation:
    """A model folder or hub id. A string that starts with `.`, `/` or `~`, or that exists, is a folder. Raises
    `SuiteError` for a missing folder or a string that can be neither.
    """
    expanded = expand(text)
    local = loaded.folder / expanded
    if local.is_dir():
        return ModelLocation(path=str(local.resolve()), is_hub=False)
    if local.is_file():
        raise SuiteError((Problem(place=loaded.shown, key=key, message=f"{text} is a file; expected a model folder"),))
    if expanded.startswith((".", "/", "~")) or not _HUB.match(expanded):
        message = f"no model folder at {text} (looked in {local.resolve()})"
        raise SuiteError((Problem(place=loaded.shown, key=key, message=message),))
    return ModelLocation(path=expanded, is_hub=True)
