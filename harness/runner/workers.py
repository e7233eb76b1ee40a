"""The worker processes of one run: where they log, how long they may be silent, how their threads wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from harness.engines.registry import ENGINES
from harness.runner.session import Session
from harness.runner.variants import RunVariant
from harness.worker.client import HANG_S, LIMIT_S, Worker


class Workers:
    """Starts workers. `logs`: their folder; `say`: for failures;
    `stuck_after`: seconds without an answer after which a worker is started again, None for the defaults; `is_idle`:
    whether this machine's processors are free, which is asked once.
    """

    def __init__(
        self, logs: Path, say: Callable[[str], None], *, stuck_after: float | None, is_idle: Callable[[], bool]
    ) -> None:
        self._logs, self._say = logs, say
        self._stuck_after, self._is_idle = stuck_after, is_idle

    def session(self, variant: RunVariant) -> Session:
        """A session that scores; nothing is started yet."""
        return Session(
            variant,
            lambda: self.scoring(variant),
            self._say,
            stuck_after=self._stuck_after,
        )

    def scoring(self, variant: RunVariant) -> Worker:
        """A worker that scores. Its threads may spin."""
        return self._start(variant, self.log(variant), spins=self.spins(variant))

    def timing(self, variant: RunVariant) -> Worker:
        """A worker whose speed is measured. Its threads always sleep, so that runs compare whatever else the machine
        was doing."""
        return self._start(variant, self._logs / f"{variant.name}.speed.log")

    def log(self, variant: RunVariant) -> Path:
        """Where the worker that scores writes what libraries print."""
        return self._logs / f"{variant.name}.log"

    def log_name(self, variant: RunVariant) -> str | None:
        """That log in the run's folder; None where there is none yet."""
        log = self.log(variant)
        return str(log.relative_to(self._logs.parent)) if log.exists() else None

    def spins(self, variant: RunVariant) -> bool:
        """Whether the threads that score it spin while they wait."""
        own = ENGINES[variant.load.engine].spins and variant.load.device.partition(":")[0] == "cpu"
        return own and self._idle

    @cached_property
    def _idle(self) -> bool:
        """Determined once, before the first worker keeps processors busy itself."""
        return self._is_idle()

    def _start(self, variant: RunVariant, log: Path, *, spins: bool = False) -> Worker:
        return Worker(
            variant.name,
            log=log,
            interpreter=variant.runtime.interpreter,
            environment=variant.runtime.variables,
            hang_s=min(HANG_S, self._stuck_after or HANG_S),
            limit_s=self._stuck_after or LIMIT_S,
            spins=spins,
        )
