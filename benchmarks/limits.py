"""How far one run goes: many variants in one suite, and many items under a memory limit, both on the scripted engine.

The engine answers from a hash, so that time and memory are quantgate's own: planning, workers, storing, judging and the
report. Each run is the real command line in a process of its own.

    python benchmarks/limits.py variants [--count 200] [--items 200]
    python benchmarks/limits.py items [--count 100000] [--gib 1.5]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
VERDICTS = (0, 10, 11, 12)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One command line, from start to exit."""

    code: int
    seconds: float
    cpu_s: float
    """Of it and the workers it waited for."""
    peak_bytes: int
    """Resident memory of the largest of these processes."""


def write_suite(folder: Path, *, variants: int, items: int) -> Path:
    """A choice and a small perplexity task; every candidate moves some more of the answers than the one before it."""
    source = random.Random(0)
    with (folder / "ask.jsonl").open("w") as stream:
        for number in range(items):
            question = f"Question {number}: does order {source.randrange(10**9)} come?"
            row = {"id": f"q{number}", "q": question, "a": source.choice(("yes", "no")), "topic": "ab"[number % 2]}
            stream.write(json.dumps(row) + "\n")
    texts = [json.dumps({"id": f"d{number}", "text": f"Document {number} says so. " * 8}) for number in range(20)]
    (folder / "read.jsonl").write_text("\n".join(texts) + "\n")
    candidates: dict[str, object] = {
        f"v{number:03d}": {
            "engine": "scripted",
            "quantized": True,
            "script": {"quantized_modules": 12, "noise": 0.01 + 0.0005 * number, "shift": 0.001, "digest": f"{number}"},
        }
        for number in range(variants)
    }
    ask = {"data": "ask.jsonl", "prompt": "{{q}}", "choices": ["yes", "no"], "answer": "{{a}}"}
    suite = {
        "suite": "limits",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True, "script": {}}, **candidates},
        "tasks": {
            "ask": {"choice": ask, "id": "id", "slice_by": ["topic"]},
            "read": {"perplexity": {"data": "read.jsonl", "window": 64}, "id": "id"},
        },
        "gates": [
            {"task": "ask", "metric": "acc", "max_drop": 0.02},
            {"task": "read", "metric": "perplexity", "max_increase": "2%"},
        ],
    }
    path = folder / "suite.yaml"
    path.write_text(json.dumps(suite))  # JSON is YAML
    return path


def ran(*arguments: str, limit_bytes: int | None = None) -> Ran:
    """`quantgate ARGUMENTS`; `limit_bytes`: of memory that a process may ask for, it and each of its workers."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "harness", *arguments]
    few = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")  # every thread's stack counts as memory
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **few})
    if limit_bytes is not None:
        resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit_bytes, limit_bytes))  # Linux only
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return Ran(
        code=process.returncode,
        seconds=time.perf_counter() - began,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=usage.ru_maxrss * unit,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("variants", "items"))
    parser.add_argument("--count", type=int, help="how many of them (200 variants, 100,000 items)")
    parser.add_argument("--items", type=int, default=200, help="items of each of many variants")
    parser.add_argument("--gib", type=float, help="of memory that each process may ask for")
    asked = parser.parse_args()
    many = asked.what == "variants"
    count = asked.count or (200 if many else 100_000)
    limit_bytes = int(asked.gib * GIB) if asked.gib else None
    with tempfile.TemporaryDirectory(prefix="quantgate-limits-") as name:
        folder = Path(name)
        suite = write_suite(folder, variants=count if many else 1, items=asked.items if many else count)
        results, reports = ("--results", str(folder / "results")), ("--reports", str(folder / "reports"))
        commands = (
            ("run", str(suite), "--offline", "--memory-budget", "256MiB", *results, *reports),
            ("compare", "latest", *results),
            ("gate", "latest", *results, *reports),
            ("report", "latest", *results, *reports),
        )
        for command in commands:
            one = ran(*command, limit_bytes=limit_bytes)
            print(
                f"{command[0]:8}  exit {one.code:3}  {one.seconds:7.1f} s  {one.cpu_s:7.1f} s of cores  "
                f"{one.peak_bytes / 1e6:6.0f} MB",
                flush=True,
            )
            if one.code not in VERDICTS:
                raise SystemExit(f"quantgate {command[0]} ended with exit code {one.code}")
        for page in sorted(folder.rglob("report.html")):
            print(f"{page.name}  {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
