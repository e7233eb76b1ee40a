"""The machine a figure was measured on.

Whether other processes keep its processors busy decides how a worker's threads wait for each other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.records.evaluation_manifest import Host


def this_host() -> Host:
    """Facts of this machine. The fingerprint covers what changes speed: processor, cores, memory, accelerators."""
    processor = _processor()
    cores = psutil.cpu_count(logical=True) or 1
    memory = psutil.virtual_memory().total
    accelerators = tuple(_accelerators())
    facts = (platform.machine(), processor, cores, round(memory / 2**30), accelerators)
    return Host(
        fingerprint=hashlib.sha256(repr(facts).encode()).hexdigest()[:16],
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        processor=processor,
        cores=cores,
        memory_bytes=memory,
        accelerators=accelerators,
        python=sys.version.split()[0],
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return platform.processor() or "unknown"


def _accelerators() -> list[str]:
    """Names of the NVIDIA GPUs the driver shows; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [str(pynvml.nvmlDeviceGetName(handle)) for handle in handles]
    finally:
        pynvml.nvmlShutdown()


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
