"""What one gate can certify, as data: the row of the planner's table, and what it is worked out from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

from harness.forecast.past_runs import PastMeasure, PastRuns
from harness.records.items import PlannedItem
from harness.stats.decision import normal_quantile, t_quantile
from harness.stats.promise import POWER
from harness.suite.gate_model import Gate
from harness.suite.models import Suite


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a figure rests on, and the run it was seen in."""

    what: str
    run: str | None = None

    def __str__(self) -> str:
        return self.what if self.run is None else f"{self.what} in {self.run}"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What one gate can show with the items planned."""

    place: str
    """`gates[1]`."""
    part: str = ""
    """The slice, where the gate looks at each."""
    says: str
    enough: bool
    """False: with these items the gate cannot be expected to PASS a candidate that lost nothing."""
    judges: str = ""
    """Task and metric, and the slice."""
    limit: str = ""
    count: int | None = None
    """Items, documents or timed pairs."""
    certifies: str | None = None
    """The smallest loss that passes with 80 % power, in the gate's own terms; None where that is not known."""
    needs: int | None = None
    """About how many items, documents or pairs the limit needs; None where that is not known."""
    basis: Basis | None = None
    """The share of flips or the spread that this rests on."""
    possible: bool = True
    """False: no outcome with these items is a PASS."""

    @property
    def gate(self) -> str:
        """For people: the place, and the slice behind it."""
        return f"{self.place} {self.part}".strip()

    def but(
        self,
        says: str,
        *,
        certifies: str | None = None,
        needs: int | None = None,
        basis: Basis | None = None,
        enough: bool = True,
        possible: bool = True,
    ) -> Certificate:
        """The same row with more known; `says` is put behind its sentence."""
        return replace(
            self,
            says=self.says + says,
            certifies=certifies,
            needs=needs,
            basis=basis,
            enough=enough and possible,
            possible=possible,
        )

    def with_limit(self, limit: str) -> Certificate:
        return replace(self, limit=limit)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One gate on one part of a task, and what is known before the run."""

    place: str
    part: str
    where: str
    gate: Gate
    suite: Suite
    items: tuple[PlannedItem, ...]
    seen: PastRuns

    @property
    def alpha(self) -> float:
        return self.gate.alpha if self.gate.alpha is not None else self.suite.alpha

    @cached_property
    def sizes(self) -> tuple[int, ...] | None:
        """Items of each cluster, an item without one alone; None where no item has one."""
        clusters = Counter(item.cluster for item in self.items)
        alone = clusters.pop(None, 0)
        return (*clusters.values(), *[1] * alone) if clusters else None

    @property
    def reach(self) -> float:
        """Standard errors between the truth and a limit that is passed at this power, over documents."""
        return t_quantile(1 - self.alpha, len(self.items) - 1) + normal_quantile(POWER)

    @property
    def level(self) -> float | None:
        """The baseline's own value in an earlier run."""
        return self.seen.levels.get(f"{self.gate.task}/{self.gate.metric}")

    @property
    def names(self) -> tuple[str, ...]:
        """The candidates that the gate looks at."""
        return self.gate.variants or self.suite.candidates

    def before(self, variant: str) -> PastMeasure | None:
        """What this metric did for a variant like this one."""
        return self.seen.measures.get((variant, self.gate.task or "", self.gate.metric))

    def widest(self) -> tuple[float, PastMeasure] | None:
        """The largest standard error seen, brought to as many items as there are now, and where it was seen."""
        found = [
            (each.error * (each.measure.n / len(self.items)) ** 0.5, each)
            for each in map(self.before, self.names)
            if each is not None and each.error is not None
        ]
        return max(found, default=None, key=lambda each: each[0])

    def row(self, unit: str) -> Certificate:
        """The row with nothing known but the number of items."""
        count = len(self.items)
        return Certificate(
            place=self.place,
            part=self.part,
            judges=self.where,
            says=f"{self.where}: {count} {unit}",
            enough=True,
            count=count,
        )
