"""Trying a quantization method for real on a tiny model: make, load, count quantized modules, score, and compare the
scores with those of the model in full precision."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.engines.seam import Facts
from harness.errors import EngineError, QuantgateError
from harness.methods import filled
from harness.methods.base import Block, Method
from harness.run.tiny import LENGTH, PROBES, SAMPLES, answers, log_probs, relative_error, tolerated
from harness.run.variants import RunVariant, resolve_variant
from harness.spec.load import parse_suite
from harness.spec.models import FULL_BITS
from harness.worker.client import Worker
from harness.worker.versions import gpu_count


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one method."""

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
    try:
        facts, off = _try(method, block, model, scratch)
    except QuantgateError as error:
        lines = str(error).splitlines()
        state = "after a build" if "quantgate env build" in lines[0] else "not here"
        cause = next((line for line in reversed(lines) if line.strip()), "")
        says = lines[0] if len(lines) == 1 else f"{lines[0]} … {cause.strip(' |')}"
        return Attempt(method=method.name, state=state, says=says, block=block)
    if facts.quantized_modules == 0 and method.bits(asked) < FULL_BITS:
        return Attempt(method=method.name, state="not here", says="loads, but nothing is quantized", block=block)
    if (most := tolerated(method.bits(asked))) is not None and off > most:
        says = (
            f"loads, but answers unlike the model it was made from: relative error {off:.2f}, at most {most} expected"
        )
        return Attempt(method=method.name, state="not here", says=says, block=block, error=off)
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts.quantized_kinds.items()) or facts.dtype
    bits = "" if facts.bits_per_weight is None else f", {facts.bits_per_weight:.2f} bits a weight"
    return Attempt(
        method=method.name,
        state="works",
        says=f"{kinds}{bits}" + (f"; {facts.dequantised}" if facts.dequantised else ""),
        block=block,
        bits_per_weight=facts.bits_per_weight,
        error=off,
    )


def _try(method: Method, block: Block, model: Path, scratch: Path) -> tuple[Facts, float]:
    """What it is, and its relative error. Raises whatever the product itself would say."""
    quantize: dict[str, object] = {"method": method.name, **block}
    if method.tools and method.calibrates(filled(method.name, block)):
        quantize["calibration"] = {
            "data": str(model.parent / "calibration.jsonl"), "samples": SAMPLES, "length": LENGTH,
        }  # fmt: skip
    suite = {
        "suite": "attempt",
        "model": str(model),
        "variants": {"full": {"baseline": True}, "tried": {"quantize": quantize}},
        "tasks": {"none": {"perplexity": {"data": str(model.parent / "calibration.jsonl")}}},
    }
    loaded = parse_suite(json.dumps(suite), scratch / "attempt.yaml")
    variant: RunVariant = resolve_variant(loaded, "tried", offline=True, artifacts=scratch / "artifacts")
    with Worker(
        f"{method.name}",
        log=scratch / f"{method.name}.log",
        interpreter=variant.runtime.interpreter,
        environment=variant.runtime.variables,
    ) as worker:
        facts = worker.load(variant.load)
        found = log_probs(worker.score(PROBES))
    if not all(math.isfinite(value) for value in found):
        raise EngineError("loads, but its scores are not finite")
    return facts, relative_error(found, answers(model))
