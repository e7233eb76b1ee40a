"""Whether a variant's own tokenizer agrees with the plan, which every variant uses."""

from __future__ import annotations

from collections.abc import Iterable

from harness.errors import EngineError
from harness.planning.task_plan import TaskPlan, plan_texts
from harness.records.run_manifest import TokenDisagreement
from harness.runner.session import Session

TEXTS = 256
"""Texts encoded at once."""


def first_disagreement(session: Session, plans: Iterable[TaskPlan]) -> TokenDisagreement | None:
    """The first planned text that the variant's own tokenizer encodes differently from the plan."""
    for plan in plans:
        texts = plan_texts(plan)
        for special in (False, True):
            own = [each for each in texts if each.add_special_tokens is special]
            for start in range(0, len(own), TEXTS):
                part = own[start : start + TEXTS]
                try:
                    ids = session.encode([each.text for each in part], add_special_tokens=special)
                except EngineError:
                    if session.variant.spec.engine_row.model != "address":
                        raise
                    return None  # a server without /tokenize: its tokens cannot be compared
                for planned, got in zip(part, ids, strict=True):
                    if tuple(got) != planned.ids:
                        return TokenDisagreement(
                            task=plan.name,
                            item=planned.item,
                            text=planned.text[:500],
                            baseline_ids=planned.ids[:64],
                            variant_ids=tuple(got)[:64],
                        )
    return None
