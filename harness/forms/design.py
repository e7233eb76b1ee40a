"""The sample that a suite plans for one gate, and what it can certify: the smallest loss that passes with 80 % power.

Knows what earlier runs showed of such samples only by the numbers it is given. Judges nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.notation import Notation

if TYPE_CHECKING:
    from harness.metrics.row import Kind
    from harness.records.measures import Spread
    from harness.stats.promise import Sample

POWER_WORDS = "80 % power"


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The basis of a figure, and the run it was seen in."""

    what: str
    run: str | None = None

    def __str__(self) -> str:
        return self.what if self.run is None else f"{self.what} in {self.run}"


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What a gate can show with the sample planned, in the form's own terms."""

    says: str = ""
    """What follows the number of items in a sentence."""
    certifies: str | None = None
    """The smallest loss that passes with 80 % power; None where that is not known."""
    needs: int | None = None
    """About how many items, documents or pairs the limit needs; None where that is not known."""
    basis: Basis | None = None
    """The share of flips or the spread that this rests on."""
    enough: bool = True
    """False: with these items the gate cannot be expected to PASS a candidate that lost nothing."""
    possible: bool = True
    """False: no outcome with these items is a PASS."""

    @classmethod
    def impossible(cls, says: str, needs: int | None = None) -> Certified:
        """No outcome is a PASS."""
        return cls(says=says, needs=needs, enough=False, possible=False)

    @classmethod
    def against(
        cls, loss: str, limit: str, basis: Basis, *, enough: bool, needs: int | None, needed: str, where: str = ""
    ) -> Certified:
        """A loss beside the limit. `needed`: how many items the limit needs, in words. `where`: in what clusters."""
        end = f"is {limit}" if enough else f"of {limit} needs {needed}"
        says = f"{where} certify {loss} ({POWER_WORDS}, {basis}); the limit {end}"
        return cls(says=says, certifies=loss, needs=needs, basis=basis, enough=enough)


UNKNOWN = Certified(says="; what they can certify is unknown until the first run")


@dataclass(frozen=True, kw_only=True)
class Flips:
    """The share of answers expected to flip, how much items of one cluster flip alike, and how that is known."""

    share: float
    variant: str | None = None
    run: str | None = None
    """Where it was seen; None for a prior."""
    correlation: float | None = None
    """Of two items of one cluster, by the design effect seen; None where nothing was."""

    @property
    def basis(self) -> Basis:
        seen = "" if self.variant is None else f" seen with {self.variant}"
        return Basis(what=f"{Notation.PERCENT.rough(self.share, '')} flips{seen}", run=self.run)


@dataclass(frozen=True, kw_only=True)
class SeenError:
    """The standard error that a figure had in an earlier run, brought to the items planned now."""

    error: float
    run: str
    spread: Spread | None = None
    """How many values changed there; None in verdicts from before it was stored."""

    @property
    def basis(self) -> Basis:
        return Basis(what="spread seen", run=self.run)


@dataclass(frozen=True, kw_only=True)
class Design:
    """One gate on one part of a task, before the run."""

    metric: str
    kind: Kind
    count: int
    """Items or documents that can be asked, or timed pairs."""
    sizes: tuple[int, ...] | None = None
    """Items of each cluster, an item without one alone; None where no item has one."""
    alpha: float
    flips: Flips = Flips(share=0.0)
    level: float | None = None
    """The baseline's own value in an earlier run."""
    seen: SeenError | None = None
    parts: tuple[tuple[float, Design], ...] = ()
    """Of a gate on several samples: the weight of each, and its own design."""

    @property
    def units(self) -> int:
        """Clusters, or items where there are none."""
        return self.count if self.sizes is None else len(self.sizes)

    def flipping(self, correlation: float | None = None) -> Sample:
        """Right-or-wrong items. `correlation`: another one than was seen."""
        from harness.stats.promise import clustered_sample

        own = self.flips.correlation if correlation is None else correlation
        return clustered_sample(self.sizes or (1,) * self.count, discordance=self.flips.share, correlation=own or 0.0)

    def certain_drop(self, correlation: float | None = None) -> float:
        """The smallest drop that these right-or-wrong items certify."""
        from harness.stats.promise import certified_drop, certified_loss

        if self.sizes is None:
            return certified_drop(self.count, discordance=self.flips.share, alpha=self.alpha)
        return certified_loss(self.flipping(correlation), alpha=self.alpha)

    def items_for(self, allowed: float) -> int | None:
        """About how many right-or-wrong items, in clusters like these, certify this drop."""
        from harness.stats.promise import items_certifying

        if self.sizes is None:
            return items_certifying(min(allowed, 0.999), discordance=self.flips.share, alpha=self.alpha)
        return self.times(self.flipping(), allowed)

    def times(self, sample: Sample, allowed: float) -> int | None:
        """About how many items of such a sample certify this loss."""
        from harness.stats.promise import factor_certifying

        factor = factor_certifying(sample, allowed, alpha=self.alpha)
        return None if factor is None else math.ceil(factor * self.count)

    def about(self, needed: int | None) -> str:
        """So many items, in words."""
        if needed is None:
            return "more than there can be"
        if self.sizes is None:
            return f"about {needed:,}"
        return f"about {needed:,} in {math.ceil(needed * len(self.sizes) / self.count):,} clusters"

    @cached_property
    def reach(self) -> float:
        """Standard errors between the truth and a limit that is passed at this power, over documents."""
        from harness.stats.decision import normal_quantile, t_quantile
        from harness.stats.promise import POWER

        return t_quantile(1 - self.alpha, self.count - 1) + normal_quantile(POWER)
