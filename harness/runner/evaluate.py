"""One variant on one task, chunk by chunk, each stored before the next is computed. Resuming means reading what is
stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from harness.engines.protocol import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Window,
    WindowScore,
)
from harness.errors import RecordError, WorkerError
from harness.planning.identity import evaluation_key
from harness.planning.task_plan import Request, TaskPlan
from harness.records.chunks import Chunks
from harness.records.evaluation_manifest import EngineFacts, EvaluationManifest, Identity
from harness.records.items import ItemRecord
from harness.records.state_chunks import state_file
from harness.records.store import Store
from harness.runner.batch_limits import BatchLog
from harness.runner.divergent_tokens import MostDivergent
from harness.runner.early_stop import SequentialMonitor, work_of
from harness.runner.eta import ITEMS, Amount
from harness.runner.run_setting import RunSetting
from harness.runner.session import Session
from harness.worker.client import Worker

Answers: TypeAlias = list[tuple[ContinuationScore, ...]] | list[Generation] | list[WindowScore]


def stored_facts(facts: Facts) -> EngineFacts:
    """The engine's facts in the shape that is stored."""
    return EngineFacts.model_validate(asdict(facts))


def evaluate(
    run: RunSetting,
    session: Session,
    plan: TaskPlan,
    identity: Identity,
    *,
    keep_states: bool,
    states: Path | None = None,
    watch: SequentialMonitor | None = None,
) -> EvaluationManifest:
    """Compute the missing chunks of one evaluation and mark it complete, or stop where `watch` finds a limit broken:
    then the result covers the part up to there, and the evaluation stays unfinished.

    `identity`: of this evaluation; `states`: the folder of those a divergence is measured from, where it is not that of
    `identity.baseline`. `keep_states`: this is the baseline and later variants will need its states. Raises
    `WorkerError` when the worker keeps dying, `EngineError` when the engine refuses, `RecordError` when nothing can be
    stored.
    """
    key, reporter = evaluation_key(identity), run.reporter
    ask = _asking(run, session, plan, identity, keep_states=keep_states, states=states)
    chunks = ask.chunks
    stored = _answered(plan, chunks)
    done, divergent = len(stored), MostDivergent(plan)
    for indices, answered in zip(plan.chunks, stored, strict=False):
        divergent.add(indices, answered)
    reporter.task(session.variant.name, plan.name, _amount(plan), _amount(plan, 0, done), ITEMS)
    started, began = datetime.now(UTC), time.monotonic()
    stopped = watch is not None and any(watch.look(key, end) for end in range(1, done + 1))
    while not stopped and len(chunks.digests) < len(plan.chunks):
        records = session.ask(ask, _flat(plan, len(chunks.digests)))
        divergent.add(plan.chunks[len(chunks.digests)], records)
        ask.keep_limits()
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
        host=run.host,
        started_at=started.isoformat(timespec="seconds"),
        elapsed_s=time.monotonic() - began,
        batches=tuple(part for part in ask.batches.parts if part.chunk < len(chunks.digests)),
        batch_tokens=session.batch_tokens,
        divergent=divergent.texts(),
    )
    reporter.finish()
    if stop is not None:
        run.store.save_stopped(manifest)
    else:
        run.store.complete(manifest, with_states=keep_states)
    return manifest


def _asking(
    run: RunSetting, session: Session, plan: TaskPlan, identity: Identity, *, keep_states: bool, states: Path | None
) -> _Asking:
    """Computes the chunks of one evaluation, given what is stored of it so far."""
    store, key, baseline = run.store, evaluation_key(identity), identity.baseline
    batches = BatchLog(store, key)
    session.remember(batches.tokens)
    batches.tokens = session.batch_tokens  # what the session knew before is no news
    return _Asking(
        session=session,
        plan=plan,
        chunks=store.chunks(key),
        batches=batches,
        say=run.reporter.say,
        states_out=store.evaluation_folder(key) / "states" if keep_states else None,
        states_in=(states or store.evaluation_folder(baseline) / "states") if baseline else None,
        check_states=_checked(store, baseline) if baseline and states is None else None,
    )


def _answered(plan: TaskPlan, chunks: Chunks) -> list[tuple[ItemRecord, ...]]:
    """The chunks that are there. Raises `RecordError` where they are not answers to the plan's, in its order."""
    stored = chunks.load()
    for number, records in enumerate(stored):
        asked = plan.chunks[number] if number < len(plan.chunks) else ()
        if [record.item for record in records] != [plan.items[index].item for index in asked]:
            says = "holds answers to other items than the plan asks there; run the suite again with --fresh"
            raise RecordError(f"{chunks.path}:{number + 1}: {says}")
    return stored


def _checked(store: Store, baseline: str) -> Callable[[str], None]:
    """Looks at a file of the baseline's states before it is measured from, and once at the output layer."""
    store.check_head(baseline)
    return lambda name: store.check_states(baseline, name)


def _amount(plan: TaskPlan, first: int = 0, end: int | None = None) -> Amount:
    """The records in some chunks of a plan."""
    chunks = plan.chunks[first:end]
    return Amount(items=sum(map(len, chunks)), work=work_of(plan, chunks))


@dataclass(kw_only=True)
class _Asking:
    """Sends a worker the next chunk of an evaluation and scores the answers item by item."""

    session: Session
    plan: TaskPlan
    chunks: Chunks
    batches: BatchLog
    say: Callable[[str], None]
    states_out: Path | None
    """Folder for the states of this variant; None where they are not needed."""
    states_in: Path | None
    """Folder of the baseline's states; None where no divergence is measured."""
    check_states: Callable[[str], None] | None
    """Raises `RecordError` for a file in `states_in` that is not as it was stored; None where nothing is known."""
    slowest: float | None = None
    """Seconds of the slowest chunk so far."""

    def __call__(self, worker: Worker) -> list[ItemRecord]:
        self._keep_allowed()
        worker.limit_s = self.session.limit_s(self.slowest)
        asked, position = time.monotonic(), len(self.chunks.digests)
        answers = self._answers(worker, position)
        records = scored(self.plan, self.plan.chunks[position], answers)
        self.slowest = max(self.slowest or 0.0, time.monotonic() - asked)
        return records

    def keep_limits(self) -> None:
        """The batch limits of the chunk just computed, before its answers are stored."""
        self._keep_allowed()
        if said := self.batches.asked(len(self.chunks.digests), self.session.facts()):
            self.say(f"{self.session.variant.name} · {self.plan.name}: {said}")

    def _keep_allowed(self) -> None:
        """Also before a worker that was started again is asked, which may be killed again."""
        if self.batches.allowed(tokens := self.session.batch_tokens):
            self.say(f"{self.session.variant.name}: memory ran out, going on in batches of at most {tokens:,} tokens")

    def _answers(self, worker: Worker, position: int) -> Answers:
        name = state_file(position)
        flat = _flat(self.plan, position)
        if flat and self.check_states is not None:
            self.check_states(name)
        return ask_worker(
            worker,
            self.plan,
            flat,
            states_out=str(self.states_out / name) if self.states_out is not None else None,
            states_in=str(self.states_in / name) if self.states_in is not None else None,
        )


def ask_worker(
    worker: Worker,
    plan: TaskPlan,
    flat: Sequence[Request],
    *,
    states_out: str | None = None,
    states_in: str | None = None,
) -> Answers:
    """The answers to requests of a task, in their order. Raises `WorkerError` for fewer or more than were requested."""
    answers: Answers
    if not flat:
        answers = []
    elif plan.kind == "choice":
        answers = worker.score([request for request in flat if isinstance(request, ScoreRequest)])
    elif plan.kind == "generate":
        answers = worker.generate([request for request in flat if isinstance(request, GenerateRequest)])
    else:
        windows = [request for request in flat if isinstance(request, Window)]
        answers = worker.score_windows(windows, states_out=states_out, states_in=states_in)
    if len(answers) != len(flat):
        raise WorkerError(f"{plan.name}: asked {len(flat)} requests, got {len(answers)} answers")
    return answers


def scored(plan: TaskPlan, indices: Sequence[int], answers: Answers) -> list[ItemRecord]:
    """The records of some items of a plan from the answers to their requests, in order."""
    records, cursor = [], 0
    for index in indices:
        count = len(plan.requests[index])
        records.append(plan.score(index, tuple(answers[cursor : cursor + count])))
        cursor += count
    return records


def _flat(plan: TaskPlan, position: int) -> list[Request]:
    """The requests of one chunk."""
    return [request for index in plan.chunks[position] for request in plan.requests[index]]
