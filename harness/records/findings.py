"""Gates' findings and checks as stored: a decision with the numbers behind it.

Fractions everywhere (0.02 is 2 percentage points), seconds, bytes, nats. What they add up to is `verdict.py`'s.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.records.model import Model

Decision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
"""Of a candidate and of a run."""
FindingDecision = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID", "WAIVED"]
"""Of one gate. WAIVED is a FAIL that the suite excuses until a date; nothing else is ever waived."""
InvalidCode = Literal["at_zero", "at_chance", "one_answer", "blind_limit", "candidate_one_answer", "undecided"]
"""Why a limit on a loss shows nothing. The baseline has the metric's worst value on every item; no more than guessing
gives; one answer for all. Or a model that knows nothing would hold the limit; the candidate gives one answer to all;
its best options tie on all."""
CLEAN = "without the items that share text with the calibration data: "
"""How the reason begins of a finding on clean items."""


def _said(value: object) -> object:
    return None if isinstance(value, float) and math.isinf(value) else value


Bound = Annotated[float | None, BeforeValidator(_said)]
"""None also where nothing bounds the value: one item or document alone has no interval."""


class WaiverUse(Model):
    """One waiver of the suite and its state in this verdict."""

    gate: str
    """As the suite names it: the gate's name, or `task/metric/form`."""
    variant: str
    slice: str | None = None
    workload: str | None = None
    reason: str
    by: str
    until: str
    """ISO date: from this day on, in UTC, it no longer counts."""
    state: Literal["used", "unused", "ended"]
    """`used`: a FAIL is WAIVED by it. `unused`: there was no FAIL to excuse. `ended`: judged on its date or later."""
    says: str
    """In a sentence."""


class GateChange(Model):
    """A gate that changed since the last version was promoted."""

    gate: str
    """`gates[2]` of the suite now; of the promoted run's suite where it was removed."""
    what: Literal["added", "removed", "changed"]
    looser: bool | None
    """Whether the change lets more through; None where that cannot be said."""
    says: str
    """In a sentence: `ask acc: limit 2.00 pp, was 1.00 pp when v12 was promoted`."""


class Finding(Model):
    """One gate applied to one variant (and one slice or workload)."""

    gate: str
    """`gates[2]`, and `gates[2] language=de` where a gate looks at several slices or workloads."""
    name: str | None = None
    """The gate's own name in the suite, where it has one."""
    variant: str
    task: str | None
    """Several are joined by a plus: `mmlu+arc`."""
    tasks: dict[str, float] = Field(default_factory=dict, exclude_if=lambda tasks: not tasks)
    """Of several tasks judged as one: each with its weight, as the suite has it."""
    metric: str
    slice: str | None = None
    workload: str | None = None
    form: str
    limit: float
    value: Bound
    """What was measured, in the form's own terms: a drop, a ratio, a level."""
    lower: Bound
    upper: Bound
    """One-sided bounds at 1 - alpha each; None where the value is exact or not available."""
    alpha: float
    p: float | None = None
    """One-sided p of “the limit is not broken”: under alpha where the interval is beyond the limit. None where
    nothing statistical is claimed (exact values, too few documents or pairs)."""
    p_adjusted: float | None = None
    """Holm's, over the limits of this candidate that are judged together."""
    together: int | None = None
    """How many limits those are."""
    n: int | None
    """Pairs, documents or timed pairs behind the value."""
    unit: str
    decision: FindingDecision
    severity: Literal["block", "warn"]
    against: str
    """Name of what the value is measured from: a variant, `variant@run`, or empty for a plain level."""
    reason: str
    """One sentence with the numbers in it."""
    more_items: int | None = None
    """INCONCLUSIVE: about how many more items would decide, at the rates observed."""
    waiver: WaiverUse | None = None
    """The waiver, where the decision is WAIVED. `reason` mentions it too."""
    limit_before: float | None = None
    """The limit when the last version was promoted, where it was another one."""
    code: InvalidCode | None = None
    """Why INVALID, where there was nothing to lose, as a code; None for every other reason."""
    early_alpha: float | None = None
    """A FAIL of a variant that was stopped early: the share of alpha at which the anytime-valid test decided it."""
    items: Annotated[Literal["all", "clean"], Field(exclude_if=lambda items: items == "all")] = "all"
    """`clean`: judged without the items that share text with the calibration data. `reason` says it too."""

    @model_validator(mode="before")
    @classmethod
    def _earlier(cls, values: Any) -> Any:
        """Verdicts of before there was `items` say it in the reason alone."""
        if isinstance(values, dict) and "items" not in values and str(values.get("reason")).startswith(CLEAN):
            return {**values, "items": "clean"}
        return values

    @property
    def position(self) -> int:
        """The gate's place in the suite: 2 of `gates[2] language=de`."""
        return int(self.gate.removeprefix("gates[").partition("]")[0])

    @property
    def promoted_run(self) -> str | None:
        """The run of the promoted version that the value is measured from, of `nf4@20261121-…`; None for another."""
        _, promoted, run = self.against.rpartition("@")
        return run if promoted else None

    @property
    def reference(self) -> bool:
        """Whether the value is measured from a promoted version."""
        return self.promoted_run is not None


class Check(Model):
    """One validity check of a comparison. A check that did not hold with `blocks` makes it INVALID."""

    name: str
    held: bool
    blocks: bool
    says: str
