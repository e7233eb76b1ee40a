"""Gates and waivers as people write them: one limit each, and who excuses a FAIL until which date.

The keys of the limits are the rows of `harness.forms.FORMS`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from harness.forms import FORMS, OWN_VALUE, Form
from harness.suite.values import IsoDate, Name, Names, Relative, Spec, Weights, Words

FEWEST_TASKS = 2


class LooksAt(Spec):
    """What a gate looks at, and its name."""

    metric: str
    task: str | None = None
    tasks: Names | Weights | None = None
    """Instead of `task`: several tasks whose mean is judged once; a list for equal weights, or each with its own."""
    name: Name | None = None
    """The name that waivers and people use for this gate; positions in the list change when a gate is added."""


def _limit(form: Form) -> tuple[Any, None]:
    """The key of a form: a number in its domain, or a percentage where it is a relative amount."""
    low, high = (bound if math.isfinite(bound) else None for bound in form.domain)
    kind: Any = Relative if form.percent else float
    kind = Annotated[kind, Field(gt=low, lt=high)]
    for word in form.measured:
        kind = kind | Literal[word]
    return kind | None, None


if TYPE_CHECKING:
    Limits = LooksAt
else:
    Limits = create_model("Limits", __base__=LooksAt, **{key: _limit(form) for key, form in FORMS.items()})


class Gate(Limits):
    """One limit. Exactly one of the forms; fractions everywhere (0.02 is 2 percentage points)."""

    on: Literal["candidate", "baseline"] = "candidate"
    """The model whose value `min` and `max` apply to."""
    against: Literal["baseline", "reference"] = "baseline"
    """What a drop is measured from: the full-precision baseline, or the last promoted version."""
    slice: str | None = None
    """`field=value`, or `each` for every slice of the task."""
    workload: str | None = None
    """Speed metrics: `batchxprompt+new` such as `1x512+128`; every workload when left out."""
    variants: Names = ()
    """Only these candidates; all when left out."""
    severity: Literal["block", "warn"] = "block"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    at_most: Annotated[float, Field(gt=0, lt=1)] | None = None
    """With `max_drop: noise`: the largest limit that the noise may give; 0.05 when left out."""

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        given = [key for key in FORMS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one limit ({', '.join(FORMS)}), "
                + (f"got {' and '.join(given)}" if given else "got none")
            )
        if self.task is not None and self.tasks is not None:
            raise ValueError("expected task or tasks, got both")
        if self.tasks is not None and len(self.weights) < FEWEST_TASKS:
            raise ValueError(f"tasks: expected at least {FEWEST_TASKS} different tasks, got {len(self.weights)}")
        if self.on == "baseline" and given[0] not in OWN_VALUE:
            raise ValueError(f"on: baseline goes with {' or '.join(OWN_VALUE)}, not with {given[0]}")
        if problem := self._measured_limit():
            raise ValueError(problem)
        return self

    def _measured_limit(self) -> str | None:
        """What is wrong with a limit that the run measures itself."""
        if not self.measures_limit:
            return None if self.at_most is None else "at_most goes with a limit that is measured: max_drop: noise"
        word = f"{self.form}: {getattr(self, self.form)}"
        if self.slice is not None or self.tasks is not None:
            return f"{word} is measured on a whole task; write a number for {'a slice' if self.slice else 'tasks'}"
        if self.against != "baseline":
            return f"{word} is the baseline's own noise; leave against out, or write a number"
        return None

    @property
    def weights(self) -> dict[str, float]:
        """Task to its weight, of several tasks judged as one; they need not add up to 1. Empty for any other gate."""
        if self.tasks is None or isinstance(self.tasks, dict):
            return dict(self.tasks or {})
        return dict.fromkeys(self.tasks, 1.0)

    @property
    def scope(self) -> str | None:
        """The task, or several joined by a plus; None for what is no task's."""
        return "+".join(self.weights) or self.task

    @property
    def form(self) -> str:
        """The key of its limit."""
        return next(key for key in FORMS if getattr(self, key) is not None)

    @property
    def row(self) -> Form:
        """Everything about its form."""
        return FORMS[self.form]

    @property
    def measures_limit(self) -> bool:
        """Whether the run measures the limit itself; `limit` is then its cap."""
        return isinstance(getattr(self, self.form), str)

    @property
    def limit(self) -> float:
        given: float | str = getattr(self, self.form)
        if isinstance(given, str):
            return self.at_most if self.at_most is not None else self.row.measured[given]
        return given

    def parts(self, slices: Collection[str]) -> tuple[str | None, ...]:
        """All of a task with these slices (None), each slice or the one named; nothing where it is not among them."""
        if self.slice is None:
            return (None,)
        return tuple(slices) if self.slice == "each" else (self.slice,) if self.slice in slices else ()


class Waiver(Spec):
    """Excuses the FAIL of one gate for one variant until a date. Nothing but a FAIL can be waived."""

    gate: str
    """The gate's `name`, or `task/metric/form` in full, such as `intents/acc/max_drop` or `weight_bytes/max_ratio`."""
    variant: str
    slice: str | None = None
    """Needed where the gate looks at each slice."""
    workload: str | None = None
    """Needed where the gate looks at several workloads."""
    reason: Words
    by: Words
    """Who is responsible for it."""
    until: IsoDate
    """From this day on (UTC) it no longer applies."""
