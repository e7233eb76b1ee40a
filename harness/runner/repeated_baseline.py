"""The baseline asked a second time, in other batches. A stored evaluation like others: done once, resumed, reused."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.engines.protocol import Window
from harness.errors import EngineError, RecordError, WorkerError
from harness.planning.identity import evaluation_key
from harness.planning.second_pass import SecondPass, second_pass
from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import Host
from harness.records.state_chunks import Rows, gather_states, state_file
from harness.records.store import Store
from harness.runner.evaluate import evaluate
from harness.runner.evaluation_keys import Keys
from harness.runner.progress import Reporter
from harness.runner.session import Session
from harness.suite.models import NoiseFloor

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class SecondPasses:
    """Task to the evaluation of its second pass, and why there are not more of them."""

    keys: Mapping[str, str]
    failure: str | None = None


def second_passes(
    session: Session,
    plans: Sequence[TaskPlan],
    first: Mapping[str, str],
    noise: NoiseFloor,
    seed: int,
    keys: Keys,
    store: Store,
    host: Host,
    reporter: Reporter,
) -> SecondPasses:
    """Ask the baseline again what is missing. `first`: task to its evaluation of the first pass.

    A baseline that was asked everything once is a baseline: what fails here is said and stops no run.
    """
    found: dict[str, str] = {}
    try:
        for plan in plans:
            again = second_pass(plan, noise, seed)
            if again is not None:
                found[plan.name] = _evaluation(session, plan, again, first[plan.name], keys, store, host, reporter)
    except (EngineError, WorkerError, RecordError) as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM:
            raise  # a full disk stops the run, as anywhere
        store.check_writable(0)
        reporter.say(f"the noise floor could not be measured: {error}")
        return SecondPasses(keys=found, failure=str(error))
    return SecondPasses(keys=found)


def _evaluation(
    session: Session,
    plan: TaskPlan,
    again: SecondPass,
    first: str,
    keys: Keys,
    store: Store,
    host: Host,
    reporter: Reporter,
) -> str:
    """Key of the second pass over one task, computed now when it is missing."""
    baseline = first if plan.divergence else None
    identity = keys.identity(session.variant, again, baseline)
    key = evaluation_key(identity)
    store.save_plan(again.hash, again.items)
    if store.evaluation(key) is None:
        states = store.evaluation_folder(key) / "states"
        if baseline is not None:
            rows = list(_rows(plan, again))
            store.check_head(baseline)
            for chunk in sorted({each.chunk for batch in rows for each in batch}):
                store.check_states(baseline, state_file(chunk))
            gather_states(store.evaluation_folder(baseline) / "states", states, rows)
        reporter.say(f"{session.variant.name} · {plan.name}: {len(again.items)} items again, for the noise floor")
        keys.begin(identity)
        evaluate(session, again, store, host, reporter, identity, keep_states=False, states=states)
    shutil.rmtree(store.evaluation_folder(key) / "states", ignore_errors=True)  # gathered for this pass only
    return key


def _rows(plan: TaskPlan, again: SecondPass) -> Iterator[tuple[Rows, ...]]:
    """Where the first pass keeps the states of each chunk of the second."""
    where: dict[int, Rows] = {}
    for number, chunk in enumerate(plan.chunks):
        ends = list(accumulate(_positions(plan, index) for index in chunk))
        for index, start, end in zip(chunk, [0, *ends], ends, strict=False):
            where[index] = Rows(chunk=number, start=start, end=end)
    for batch in again.batches:
        yield tuple(where[again.chosen[place]] for place in batch)


def _positions(plan: TaskPlan, index: int) -> int:
    """Scored positions of a document."""
    windows = (request for request in plan.requests[index] if isinstance(request, Window))
    return sum(len(window.tokens) - window.scored_from for window in windows)
