"""`max_drop`: the largest absolute loss of a per-item metric."""

from __future__ import annotations

from harness.forms.base import Form
from harness.notation import Notation

MAX_DROP = Form(
    key="max_drop",
    says="Largest absolute loss of a higher-is-better metric.",
    noun="drop",
    ceiling=True,
    domain=(0, 1),
    expects="a fraction from 0 to 1",
    kinds=frozenset({"binary", "graded"}),
    notation=Notation.POINTS,
    looks_at="pairs",
    neutral=0.0,
    stops_early=True,
    loss_of="scale",
    accumulates=True,
)
