"""Valid names and the nearest one to a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from harness.spec.models import (
    BitsAndBytes,
    Choice,
    Gate,
    Generate,
    Perplexity,
    Spec,
    Speed,
    SpeedWorkload,
    Suite,
    Task,
    Variant,
)

_CHILDREN: dict[type[Spec], dict[str, type[Spec]]] = {
    Suite: {"variants": Variant, "tasks": Task, "speed": Speed, "gates": Gate},
    Variant: {"quantize": BitsAndBytes},
    Task: {"choice": Choice, "generate": Generate, "perplexity": Perplexity},
    Speed: {"workloads": SpeedWorkload},
}
_NAMED = {"variants", "tasks"}
"""Keys whose children are named by the user before the model starts."""


def keys_at(where: Sequence[str | int]) -> tuple[str, ...]:
    """The keys that may stand at a place of a suite, such as ("variants", "int8", "quantize")."""
    model: type[Spec] = Suite
    skip = False
    for step in where:
        if isinstance(step, int) or skip:
            skip = False
            continue
        model = _CHILDREN.get(model, {}).get(step, model)
        skip = step in _NAMED
    return tuple(model.model_fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """`, did you mean max_drop?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""
