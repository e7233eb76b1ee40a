"""The forms that a gate can take, one row each: everything else is derived from the row.

Starts light: what a form needs to judge is loaded when it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.forms.base import Form
from harness.forms.drop import MAX_DROP
from harness.forms.excess import MAX_EXCESS_DROP
from harness.forms.increase import MAX_INCREASE
from harness.forms.level import MAX, MIN
from harness.forms.ratio import MAX_RATIO, MIN_RATIO
from harness.forms.share import MAX_RELATIVE_DROP, MIN_RECOVERY, MIN_RETAINED

if TYPE_CHECKING:
    from harness.metrics.row import Kind

__all__ = ["FORMS", "OWN_VALUE", "Form", "fitting"]

FORMS: Mapping[str, Form] = {
    form.key: form
    for form in (
        MAX_DROP,
        MAX_EXCESS_DROP,
        MAX_RELATIVE_DROP,
        MIN_RECOVERY,
        MIN_RETAINED,
        MAX_INCREASE,
        MIN,
        MAX,
        MIN_RATIO,
        MAX_RATIO,
    )
}
"""In the order in which the suite's keys are listed."""
OWN_VALUE = tuple(key for key, form in FORMS.items() if form.looks_at == "own")
"""Keys of the limits on a value by itself."""


def fitting(kind: Kind) -> tuple[str, ...]:
    """Keys of the forms that fit a metric of this kind. Limits relative to the baseline come first, and ceilings where
    less is better."""
    less = kind in ("perplexity", "divergence")
    fit = [form for form in FORMS.values() if kind in form.kinds]
    fit.sort(key=lambda form: (form.looks_at == "own", less and not form.ceiling))
    return tuple(form.key for form in fit)
