"""A variant's worker across faults: started when first needed, and again when it dies or hangs.

A worker must have loaded the files that were hashed before, so that answers are stored under what gave them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from harness.checkpoints.contents import Content, Stamp, file_hash
from harness.checkpoints.opened_files import named_hash
from harness.engines.protocol import Facts
from harness.errors import EngineError, WorkerError, WorkerMemoryError
from harness.runner.variants import RunVariant
from harness.worker.batch_splitting import Sized, halved
from harness.worker.client import LIMIT_S, Worker

RESTARTS = 2
"""How often in a row a worker that died or hung is started again before the variant is given up."""
FEWEST_S = 600.0
"""The minimum time limit of a chunk, however fast the earlier ones were."""
TIMES_SLOWEST = 10.0
"""A chunk that takes so many times as long as the slowest before it counts as hung. The first is the longest."""
T = TypeVar("T")


def insist(attempt: Callable[[], T], *, forget: Callable[[], None], say: Callable[[str], None]) -> T:
    """The result of `attempt`. After a `WorkerError` the dead worker is dropped and the attempt repeated, at most
    `RESTARTS` times."""
    for _ in range(RESTARTS):
        try:
            return attempt()
        except WorkerError as error:
            say(f"{error}\nstarting the worker again")
            forget()
    return attempt()


def load(worker: Worker, variant: RunVariant) -> Facts:
    """Load a variant, and check its files against what was hashed. Raises `EngineError`, `WorkerError`."""
    facts = worker.load(variant.load)
    if variant.content is not None:
        check_loaded(variant.content, worker.opened())
    if variant.server and facts.server_digest != variant.server:
        raise EngineError("another model answers than when this run began; run again", about=variant.name)
    return facts


class Session:
    """A variant's worker. Relies on the store for its progress. `stuck_after`: seconds that any one operation may take;
    None derives it from earlier chunks.
    """

    def __init__(
        self,
        variant: RunVariant,
        start: Callable[[], Worker],
        say: Callable[[str], None],
        *,
        stuck_after: float | None = None,
    ) -> None:
        self.variant = variant
        self._start, self._say, self._stuck_after = start, say, stuck_after
        self._worker: Worker | None = None
        self._facts: Facts | None = None
        self._loading = False
        self.batch_tokens: int | None = None
        """Padded tokens of the largest batch, since a larger one did not fit."""
        self._told: int | None = None

    def ask(self, question: Callable[[Worker], T], batch: Sequence[Sized] = ()) -> T:
        """The answer of a live worker. Raises `WorkerError` when none lives long enough, `EngineError` when the engine
        refuses.

        `batch`: the requests in the question. Where the system kills the worker because memory ran out, they are
        repeated in batches of half the size, until each is alone; only then does it count as a death like others.
        """
        return insist(lambda: self._within_memory(question, batch), forget=self.close, say=self._say)

    def _within_memory(self, question: Callable[[Worker], T], batch: Sequence[Sized]) -> T:
        while True:
            worker = self._live()
            try:
                answer = question(worker)
            except WorkerMemoryError as error:
                smaller = halved(batch, self.batch_tokens)
                if smaller is None:
                    raise
                self.close()
                self.remember(smaller)
                self._say(f"{error}\nstarting the worker again")
                continue
            if batch:
                self._told = worker.batch_tokens()
                self.remember(self._told)
            return answer

    def remember(self, tokens: int | None) -> None:
        """Use batches of at most so many padded tokens from now on; None changes nothing."""
        if tokens is not None:
            self.batch_tokens = min(tokens, self.batch_tokens or tokens)

    def facts(self) -> Facts:
        if self._facts is None:
            self.ask(lambda worker: None)
        assert self._facts is not None
        return self._facts

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        return self.ask(lambda worker: worker.encode(texts, add_special_tokens=add_special_tokens))

    def limit_s(self, slowest_s: float | None) -> float:
        """Time limit of the next chunk of a task, from the slowest one so far."""
        if self._stuck_after is not None:
            return self._stuck_after
        return LIMIT_S if slowest_s is None else max(FEWEST_S, TIMES_SLOWEST * slowest_s)

    def begin(self, *, beside: bool = False) -> None:
        """Start loading, and come back at once. A failure is raised to the first caller that asks."""
        if self._worker is None:
            self._worker = self._start()
            self._loading = True
            try:
                self._worker.begin_load(replace(self.variant.load, beside=beside))
            except WorkerError:
                self.close()

    def settle(self) -> None:
        """Wait for a load that was begun, so that it disturbs no timing. A failure is raised to the next caller that
        asks."""
        if self._loading:
            with suppress(WorkerError, EngineError):
                self._live()

    @property
    def started(self) -> bool:
        """Whether a worker was loaded at least once, so that its facts are known."""
        return self._facts is not None

    def close(self) -> None:
        self._loading = False
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _live(self) -> Worker:
        if self._worker is None:
            self._worker = self._start()
            self._loading = True
        if self._loading:
            try:
                self._facts = load(self._worker, self.variant)
            except BaseException:
                self.close()
                raise
            self._loading, self._told = False, None
        if self.batch_tokens is not None and self.batch_tokens != self._told:
            self._worker.limit_batches(self.batch_tokens)
            self._told = self.batch_tokens
        return self._worker


def check_loaded(content: Content, opened: Sequence[Stamp]) -> None:
    """`content`: what was hashed; `opened`: the files as the worker found them once it had loaded them.

    A file that was only touched is hashed again. Raises `EngineError` naming the file that is another one, is gone or
    has come, unless a hub's commit vouches for what has come.
    """
    now = {each.path: each for each in opened}
    for before in content.stamps:
        found = now.pop(before.path, None)
        if found is None or (found != before and file_hash(Path(before.path)) != content.hashes[before.path]):
            raise _other(before.path, "changed between hashing and loading")
    for path in now:
        if named_hash(Path(path)) is None:
            raise _other(path, "came between hashing and loading")


def _other(path: str, what: str) -> EngineError:
    return EngineError(f"{path}: {what}, so that nobody can say what was loaded; run again when nothing writes there")
