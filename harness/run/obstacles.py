"""What cannot run on this machine and why, found without loading anything."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from harness.errors import SuiteError
from harness.spec.load import LoadedSuite
from harness.spec.models import Variant
from harness.spec.places import resolve_file, resolve_model
from harness.worker.versions import gpu_count

NEEDED = {
    "transformers": ("torch", "transformers", "lm_eval"),
    "scripted": ("numpy",),
}
METHOD_NEEDS = {"bitsandbytes": ("bitsandbytes", "accelerate")}
EXTRA = {"bitsandbytes": "bitsandbytes", "peft": "peft"}


def obstacles(loaded: LoadedSuite) -> tuple[str, ...]:
    """One sentence per thing that stands in the way, with what to do."""
    found: list[str] = []
    for name, variant in loaded.suite.variants.items():
        found.extend(f"{name}: {each}" for each in _variant(loaded, name, variant))
    for name, task in loaded.suite.tasks.items():
        spec = task.choice or task.generate or task.perplexity
        if spec is not None and not resolve_file(loaded, spec.data).is_file():
            found.append(f"{name}: no data file at {spec.data}")
    return tuple(found)


def _variant(loaded: LoadedSuite, name: str, variant: Variant) -> list[str]:
    found = []
    needed = [*NEEDED[variant.engine], *(METHOD_NEEDS[variant.quantize.method] if variant.quantize else ())]
    if variant.adapter is not None:
        needed.append("peft")
    for library in needed:
        if find_spec(library) is None:
            extra = EXTRA.get(library, "transformers")
            found.append(f"{library} is not installed: pip install 'quantgate[{extra}]'")
    if variant.device.startswith("cuda") and gpu_count() == 0:
        found.append(f"device {variant.device}, but no NVIDIA GPU is visible here")
    if variant.engine == "scripted":
        return found
    try:
        place = resolve_model(loaded, variant.path or loaded.suite.model, f"variants.{name}.path")
    except SuiteError as error:
        return [*found, error.problems[0].message]
    if not place.is_hub:
        folder = Path(place.path)
        described = (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file()
        if not described:
            found.append(f"{place.path} has no config.json, so it is no model folder")
    return found
