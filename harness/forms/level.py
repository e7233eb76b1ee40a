"""`min` and `max`: a metric's own value, whatever the baseline's is."""

from __future__ import annotations

import math

from harness.forms.base import Form
from harness.notation import Notation

MIN, MAX = (
    Form(
        key=key,
        ceiling=key == "max",
        domain=(-math.inf, math.inf),
        kinds=frozenset({"binary", "graded", "perplexity", "divergence", "speed", "memory"}),
        notation=Notation.LEVEL,
        looks_at="own",
        neutral=None,
    )
    for key in ("min", "max")
)
