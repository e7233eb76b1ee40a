"""One variant on one task, chunk by chunk, each stored before the next is asked. Resume is reading what is there."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from harness.engines.seam import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Window,
    WindowScore,
)
from harness.errors import WorkerError
from harness.plan.build import Request, TaskPlan
from harness.plan.identity import evaluation_key
from harness.records.models import EngineFacts, EvaluationManifest, Host, ItemRecord
from harness.records.states import state_file
from harness.records.store import Store
from harness.run.batches import BatchLog
from harness.run.early import Watch, work_of
from harness.run.outlook import ITEMS, Amount
from harness.run.progress import Reporter
from harness.run.session import Session
from harness.worker.client import Worker


def stored_facts(facts: Facts) -> EngineFacts:
    """The seam's facts in the shape that is stored."""
    return EngineFacts.model_validate(asdict(facts))


def evaluate(
    session: Session,
    plan: TaskPlan,
    store: Store,
    host: Host,
    reporter: Reporter,
    *,
    baseline: str | None,
    keep_states: bool,
    states: Path | None = None,
    watch: Watch | None = None,
) -> EvaluationManifest:
    """Run what is missing of one evaluation and declare it complete, or stop where `watch` sees a limit broken: then
    what comes back is of the part up to there, and the evaluation stays unfinished.

    `baseline`: key of the evaluation whose states the divergence is measured from, None and empty where there is none
    (see `Identity.baseline`); `states`: their folder, where it is not that evaluation's own. `keep_states`: this is the
    baseline and later variants will need its states. Raises `WorkerError` when the worker keeps dying, `EngineError`
    when the engine refuses, `RecordError` when nothing can be stored.
    """
    identity = session.variant.identity(plan, session.tokenizer, baseline)
    key = evaluation_key(identity)
    chunks = store.chunks(key)
    if not baseline:
        states = None
    elif states is None:
        states = store.evaluation_folder(baseline) / "states"
    done = len(chunks.load())
    reporter.task(session.variant.name, plan.name, _amount(plan), _amount(plan, 0, done), ITEMS)
    started, began = datetime.now(UTC), time.monotonic()
    slowest: float | None = None
    batches = BatchLog(store, key)
    session.remember(store.batch_tokens(key))
    kept = session.batch_tokens
    stopped = watch is not None and any(watch.look(key, end) for end in range(1, done + 1))

    def keep_limit() -> None:
        """What memory allows is stored before more is asked, so that a later run need not find it again."""
        nonlocal kept
        if session.batch_tokens != kept:
            kept = session.batch_tokens
            assert kept is not None
            store.save_batch_tokens(key, kept)
            reporter.say(f"{session.variant.name}: memory ran out, going on in batches of at most {kept:,} tokens")

    def ask(worker: Worker) -> list[ItemRecord]:
        nonlocal slowest
        keep_limit()
        worker.limit_s = session.limit_s(slowest)
        asked = time.monotonic()
        records = _chunk(worker, plan, len(chunks.digests), store, key, states, keep_states=keep_states)
        slowest = max(slowest or 0.0, time.monotonic() - asked)
        return records

    while not stopped and len(chunks.digests) < len(plan.chunks):
        records = session.ask(ask, _flat(plan, len(chunks.digests)))
        keep_limit()
        if said := batches.asked(len(chunks.digests), session.facts()):
            reporter.say(f"{session.variant.name} · {plan.name}: {said}")
        chunks.append(records)
        reporter.advance(_amount(plan, len(chunks.digests) - 1, len(chunks.digests)))
        asked_s = time.monotonic() - began if not done else None
        stopped = watch is not None and watch.look(key, len(chunks.digests), asked_s)
    facts = session.facts()
    stop = watch.stop if watch is not None else None
    manifest = EvaluationManifest(
        key=key,
        identity=identity,
        variant=session.variant.name,
        task=plan.name,
        items=len(plan.items) if stop is None else stop.items,
        chunks=len(plan.chunks) if stop is None else stop.chunks,
        digest=chunks.digest() if stop is None else stop.digest,
        facts=stored_facts(facts),
        host=host,
        started_at=started.isoformat(timespec="seconds"),
        elapsed_s=time.monotonic() - began,
        batches=tuple(part for part in batches.parts if part.chunk < len(chunks.digests)),
        batch_tokens=session.batch_tokens,
    )
    reporter.finish()
    if stop is not None:
        store.save_stopped(manifest)
    else:
        store.complete(manifest)
    return manifest


def _amount(plan: TaskPlan, first: int = 0, end: int | None = None) -> Amount:
    """What lies in some chunks of a plan."""
    chunks = plan.chunks[first:end]
    return Amount(items=sum(map(len, chunks)), work=work_of(plan, chunks))


def _chunk(
    worker: Worker,
    plan: TaskPlan,
    position: int,
    store: Store,
    key: str,
    states: Path | None,
    *,
    keep_states: bool,
) -> list[ItemRecord]:
    """Ask one chunk and score the answers item by item."""
    flat = _flat(plan, position)
    answers: list[tuple[ContinuationScore, ...]] | list[Generation] | list[WindowScore]
    if not flat:
        answers = []
    elif plan.kind == "choice":
        answers = worker.score([request for request in flat if isinstance(request, ScoreRequest)])
    elif plan.kind == "generate":
        answers = worker.generate([request for request in flat if isinstance(request, GenerateRequest)])
    else:
        name = state_file(position)
        answers = worker.roll(
            [request for request in flat if isinstance(request, Window)],
            states_out=str(store.evaluation_folder(key) / "states" / name) if keep_states else None,
            states_in=str(states / name) if states is not None else None,
        )
    if len(answers) != len(flat):
        raise WorkerError(f"{plan.name}: asked {len(flat)} requests, got {len(answers)} answers")
    records, cursor = [], 0
    for index in plan.chunks[position]:
        count = len(plan.requests[index])
        records.append(plan.score(index, tuple(answers[cursor : cursor + count])))
        cursor += count
    return records


def _flat(plan: TaskPlan, position: int) -> list[Request]:
    """The requests of one chunk."""
    return [request for index in plan.chunks[position] for request in plan.requests[index]]
