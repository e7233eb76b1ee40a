"""A whole `quantgate run` beside lm-eval twice, what a second candidate adds, and what divergence costs.

    python benchmarks/whole.py [--share 0.3] [--only whole|divergence] [--json FILE]

Both sides start as fresh processes: imports, loading, tokenising, scoring, results on disk. lm-eval runs once per
model at a batch size of 16 and its samples are compared with pandas; quantgate's time holds the verdict and the report.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import DATA, MODEL, ROOT
from workloads import Workload, workloads

BATCH = 16
"""lm-eval's best batch size, or within a tenth of it, in every workload of bench.py."""

RATIOS = {
    "lm-eval twice / quantgate run of two variants": ("lm-eval", "quantgate"),
    "a second candidate / a run of that candidate": ("second candidate", "candidate alone"),
    "divergence / plain pass of the variant": ("divergence", "plain pass"),
    "bytes of logits / bytes stored": ("bytes of 16-bit logits", "bytes of states"),
}


def peer(dtype: str, out: str, *files: str) -> None:
    """lm-eval on every workload, its samples to `out`: what the child process of the peer's side does."""
    from side import lm_eval_side

    found = {}
    for file in files:
        workload = json.loads(Path(file).read_text())
        found[workload["name"]] = lm_eval_side(str(MODEL), dtype, workload)({"batch": BATCH})
    Path(out).write_text(json.dumps(found))


def run(command: list[str], log: Path, *codes: int) -> float:
    """Wall-clock seconds of a command that ends with one of `codes`."""
    started = time.perf_counter()
    with log.open("a") as sink:
        done = subprocess.run(
            command, stdout=sink, stderr=sink, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
    if done.returncode not in (0, *codes):
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}; see {log}")
    return time.perf_counter() - started


def suite(made: dict[str, Workload], folder: Path, *candidates: str) -> Path:
    """A suite of every workload without divergence, which lm-eval does not have."""
    blocks: dict[str, Any] = {
        "nf4": {"quantize": {"method": "bitsandbytes", "bits": 4, "type": "nf4"}},
        "int8": {"quantize": {"method": "bitsandbytes", "bits": 8}},
    }
    tasks = {name: dict(workload.ours) for name, workload in made.items()}
    tasks["perplexity"] = {"perplexity": {**tasks["perplexity"]["perplexity"], "divergence": False}}
    variants: dict[str, Any] = {"base": {"baseline": True, "dtype": "float32"}}
    variants.update({name: {"dtype": "float32", **blocks[name]} for name in candidates})
    path = folder / "suite.yaml"
    path.write_text(json.dumps({"suite": "whole", "model": str(MODEL), "variants": variants, "tasks": tasks}))
    return path


def whole(made: dict[str, Workload], folder: Path) -> dict[str, float]:
    """Seconds of both sides, and of adding a candidate to what is there."""
    log = folder / "whole.log"
    quantgate = [sys.executable, "-m", "harness", "run"]
    places = ["--results", str(folder / "results"), "--reports", str(folder / "reports"), "--offline"]
    ours = run([*quantgate, str(suite(made, folder, "nf4")), *places], log, 10, 11)
    more = run([*quantgate, str(suite(made, folder, "nf4", "int8")), *places], log, 10, 11)
    alone = [*places[:1], str(folder / "alone"), *places[2:]]
    run([*quantgate, str(suite(made, folder)), *alone], log, 10, 11)
    own = run([*quantgate, str(suite(made, folder, "int8")), *alone], log, 10, 11)
    files = []
    for workload in made.values():
        files.append(str(folder / f"{workload.name}.peer.json"))
        Path(files[-1]).write_text(json.dumps(asdict(workload)))
    child = [sys.executable, __file__, "--peer"]
    theirs = sum(run([*child, dtype, str(folder / dtype), *files], log) for dtype in ("float32", "nf4"))
    return {"quantgate": ours, "lm-eval": theirs, "second candidate": more, "candidate alone": own}


def divergence(made: dict[str, Workload], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds a round, in turns, of nf4's perplexity, divergence and agreement and of a plain pass; and bytes."""
    from side import OurSide, plain_side

    from harness.worker.client import Worker

    workload = asdict(made["perplexity"])
    place = folder / "states"
    place.mkdir()
    sides = {dtype: OurSide(str(MODEL), dtype, workload, folder) for dtype in ("float32", "nf4")}
    plan = sides["float32"].plan(None)
    chunks = [[window for index in chunk for window in plan.requests[index]] for chunk in plan.chunks]
    states = [str(place / f"{number:06d}.npy") for number in range(len(chunks))]
    with Worker("float32", log=folder / "float32.log") as worker:
        worker.load(sides["float32"].variant.load)
        for file, chunk in zip(states, chunks, strict=True):
            worker.roll(chunk, states_out=file)
    loop = plain_side(str(MODEL), "nf4", workload)
    loop({"items": 1})
    seconds: dict[str, list[float]] = {"divergence": [], "plain pass": []}
    with Worker("nf4", log=folder / "nf4.log") as worker:
        worker.load(sides["nf4"].variant.load)
        worker.roll(chunks[-1], states_in=states[-1])
        for _ in range(rounds):
            started = time.perf_counter()
            for file, chunk in zip(states, chunks, strict=True):
                worker.roll(chunk, states_in=file)
            seconds["divergence"].append(time.perf_counter() - started)
            request: dict[str, Any] = {}
            loop(request)
            seconds["plain pass"].append(request["wall"])
    positions = sum(len(window.tokens) - window.scored_from for chunk in chunks for window in chunk)
    stored = sum(file.stat().st_size for file in place.glob("0*.npy"))
    return {**seconds, "bytes of states": [float(stored)], "bytes of 16-bit logits": [float(positions * 49_152 * 2)]}


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--share", type=float, default=0.3, help="of the items")
    parser.add_argument("--only", choices=("whole", "divergence"), help="one of the two measurements")
    parser.add_argument("--rounds", type=int, default=5, help="of divergence and a plain pass, in turns")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        made = workloads(asked.data, Path(place), asked.share)
        if asked.only != "divergence":
            found |= {name: [seconds] for name, seconds in whole(made, Path(place)).items()}
        if asked.only != "whole":
            found |= divergence(made, Path(place), asked.rounds)
    for title, (above, below) in RATIOS.items():
        if above in found:
            ratios = sorted(one / other for one, other in zip(found[above], found[below], strict=True))
            spread = f" ({ratios[0]:.2f} - {ratios[-1]:.2f})" if len(ratios) > 1 else ""
            print(f"{title}: {statistics.median(ratios):.2f}{spread}")
    for name, values in found.items():
        print(f"  {name}: {', '.join(f'{value:,.1f}' for value in values)}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
