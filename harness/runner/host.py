"""The machine a figure was measured on."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
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
