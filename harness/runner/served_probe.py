"""Whether a served model is the one whose answers are stored: a few items are computed again.

The weights behind an address cannot be read, and another model may answer there tomorrow. A server's description of
itself is part of an evaluation's identity; a server that has none, or a configured one, is identified by its answers
alone. Owns which items are repeated and how close answers must be; a model that answers all of them alike counts as the
same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace

from harness.planning.task_plan import TaskPlan
from harness.records.items import ItemRecord
from harness.runner.evaluate import ask_worker, scored
from harness.runner.session import Session
from harness.runner.tokenizer_agreement import first_disagreement

PROBED = 8
"""Items of each task that are repeated."""
CLOSE_NATS = 0.01
"""Tolerance of a log-likelihood over n tokens, times the square root of n: other batches change it by less."""


def same_answers(session: Session, plan: TaskPlan, stored: Mapping[str, ItemRecord], seed: str) -> bool:
    """Whether the server answers some of the stored items as before. `seed`: which ones; different in every run, so
    that different items are tried over time. Raises `EngineError` and `WorkerError` where it does not answer.
    """
    known = [place for place, item in enumerate(plan.items) if item.item in stored and plan.requests[place]]
    if not known:
        return True
    chosen = sorted(random.Random(f"{seed}/{plan.name}").sample(known, min(PROBED, len(known))))
    items = {plan.items[place].item for place in chosen}
    texts = tuple(each for each in plan.texts if each.item in items)
    if first_disagreement(session, [replace(plan, texts=texts)]) is not None:
        return False
    flat = [request for place in chosen for request in plan.requests[place]]
    answers = session.ask(lambda worker: ask_worker(worker, plan, flat), flat)
    return all(_alike(each, stored[each.item]) for each in scored(plan, chosen, answers))


def _alike(now: ItemRecord, then: ItemRecord) -> bool:
    if [each.text for each in now.answers] != [each.text for each in then.answers]:
        return False
    if len(now.options) != len(then.options):
        return False
    pairs = [
        (one.log_likelihood, other.log_likelihood, one.tokens or 0)
        for one, other in zip(now.options, then.options, strict=True)
    ]
    if now.document is not None and then.document is not None:
        pairs.append((now.document.nll, then.document.nll, now.document.tokens))
    return all(_close(one, other, tokens) for one, other, tokens in pairs)


def _close(one: float | None, other: float | None, tokens: int) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= CLOSE_NATS * math.sqrt(max(tokens, 1))
