"""Valid names, and the closest one to a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from harness.suite.gate_model import Gate, Waiver
from harness.suite.models import DecodingRules, Speed, SpeedWorkload, Suite
from harness.suite.quantize_block import MODELS, Calibration, Quantization
from harness.suite.task_model import Choice, Generate, Perplexity, Sampling, Task
from harness.suite.variant_model import Base, Endpoint, Import, LlamaCpp, Variant

_CHILDREN: dict[type[BaseModel], dict[str, type[BaseModel]]] = {
    Suite: {
        "base": Base,
        "variants": Variant,
        "tasks": Task,
        "decoding": DecodingRules,
        "speed": Speed,
        "gates": Gate,
        "waivers": Waiver,
    },
    Variant: {"quantize": Quantization, "endpoint": Endpoint, "llama_cpp": LlamaCpp, "import": Import},
    Quantization: {"calibration": Calibration},
    Task: {"choice": Choice, "generate": Generate, "perplexity": Perplexity, "sampling": Sampling},
    Generate: {"sampling": Sampling},
    Speed: {"workloads": SpeedWorkload},
}
_NAMED = {"variants", "tasks"}
"""Keys whose children are named by the user."""


def keys_at(where: Sequence[str | int], method: str | None = None) -> tuple[str, ...]:
    """The keys that are valid at a location of a suite, such as ("variants", "int8", "quantize").

    `method`: which quantization method's keys, where the place is its block.
    """
    model: type[BaseModel] = Suite
    skip = False
    for step in where:
        if isinstance(step, int) or skip:
            skip = False
            continue
        model = _CHILDREN.get(model, {}).get(step, model)
        skip = step in _NAMED
    if model is Quantization and method in MODELS:
        model = MODELS[method]
    return tuple(field.alias or name for name, field in model.model_fields.items())


def nearest(name: str, known: Iterable[str]) -> str:
    """`, did you mean max_drop?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""
