"""The worker processes of one run: where they log, how long they may be silent, how their threads wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from harness.engines.registry import ENGINES
from harness.runner.host_load import Usage, is_idle
from harness.runner.session import Session
from harness.runner.variants import RunVariant
from harness.worker.client import HANG_S, LIMIT_S, Worker


class Workers:
    """Starts workers. `logs`: their folder; `say`: for what goes wrong;
    `stuck_after`: seconds without an answer after which a worker is started again, None for the defaults; `since`: from
    when on it counts whether others work on this machine.
    """

    def __init__(self, logs: Path, say: Callable[[str], None], *, stuck_after: float | None, since: Usage) -> None:
        self._logs, self._say = logs, say
        self._stuck_after, self._since = stuck_after, since

    def session(self, variant: RunVariant) -> Session:
        """A session that scores; nothing is started yet."""
        return Session(
            variant,
            lambda: self._start(variant, self.log(variant), spins=self.spins(variant)),
            self._say,
            stuck_after=self._stuck_after,
        )

    def timing(self, variant: RunVariant) -> Worker:
        """A worker whose speed is measured. Its threads always sleep, so that runs compare whoever else was at work."""
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
        return own and self._alone

    @cached_property
    def _alone(self) -> bool:
        """Found out once, before the first worker is company itself."""
        return is_idle(self._since)

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
