"""`max_increase`: the largest relative rise of perplexity or bits per byte."""

from __future__ import annotations

import math

from harness.forms.base import Form
from harness.notation import Notation

MAX_INCREASE = Form(
    key="max_increase",
    says="Largest relative rise of a lower-is-better metric (perplexity).",
    noun="increase",
    ceiling=True,
    domain=(0, math.inf),
    percent=True,
    expects="a fraction above 0 or a percentage (0.02 or 2%)",
    kinds=frozenset({"perplexity"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    neutral=0.0,
    accumulates=True,
)
