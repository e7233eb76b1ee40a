"""Metrics of the table that compare an answer with one reference: the best over an item's references counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from harness.metrics.row import Strictness, TextScore
from harness.planning.measures.answered import Answered, Measure


def best_reference(metric: TextScore, strictness: Strictness) -> Measure:
    """Of an answer and each of its references, the highest score."""

    def measure(answered: Answered) -> float:
        return max(metric.score(answered.answer, reference, strictness) for reference in answered.references)

    return measure


def library_versions(rows: Sequence[TextScore]) -> Mapping[str, str]:
    """The version of every package that scores, by its name."""
    return {row.library: version(row.library) for row in rows if row.library}
