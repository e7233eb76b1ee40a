"""The metric of answers that must be JSON of a given shape."""

from __future__ import annotations

from harness.metrics.row import AgainstSchema, Metric

JSON_SCHEMA = Metric(
    name="json_schema",
    kind="binary",
    unit="fraction",
    description="answer is JSON that its schema allows",
    computed=AgainstSchema(),
    higher_is_better=True,
)
