"""Versions of installed libraries by the names they are imported by, which their distributions need not share.

`llama_cpp` comes from llama-cpp-python, `awq` from autoawq. Only the standard library is imported, so that this works
in any interpreter: imported, or as a script that is given the names and prints JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

BESIDE = "convert"
"""Folder in an environment with libraries kept apart from its others, see `harness.methods.gguf_files`."""


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Python's version, and those of the installed ones of `names`, each under the name it was asked by.

    A name is first taken for a distribution's, then for a module that one or more distributions bring. The second needs
    a look into every distribution, about half a second, and is left out where no name needs it. A dotted name is only
    looked up as a distribution: one part of a namespace package says nothing about the others.
    """
    from importlib.metadata import distributions

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    asked = list(names)
    apart = {_normal(each.name): each.version for each in distributions(path=[str(Path(sys.prefix) / BESIDE)])}
    for name in asked:
        if (version := _version(name) or apart.get(_normal(name))) is not None:
            found[name] = version
    missing = [name for name in asked if name not in found and "." not in name]
    owners = _owners() if missing else {}
    found.update({name: owners[name] for name in missing if name in owners})
    return found


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _version(distribution: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _owners() -> Mapping[str, str]:
    """Module to the version of the distribution that brings it; to all of them, by name, where several do."""
    from importlib.metadata import packages_distributions

    found = {}
    for module, several in packages_distributions().items():
        versions = {name: version for name in several if (version := _version(name)) is not None}
        if len(versions) == 1:
            found[module] = next(iter(versions.values()))
        elif versions:
            found[module] = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(installed_versions(sys.argv[1:])))
