"""What a gate form is: one row with everything that the rest of the code asks about it. Compares no names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.notation import Notation

if TYPE_CHECKING:
    from harness.metrics.row import Kind


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way of setting a limit."""

    key: str
    """As the suite writes it, such as `max_drop`."""
    says: str = ""
    """What the limit is, in a sentence for whoever writes a suite."""
    noun: str = ""
    """What is limited, in a word or two for a table; empty for the metric itself."""
    ceiling: bool
    """The value must stay below the limit, so a higher limit lets more through."""
    domain: tuple[float, float]
    """Open interval of the limits that mean anything."""
    percent: bool = False
    """A limit may also be written as a percentage: `2%` is 0.02."""
    expects: str = ""
    """What a limit must be, in words; empty where its bounds say enough."""
    kinds: frozenset[Kind]
    """Kinds of metrics that it fits."""
    notation: Notation
    """How its values, bounds and limits are written."""
    looks_at: Literal["pairs", "base", "own"]
    """The candidate beside the baseline; both beside the model before fine-tuning; or a value by itself."""
    neutral: float | None
    """The value where nothing changed; None where no value says so."""
    stops_early: bool = False
    """Whether it can FAIL on a part of a task (`harness.forms.sequential`)."""
    loss_of: Literal["scale", "level", "gain"] | None = None
    """A limit on a loss of the baseline's score: as a share of the metric's scale, of the baseline's value, or of what
    fine-tuning gained. It shows nothing where there is nothing to lose. None: no limit on a loss."""
    accumulates: bool = False
    """The values of promoted versions add up."""

    def inside(self, limit: float) -> bool:
        """Whether the suite takes such a limit."""
        low, high = self.domain
        return low < limit < high

    def allowed_loss(self, limit: float, *, level: float | None, gain: float | None = None) -> float | None:
        """The absolute loss within the limit; None where that is not known, and of what is no limit on a loss.

        `level`: the baseline's value. `gain`: what fine-tuning gained.
        """
        share = limit if self.ceiling else 1 - limit
        if self.loss_of == "scale":
            return share
        whole = gain if self.loss_of == "gain" else abs(level) if self.loss_of and level is not None else None
        return None if whole is None else share * whole

    def rule(self, limit: str) -> str:
        """`drop ≤ 2 pp`, `≥ 80 %`: what the gate asks, around a limit as it is written."""
        return f"{self.noun} {'≤' if self.ceiling else '≥'} {limit}".lstrip()

    def looser(self, limit: float, before: float) -> bool:
        """Whether the limit lets more through than the one before."""
        return limit > before if self.ceiling else limit < before
