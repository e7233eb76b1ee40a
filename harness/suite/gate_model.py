"""Gates and waivers as people write them: one limit each, and who excuses a FAIL until when."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.forms import FORMS, Form
from harness.suite.values import IsoDate, Name, Names, Relative, Spec, Words


class Gate(Spec):
    """One limit. Exactly one of the forms; fractions everywhere (0.02 is 2 percentage points)."""

    metric: str
    task: str | None = None
    name: Name | None = None
    """What waivers and people call this gate; a position in the list moves when a gate is added."""
    max_drop: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest absolute loss of a higher-is-better metric."""
    max_relative_drop: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Largest loss as a share of the baseline's value."""
    min_recovery: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Smallest candidate / baseline; 0.97 is the same as max_relative_drop 3%."""
    min_retained: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Smallest share of what fine-tuning gained over `base` that is kept: (candidate - base) / (fine-tuned - base)."""
    max_increase: Annotated[Relative, Field(gt=0)] | None = None
    """Largest relative rise of a lower-is-better metric (perplexity)."""
    min: float | None = None
    max: float | None = None
    min_ratio: Annotated[Relative, Field(gt=0)] | None = None
    max_ratio: Annotated[Relative, Field(gt=0)] | None = None
    on: Literal["candidate", "baseline"] = "candidate"
    """Whose value `min` and `max` look at."""
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

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        forms = [form for form in FORMS if getattr(self, form) is not None]
        if len(forms) != 1:
            raise ValueError(
                f"expected exactly one limit ({', '.join(FORMS)}), "
                + (f"got {' and '.join(forms)}" if forms else "got none")
            )
        if self.on == "baseline" and forms[0] not in ("min", "max"):
            raise ValueError(f"on: baseline goes with min or max, not with {forms[0]}")
        return self

    @property
    def form(self) -> Form:
        found: Any = next(form for form in FORMS if getattr(self, form) is not None)
        return found  # type: ignore[no-any-return]  # the validator left exactly one

    @property
    def limit(self) -> float:
        value: float = getattr(self, self.form)
        return value


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
    """Who answers for it."""
    until: IsoDate
    """From this day on, in UTC, it no longer counts."""
