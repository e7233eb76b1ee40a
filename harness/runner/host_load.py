"""Whether other processes keep this machine's processors busy, which decides how a worker's threads wait for each
other.

Threads that spin a moment before they sleep, as OpenMP's do by default, score a quarter faster on idle processors;
beside one busy process they are 1.6 times slower than threads that sleep at once (benchmarks/NOTES.md).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

BUSY = 0.25
"""Load by other processes, in processors, from which the host counts as busy."""
SHORTEST_S = 0.3
"""Seconds of observation that suffice: the system counts in hundredths."""
QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""What a container may use, on Linux: microseconds of processor time, or `max`, in a period of microseconds."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Seconds of processor time up to a moment: of the whole machine, and of this process with the ones it ended."""

    at: float
    everyone: float
    own: float

    @classmethod
    def now(cls) -> Usage:
        times = psutil.cpu_times()
        busy = (
            times.user + times.system + sum(getattr(times, name, 0.0) for name in ("nice", "irq", "softirq", "steal"))
        )
        return cls(at=time.monotonic(), everyone=busy, own=sum(os.times()[:4]))

    @classmethod
    def later(cls, before: Usage) -> Usage:
        """Now, `SHORTEST_S` after another at the earliest: waits for what is left of that."""
        time.sleep(max(0.0, before.at + SHORTEST_S - time.monotonic()))
        return cls.now()


def others(before: Usage, after: Usage) -> float:
    """Processors that others kept busy on average between two moments."""
    return (after.everyone - before.everyone - (after.own - before.own)) / (after.at - before.at)


def is_idle(before: Usage, after: Usage, *, quota: Path = QUOTA) -> bool:
    """Whether next to nobody else worked between two moments, and every processor is ours to use."""
    return not limited(quota) and others(before, after) < BUSY


def limited(quota: Path) -> bool:
    """Whether a container has less processor time than its processors give: threads that spin would use it up."""
    try:
        allowed, period = quota.read_text().split()
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return allowed != "max" and int(allowed) < processors * int(period)
    except (OSError, ValueError):
        return False
