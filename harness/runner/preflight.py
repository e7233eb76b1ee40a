"""What cannot run on this machine and why, found without loading anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from harness.errors import EngineError, SuiteError
from harness.runner.base_model import NAME, base_variant
from harness.runner.interpreters import Runtime, loading, making
from harness.runner.loader_libraries import Source, revision_of
from harness.runner.made_checkpoints import check_source
from harness.runner.variants import locate_model
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file, resolve_model
from harness.suite.variant_model import Base, Variant
from harness.worker.versions import gpu_count


def preflight_problems(loaded: LoadedSuite) -> tuple[str, ...]:
    """One sentence per obstacle, with what to do."""
    found: list[str] = []
    for name, variant in loaded.suite.variants.items():
        found.extend(f"{name}: {each}" for each in _variant(loaded, name, variant))
    if loaded.suite.base is not None:
        found.extend(f"{NAME}: {each}" for each in _base(loaded, loaded.suite.base))
    for name, task in loaded.suite.tasks.items():
        spec = task.choice or task.generate or task.perplexity
        if spec is not None and not resolve_file(loaded, spec.data).is_file():
            found.append(f"{name}: no data file at {spec.data}")
    return tuple(found)


def _base(loaded: LoadedSuite, base: Base) -> list[str]:
    try:
        return _variant(loaded, NAME, base_variant(loaded, base))
    except SuiteError as error:
        return [error.problems[0].message]
    except EngineError as error:
        return [str(error)]


def _variant(loaded: LoadedSuite, name: str, variant: Variant) -> list[str]:
    found = []
    if variant.adapter is not None:
        found.extend(_adapter(loaded, name, variant.adapter))
    if variant.device.startswith("cuda") and gpu_count() == 0:
        found.append(f"device {variant.device}, but no NVIDIA GPU is visible here")
    if not variant.engine_row.opens_files:
        return [*found, *_told(lambda: loading(loaded, variant, None))]
    place, source = None, None
    try:
        place = locate_model(loaded, name, variant)
        source = Source(place=place, revision=revision_of(loaded.suite, variant))
    except SuiteError as error:
        found.append(error.problems[0].message)
    folder = Path(place.path) if place is not None and not place.is_hub else None
    if folder is not None and folder.is_dir():
        described = (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()
        if not described and variant.gguf_file is None:
            found.append(f"{folder} has no config.json, so it is not a model folder")
    if place is not None and variant.quantize is not None:
        found.extend(_told(partial(check_source, place, variant)))
    return [*found, *_method(loaded, variant, source)]


def _adapter(loaded: LoadedSuite, name: str, adapter: str) -> list[str]:
    found = [] if find_spec("peft") is not None else ["peft is not installed: pip install 'quantgate[peft]'"]
    try:
        place = resolve_model(loaded, adapter, f"variants.{name}.adapter")
    except SuiteError as error:
        return [*found, error.problems[0].message]
    if not place.is_hub and not (Path(place.path) / "adapter_config.json").is_file():
        found.append(f"{place.path} has no adapter_config.json, so it is no adapter")
    return found


def _method(loaded: LoadedSuite, variant: Variant, source: Source | None) -> list[str]:
    """What keeps the variant's quantization, and the libraries that read it, from working here."""
    found = []
    if variant.quantize is not None:
        block, row = variant.quantize.block(), variant.quantize.row
        if (why := row.not_here(block, gpu_count() > 0)) is not None:
            found.append(why)
        if row.tools:
            found.extend(_told(lambda: making(row, block)))
    found.extend(_told(lambda: _check_packages(variant, loading(loaded, variant, source))))
    return found


def _check_packages(variant: Variant, runtime: Runtime) -> None:
    """Raises `EngineError` when the interpreter lacks a library that the variant needs."""
    if runtime.interpreter is not None:
        return
    engine, method = variant.engine_row, runtime.method
    for package in (*engine.packages, *(method.packages if method is not None else ())):
        if find_spec(package.partition(".")[0]) is None:
            extra = method.extra if method is not None and package in method.packages else None
            raise EngineError(f"{package} is not installed: pip install 'quantgate[{extra or engine.extra}]'")


def _told(attempt: Callable[[], object]) -> list[str]:
    try:
        attempt()
    except EngineError as error:
        return [str(error)]
    return []
