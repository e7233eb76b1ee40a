"""`min_ratio` and `max_ratio`: speed or memory over the baseline's."""

from __future__ import annotations

import math

from harness.forms.base import Form
from harness.notation import Notation

MIN_RATIO, MAX_RATIO = (
    Form(
        key=key,
        noun="ratio",
        ceiling=key == "max_ratio",
        domain=(0, math.inf),
        percent=True,
        kinds=frozenset({"speed", "memory"}),
        notation=Notation.RATIO,
        looks_at="pairs",
        neutral=1.0,
    )
    for key in ("min_ratio", "max_ratio")
)
