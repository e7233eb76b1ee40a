"""What a process used, from the operating system and the driver. A figure that is not available is None."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
VMSTAT = Path("/proc/vmstat")


def process_peak_bytes() -> int | None:
    """Peak resident memory of this process since `reset_process_peak`, or since its start where it has no reset."""
    if _STATUS.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_process_peak() -> None:
    """Reset the peak. Linux only, and not in every container; elsewhere the peak includes loading."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return


def memory_kills(vmstat: Path = VMSTAT) -> int | None:
    """Processes that the kernel has killed for memory since it started, those of containers included; None where it
    does not count them (Linux before 4.13, other systems)."""
    try:
        found = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found is not None else None


def device_process_bytes() -> int | None:
    """VRAM the NVIDIA driver counts for this process over all GPUs; None without NVML or where it does not say."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        total, seen = 0, False
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == os.getpid() and process.usedGpuMemory is not None:
                    total, seen = total + int(process.usedGpuMemory), True
        return total if seen else None
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
