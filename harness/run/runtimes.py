"""Which interpreter a variant runs in, and which one makes its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from harness.errors import EngineError
from harness.methods import METHODS
from harness.methods.base import Method
from harness.plan.identity import cache_folder
from harness.spec.load import LoadedSuite
from harness.spec.models import Variant
from harness.spec.places import expand
from harness.worker.environments import Environment, Environments, from_requirements, shipped

OWN_ENVIRONMENT = ("llama.cpp", "vllm")
"""Engines that have a shipped environment of their name."""
ENGINE_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "transformers": ("torch", "transformers"),
    "llama.cpp": ("llama_cpp",),
    "vllm": ("vllm",),
    "served": ("httpx2", "tenacity"),
    "scripted": ("numpy",),
}
CHECKPOINTS = {"gptq": "gptq", "awq": "awq", "compressed-tensors": "compressed-tensors", "bitsandbytes": "bitsandbytes",
               "hqq": "hqq", "torchao": "torchao", "quanto": "quanto", "fp8": "fp8", "auto-round": "gptq"}  # fmt: skip
"""`quant_method` of a checkpoint's configuration to the method whose libraries read it."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """An interpreter; None is the one that runs quantgate."""

    interpreter: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None


def environments() -> Environments:
    return Environments(cache_folder() / "environments")


def named(loaded: LoadedSuite, variant: Variant) -> Runtime | None:
    """The environment that a variant names; None when it names none. Raises `EngineError` with what to do."""
    asked = variant.environment
    if asked is None:
        return None
    if not isinstance(asked, str):
        return _built(from_requirements(asked), how="`quantgate env build SUITE`")
    if asked in shipped():
        return _built(shipped()[asked])
    path = Path(expand(asked))
    path = path if path.is_absolute() else loaded.folder / path
    python = path / "bin" / "python" if path.is_dir() else path
    if not python.exists():
        known = ", ".join(shipped())
        raise EngineError(f"environment {asked}: no such interpreter, and not one of those that ship: {known}")
    return Runtime(interpreter=python, name=asked)


def loading(loaded: LoadedSuite, variant: Variant, folder: Path | None) -> Runtime:
    """Where a variant is loaded. `folder`: its checkpoint, where it is local.

    Without a named environment: here, when the libraries it needs are here; else in the shipped one that has them.
    Raises `EngineError` when that is not built, with how to build it.
    """
    if (found := named(loaded, variant)) is not None:
        return found
    if variant.runtime in OWN_ENVIRONMENT:
        return Runtime() if _here(ENGINE_PACKAGES[variant.runtime]) else _built(shipped()[variant.runtime])
    method = _reader(variant, folder)
    if method is None or method.environment is None or _here(method.packages):
        return Runtime()
    return _built(shipped()[method.environment])


def making(method: Method, block: Mapping[str, object]) -> Runtime:
    """Where a method's checkpoint is made. Raises `EngineError` when that environment is not built."""
    tool = next(tool for tool in method.tools if block.get("tool") in (None, tool.name))
    return Runtime() if _here(tool.packages) else _built(shipped()[tool.environment])


def needed_environments(loaded: LoadedSuite) -> list[Environment]:
    """The environments that a suite's variants name, or need for what is not installed here."""
    found: dict[str, Environment] = {}
    for variant in loaded.suite.variants.values():
        names: list[str] = []
        if isinstance(variant.environment, tuple):
            own = from_requirements(variant.environment)
            found[own.key] = own
        elif variant.environment is not None:
            names.append(variant.environment)
        elif variant.runtime in OWN_ENVIRONMENT:
            names.append(variant.runtime)
        if variant.quantize is not None:
            row = variant.quantize.row
            if variant.environment is None and row.environment is not None and not _here(row.packages):
                names.append(row.environment)
            tool = row.tool(variant.quantize.block())
            if tool is not None and not _here(tool.packages):
                names.append(tool.environment)
        found.update({name: shipped()[name] for name in names if name in shipped()})
    return list(found.values())


def _reader(variant: Variant, folder: Path | None) -> Method | None:
    """The method whose libraries read the weights: the one asked for, or the one the checkpoint names."""
    if variant.quantize is not None:
        return variant.quantize.row
    if folder is None or not (folder / "config.json").is_file():
        return None
    try:
        described = json.loads((folder / "config.json").read_text()).get("quantization_config") or {}
    except ValueError as error:
        raise EngineError(f"{folder / 'config.json'}: not JSON: {error}") from error
    kind = str(described.get("quant_method", "")).replace("_", "-")
    return METHODS.get(CHECKPOINTS.get(kind, ""))


def _here(packages: tuple[str, ...]) -> bool:
    try:
        return all(find_spec(name) is not None for name in packages)
    except ModuleNotFoundError:  # the parent of a dotted name
        return False


def _built(environment: Environment, how: str | None = None) -> Runtime:
    python = environments().python(environment)
    if python is None:
        command = how or f"`quantgate env build {environment.name}`"
        minutes = environment.minutes
        raise EngineError(f"needs environment {environment.name}, not built here: {command} (about {minutes} min)")
    return Runtime(interpreter=python, variables=environment.variables, name=environment.name)
