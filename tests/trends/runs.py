"""Summaries of runs for tests of history: one task, one variant, plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records.summary import VerdictSummary, summary_of
from harness.records.verdict import Conditions
from tests.reports.example import example


def conditions(**changes: object) -> Conditions:
    fields = {
        "weights": "sha256:one",
        "quantization": '{"quantize": {"bits": 8, "method": "bitsandbytes", "type": null}}',
        "engine": "transformers",
        "versions": {"torch": "2.12.0", "python": "3.12.1"},
        "dtype": "bfloat16",
        "device_type": "cpu",
    }
    return Conditions.model_validate({**fields, **changes})


def run(
    number: int,
    *,
    drop: float = 0.01,
    data: str = "data-1",
    definition: str = "definition-1",
    plan: str = "plan-1",
    host: str = "host-1",
    processor: str = "AMD EPYC 9354",
    both: Conditions | None = None,
    candidate: Conditions | None = None,
    **changes: object,
) -> VerdictSummary:
    """Run `number` of the example suite with the candidate int8 alone, whose drop on intents is `drop`."""
    whole = example(run=f"run-{number:03d}")
    kept = whole.candidates[1]
    measure = kept.measures[0].model_copy(update={"change": drop, "lower": drop - 0.005, "upper": drop + 0.005})
    facts = [
        task.model_copy(update={"plan": plan, "definition": definition, "data_hash": data}) for task in whole.tasks
    ]
    base = both or conditions()
    return summary_of(
        whole.model_copy(
            update={
                "started_at": f"2026-03-{1 + number // 24:02d}T{number % 24:02d}:00:00+00:00",
                "candidates": (
                    kept.model_copy(
                        update={"measures": (measure, *kept.measures[1:]), "conditions": candidate or base}
                    ),
                ),
                "tasks": tuple(facts),
                "baseline_conditions": base,
                "host": whole.host.model_copy(update={"fingerprint": host, "processor": processor}),
                **changes,
            }
        )
    )


def steps(levels: Sequence[float]) -> list[VerdictSummary]:
    """A run per level, with a little noise that repeats."""
    return [run(index, drop=level + 0.001 * (index % 3 - 1)) for index, level in enumerate(levels)]
