"""The baseline's second pass, in other batches. A stored evaluation like others: computed once, resumed, reused."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from harness.engines.protocol import Window
from harness.errors import EngineError, RecordError, WorkerError
from harness.planning.identity import evaluation_key
from harness.planning.second_pass import SecondPass, second_pass
from harness.planning.task_plan import TaskPlan
from harness.records.state_chunks import Rows, gather_states, state_file
from harness.runner.evaluate import evaluate
from harness.runner.run_setting import RunSetting
from harness.runner.session import Session
from harness.suite.models import NoiseFloor

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, kw_only=True)
class SecondPasses:
    """Task to the evaluation of its second pass, and why there are not more of them."""

    keys: Mapping[str, str]
    failure: str | None = None


def second_passes(run: RunSetting, session: Session, first: Mapping[str, str], noise: NoiseFloor) -> SecondPasses:
    """Compute the missing parts of the second pass. `first`: task to its evaluation of the first pass. A failure here
    is reported and does not stop the run: one complete pass is enough for a baseline.
    """
    found: dict[str, str] = {}
    try:
        for plan in run.plans:
            again = second_pass(plan, noise, run.suite.seed)
            if again is not None:
                found[plan.name] = _evaluation(run, session, plan, again, first[plan.name])
    except (EngineError, WorkerError, RecordError) as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_ROOM:
            raise  # a full disk stops the run, as anywhere
        run.store.check_writable(0)
        run.reporter.say(f"the noise floor could not be measured: {error}")
        return SecondPasses(keys=found, failure=str(error))
    return SecondPasses(keys=found)


def _evaluation(run: RunSetting, session: Session, plan: TaskPlan, again: SecondPass, first: str) -> str:
    """Key of the second pass over one task, computed now when it is missing."""
    store, baseline = run.store, first if plan.divergence else None
    identity = run.keys.identity(session.variant, again, baseline)
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
        run.reporter.say(f"{session.variant.name} · {plan.name}: {len(again.items)} items again, for the noise floor")
        run.keys.begin(identity)
        evaluate(run, session, again, identity, keep_states=False, states=states)
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
