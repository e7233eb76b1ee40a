"""Shares of the baseline's score, `max_relative_drop` and `min_recovery`, and of fine-tuning's gain, `min_retained`."""

from __future__ import annotations

from harness.forms.base import Form
from harness.notation import Notation

MAX_RELATIVE_DROP = Form(
    key="max_relative_drop",
    says="Largest loss as a share of the baseline's value.",
    noun="relative drop",
    ceiling=True,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    neutral=0.0,
    loss_of="level",
)
MIN_RECOVERY = Form(
    key="min_recovery",
    says="Smallest candidate / baseline; 0.97 is the same as max_relative_drop 3%.",
    noun="recovery",
    ceiling=False,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    neutral=1.0,
    loss_of="level",
)
MIN_RETAINED = Form(
    key="min_retained",
    says=(
        "Smallest share of what fine-tuning gained over `base` that is kept: (candidate - base) / (fine-tuned - base)."
    ),
    noun="retained",
    ceiling=False,
    domain=(0, 1),
    percent=True,
    expects="a fraction from 0 to 1 or a percentage",
    kinds=frozenset({"binary", "graded", "perplexity"}),
    notation=Notation.PERCENT,
    looks_at="base",
    neutral=1.0,
    loss_of="gain",
)
