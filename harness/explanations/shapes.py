"""What an explanation is made of, beside the derivation. Owns shapes, computes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from harness.derivations.shapes import Condition, Section
from harness.records.findings import Bound, Decision, FindingDecision
from harness.records.measures import Flip

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that would change the decision."""

    of: str
    """`limit`, `flips`, `items`, `alpha`."""
    gives: Decision | None
    """The decision there; None where nothing of the kind would change it."""
    value: float | None
    """The limit, number of flips or items, or alpha itself."""
    says: str


class FlipBeside(Flip):
    """A flip between the fine-tuned model and the candidate, and the answer of the model before fine-tuning."""

    fine_tuned: str
    """The variant whose answer is `baseline_answer`."""
    base_right: bool
    base_answer: str
    base_margin: float | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows behind the numbers: documents, timed pairs, items."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | None, ...], ...]
    total: int
    """Rows there are; `rows` holds the first of them."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an input is stored."""

    what: str
    path: str
    """Relative to the results folder."""
    field: str
    """Of each record there."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One finding, with everything needed to reproduce it by hand."""

    schema_version: int = SCHEMA
    suite: str
    run: str
    gate: str
    name: str | None
    variant: str
    against: str
    task: str | None
    metric: str
    slice: str | None
    workload: str | None
    form: str
    limit: float
    alpha: float
    n: int | None
    value: Bound
    lower: Bound
    upper: Bound
    unit: str
    decision: FindingDecision
    severity: str
    reason: str
    """These are the finding's, as verdict.json has them."""
    method: str = ""
    """The method with its source; empty where this finding has no formula."""
    sections: tuple[Section, ...] = ()
    conditions: tuple[Condition, ...] = ()
    changes: tuple[Change, ...] = ()
    flips: tuple[FlipBeside | Flip, ...] = ()
    """Right-to-wrong first, each way the largest change of margin first."""
    flips_total: int | None = None
    """None where the metric is not right or wrong."""
    tables: tuple[Table, ...] = ()
    places: tuple[Place, ...] = ()
    commands: tuple[str, ...] = ()
    """Each prints inputs of these numbers."""
    notes: tuple[str, ...] = ()
