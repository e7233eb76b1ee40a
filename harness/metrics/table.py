"""The table of metrics: the one list of them. What each is and how it is computed is in its family's file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from harness.metrics.agreement import AGREEMENT
from harness.metrics.answers import ANSWERS
from harness.metrics.choices import CHOICES
from harness.metrics.corpus import CORPUS
from harness.metrics.divergence import DIVERGENCES, LIKELIHOODS
from harness.metrics.memory import MEMORY
from harness.metrics.overlap import OVERLAP
from harness.metrics.probabilities import PROBABILITIES
from harness.metrics.repeats import over_answers
from harness.metrics.row import (
    Computation,
    FromAnswers,
    Kind,
    Likelihood,
    Metric,
    OfChances,
    OfClasses,
    OptionScore,
    Unit,
)
from harness.metrics.schemas import JSON_SCHEMA
from harness.metrics.timing import SPEED

_Computed = TypeVar("_Computed", bound=Computation)

METRICS: dict[str, Metric] = {
    row.name: row
    for row in (
        *ANSWERS,
        *OVERLAP,
        JSON_SCHEMA,
        *CORPUS,
        *AGREEMENT,
        *PROBABILITIES,
        *CHOICES,
        *LIKELIHOODS,
        *DIVERGENCES,
        *SPEED,
        *MEMORY,
    )
}
"""Metrics quantgate computes itself. lm-eval tasks bring more; see `lookup`."""


def lookup(name: str) -> Metric | None:
    """The metric of this name, or of a family (`pass@4`), also with an lm-eval filter behind a comma
    (`exact_match,strict-match`)."""
    return METRICS.get(name.split(",", 1)[0]) or over_answers(name)


def per_character(name: str) -> bool:
    """Whether the option of the best log-likelihood per character is the answer, not that of the best one."""
    row = lookup(name)
    return row is not None and isinstance(row.computed, OptionScore) and row.computed.per_character


def of_kind(*kinds: Kind) -> tuple[Metric, ...]:
    """The rows of these kinds, in the table's order."""
    return tuple(row for row in METRICS.values() if row.kind in kinds)


def computed_by(way: type[_Computed]) -> dict[str, _Computed]:
    """Name to computation, of the metrics that are computed this way."""
    return {name: row.computed for name, row in METRICS.items() if isinstance(row.computed, way)}


def likelihood(name: str) -> Likelihood:
    """How a metric of kind `perplexity` is computed. Raises KeyError for another metric."""
    return computed_by(Likelihood)[name]


def derived(kind: str) -> tuple[Metric, ...]:
    """The rows computed from stored answers to a task of this kind, in the table's order."""
    return tuple(METRICS[name] for name, way in computed_by(FromAnswers).items() if way.of == kind)


def of_options() -> tuple[str, ...]:
    """The metrics of the whole that follow from the stored options of a `choice` task."""
    return (*computed_by(OfClasses), *computed_by(OfChances))


def known_metrics(kind: str, own: Iterable[str]) -> tuple[str, ...]:
    """Every metric that a gate can name on a task of this kind, whose own metrics are `own`."""
    if kind == "perplexity":
        return tuple(row.name for row in of_kind("perplexity", "divergence"))
    return (*own, *(row.name for row in derived(kind)), *(of_options() if kind == "choice" else ()))


def is_derived(name: str) -> bool:
    """Whether a metric of this name follows from stored answers."""
    row = lookup(name)
    return row is not None and isinstance(row.computed, FromAnswers)


def counting(per: Unit) -> tuple[str, ...]:
    """The metrics that divide a document's likelihood by these; lm-eval's of the same names do, too."""
    return tuple(name for name, way in computed_by(Likelihood).items() if way.per == per)


def agrees(name: str) -> bool:
    """Whether a metric of this name holds a candidate's answers against the baseline's own."""
    row = lookup(name)
    return row is not None and isinstance(row.computed, FromAnswers) and row.computed.agreement


@contextmanager
def added(*rows: Metric) -> Iterator[None]:
    """Adds these rows to the table for the length of a `with`. Raises ValueError for a name that is taken."""
    for row in rows:
        if row.name in METRICS:
            raise ValueError(f"there is a metric {row.name!r} already")
    METRICS.update({row.name: row for row in rows})
    try:
        yield
    finally:
        for row in rows:
            del METRICS[row.name]
