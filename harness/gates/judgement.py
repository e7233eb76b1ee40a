"""What a gate says of one estimate. Owns the shape alone."""

from __future__ import annotations

from dataclasses import dataclass

from harness.gates.limits import Estimate
from harness.records.findings import Decision, InvalidCode


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A decision with its reason and the numbers behind it."""

    decision: Decision
    reason: str
    estimate: Estimate | None = None
    more_items: int | None = None
    code: InvalidCode | None = None

    @classmethod
    def none(cls, reason: str) -> Judgement:
        """Nothing was measured, so nothing is decided."""
        return cls(decision="INCONCLUSIVE", reason=reason)

    @classmethod
    def invalid(cls, reason: str) -> Judgement:
        return cls(decision="INVALID", reason=reason)
