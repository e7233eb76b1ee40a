"""Whether an answer starts with its reference."""

from __future__ import annotations

from harness.metrics.row import Metric, TextScore

STARTS_WITH = Metric(
    name="starts_with",
    kind="binary",
    unit="fraction",
    description="answer starts with the reference",
    computed=TextScore(
        score=lambda answer, reference, _: float(answer.startswith(reference)), by_words=lambda strictness: False
    ),
    higher_is_better=True,
)
