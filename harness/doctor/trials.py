"""Trying a quantization method for real on a tiny model: make, load, count quantized modules, score, and compare the
scores with those of the model in full precision."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.doctor.tiny_model import LENGTH, PROBES, SAMPLES, answers, log_probs, relative_error, tolerated
from harness.engines.protocol import Facts
from harness.errors import EngineError, QuantgateError
from harness.methods import filled
from harness.methods.base import Block, Method
from harness.notation import bits_per_weight, significant
from harness.runner.variants import RunVariant, resolve_variant
from harness.suite.load import LoadedSuite, parse_suite
from harness.suite.variant_model import FULL_BITS
from harness.worker.client import Worker
from harness.worker.versions import gpu_count


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The outcome of one method."""

    method: str
    state: str
    """`works`, `after a build` or `not here`."""
    says: str
    block: Mapping[str, object] = field(default_factory=dict)
    bits_per_weight: float | None = None
    error: float | None = None
    """Relative error of its scores, see `relative_error`."""


def attempt_method(method: Method, model: Path, scratch: Path) -> Attempt:
    """The method's first example that this hardware allows, else why it does not."""
    reasons = [method.not_here(filled(method.name, block), gpu_count() > 0) for block in method.examples]
    usable = [block for block, why in zip(method.examples, reasons, strict=True) if why is None]
    if not usable:
        return Attempt(method=method.name, state="not here", says=str(reasons[0]))
    return attempt(method, usable[0], model, scratch)


def attempt(method: Method, block: Block, model: Path, scratch: Path) -> Attempt:
    """One block, for real. `scratch`: where its checkpoint and log may go."""
    asked = dict(filled(method.name, block))
    if why := method.not_here(asked, gpu_count() > 0):
        return Attempt(method=method.name, state="not here", says=why, block=block)
    variant = {"quantize": quantize_block(method, block, model)}
    return tried(
        method.name, lambda: load_and_score(method.name, variant, model, scratch), block=block, bits=method.bits(asked)
    )


def tried(
    name: str, load: Callable[[], tuple[Facts, float | None]], *, block: Block, bits: float, note: str = ""
) -> Attempt:
    """The outcome of a load: its facts and, where its answers should be the model's, their relative error.

    `bits`: what is claimed. `note` follows the description of what works.
    """
    try:
        facts, off = load()
    except QuantgateError as error:
        lines = str(error).splitlines()
        state = "after a build" if "quantgate env build" in lines[0] else "not here"
        cause = next((line for line in reversed(lines) if line.strip()), "")
        says = lines[0] if len(lines) == 1 else f"{lines[0]} … {cause.strip(' |')}"
        return Attempt(method=name, state=state, says=says, block=block)
    if facts.quantized_modules == 0 and bits < FULL_BITS:
        return Attempt(method=name, state="not here", says="loads, but nothing is quantized", block=block)
    if (most := tolerated(bits)) is not None and off is not None and off > most:
        strayed = f"relative error {significant(off)}, at most {most} expected"
        says = f"loads, but answers unlike the model it was made from: {strayed}"
        return Attempt(method=name, state="not here", says=says, block=block, error=off)
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts.quantized_kinds.items()) or facts.dtype
    resident = "" if facts.bits_per_weight is None else f", {bits_per_weight(facts.bits_per_weight)}"
    return Attempt(
        method=name,
        state="works",
        says="; ".join(part for part in (f"{kinds}{resident}", facts.dequantised, note) if part),
        block=block,
        bits_per_weight=facts.bits_per_weight,
        error=off,
    )


def quantize_block(method: Method, block: Block, model: Path) -> dict[str, object]:
    """The `quantize` key of a variant, with calibration data where the method wants some."""
    quantize: dict[str, object] = {"method": method.name, **block}
    if method.tools and method.calibrates(filled(method.name, block)):
        quantize["calibration"] = {
            "data": str(model.parent / "calibration.jsonl"), "samples": SAMPLES, "length": LENGTH,
        }  # fmt: skip
    return quantize


def attempt_suite(variant: Mapping[str, object], model: Path, scratch: Path) -> LoadedSuite:
    """A suite on the tiny model whose variant `tried` is this one."""
    suite = {
        "suite": "attempt",
        "model": str(model),
        "variants": {"full": {"baseline": True}, "tried": variant},
        "tasks": {"none": {"perplexity": {"data": str(model.parent / "calibration.jsonl")}}},
    }
    return parse_suite(json.dumps(suite), scratch / "attempt.yaml")


def load_and_score(name: str, variant: Mapping[str, object], model: Path, scratch: Path) -> tuple[Facts, float]:
    """What a variant is, and its relative error. Raises whatever the product itself would say."""
    resolved: RunVariant = resolve_variant(
        attempt_suite(variant, model, scratch), "tried", offline=True, artifacts=scratch / "artifacts"
    )
    with Worker(
        name,
        log=scratch / f"{name}.log",
        interpreter=resolved.runtime.interpreter,
        environment=resolved.runtime.variables,
    ) as worker:
        facts = worker.load(resolved.load)
        found = log_probs(worker.score(PROBES))
    if not all(math.isfinite(value) for value in found):
        raise EngineError("loads, but its scores are not finite")
    return facts, relative_error(found, answers(model))
