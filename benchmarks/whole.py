"""A whole `quantgate run` beside lm-eval twice, what a second candidate adds, and what divergence and the harness cost.

    python benchmarks/whole.py [--share 0.3] [--rounds 2] [--only whole|second|divergence|harness]

Both sides start as fresh processes: imports, loading, tokenising, scoring, results on disk. lm-eval runs once per
model, at the batch sizes that bench.py found best, and a script compares its samples; quantgate's time holds
the verdict and the report. The answers of both are compared item by item. Writes benchmarks/whole.json and its part
of RESULTS.md.
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
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import DATA, MODEL, ROOT, ROWS, WHOLE, equality, write_page
from side import Model, OurSide, engine_side, lm_eval_side, our_result, our_side, plain_side
from workloads import Workload, workloads

BATCH = 16
"""lm-eval's batch size in workloads that bench.py has not measured."""
RATIOS = {
    "lm-eval twice / quantgate run of two variants": ("lm-eval", "quantgate"),
    "a second candidate / a run of that candidate": ("second candidate", "candidate alone"),
    "divergence / plain pass of the variant": ("divergence", "plain pass"),
    "bytes of logits / bytes stored": ("bytes of 16-bit logits", "bytes of states"),
}


def peer(dtype: str, out: str, *files: str) -> None:
    """lm-eval on every workload, its samples to `out`: what the child process of the peer's side does."""
    found = {}
    for file in files:
        workload = json.loads(Path(file).read_text())
        side = lm_eval_side(Model(path=str(MODEL), device="cpu", dtype=dtype), workload)
        found[workload["name"]] = side({"batch": best_batch(workload["title"])})
    Path(out).write_text(json.dumps(found))


def peer_comparison(one: str, other: str) -> None:
    """How often lm-eval's two runs answer the same: the comparison script that its users write."""
    full, quantized = (json.loads(Path(file).read_text()) for file in (one, other))
    for task, answers in full.items():
        same = sum(chosen(a) == chosen(b) for a, b in zip(answers, quantized[task], strict=True))
        print(f"{task}: {same} of {len(answers)} answers are the same")


def chosen(answer: Any) -> Any:
    """The option picked, the text, or a perplexity's log-likelihood."""
    return answer.index(max(answer)) if isinstance(answer, list) else answer


def best_batch(title: str) -> int:
    """As bench.py found it for float32."""
    for row in json.loads(ROWS.read_text()) if ROWS.exists() else ():
        if row["workload"] == title and row["peer"] == "lm-eval" and row["dtype"] == "float32":
            return int(row["setting"].split()[-1])
    return BATCH


def run(command: list[str], log: Path, *codes: int) -> float:
    """Wall-clock seconds of a command that ends with 0 or one of `codes`."""
    started = time.perf_counter()
    with log.open("a") as sink:
        done = subprocess.run(
            command, stdout=sink, stderr=sink, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
    if done.returncode not in (0, *codes):
        raise SystemExit(f"{' '.join(command)} ended with status {done.returncode}:\n{log.read_text()[-2000:]}")
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
    path = folder / f"{'-'.join(('suite', *candidates))}.yaml"
    path.write_text(json.dumps({"suite": "whole", "model": str(MODEL), "variants": variants, "tasks": tasks}))
    return path


def whole(made: dict[str, Workload], folder: Path, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds a round of both sides, in turns; and how alike both answer."""
    found: dict[str, list[float]] = {"lm-eval": [], "quantgate": []}
    same: dict[str, str] = {}
    for number in range(rounds):
        place = folder / f"round{number}"
        place.mkdir()
        sides: dict[str, Callable[[dict[str, Workload], Path], float]]
        sides = {"quantgate": quantgate_run, "lm-eval": lm_eval_twice}
        for name in sides if number % 2 == 0 else reversed(sides):
            found[name].append(sides[name](made, place))
        same = same or likeness(made, place)
    return found, same


def second(made: dict[str, Workload], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds a round of adding a candidate to a suite that was run, and of a run of that candidate alone."""
    found: dict[str, list[float]] = {"second candidate": [], "candidate alone": []}
    for number in range(rounds):
        place = folder / f"second{number}"
        place.mkdir()
        quantgate_run(made, place)
        more = [*quantgate(place, "results"), str(suite(made, place, "nf4", "int8"))]
        found["second candidate"].append(run(more, place / "log", 10, 11))
        is_idle = quantgate(place, "alone")
        run([*is_idle, str(suite(made, place))], place / "log", 10, 11)
        found["candidate alone"].append(run([*is_idle, str(suite(made, place, "int8"))], place / "log", 10, 11))
    return found


def quantgate(place: Path, results: str) -> list[str]:
    command = [sys.executable, "-m", "harness", "run", "--results", str(place / results)]
    return [*command, "--reports", str(place / "reports"), "--offline"]


def quantgate_run(made: dict[str, Workload], place: Path) -> float:
    return run([*quantgate(place, "results"), str(suite(made, place, "nf4"))], place / "log", 10, 11)


def lm_eval_twice(made: dict[str, Workload], place: Path) -> float:
    files = []
    for workload in made.values():
        files.append(str(place / f"{workload.name}.peer.json"))
        Path(files[-1]).write_text(json.dumps(asdict(workload)))
    outs = {dtype: str(place / f"lm-eval.{dtype}.json") for dtype in ("float32", "nf4")}
    seconds = sum(
        run([sys.executable, __file__, "--peer", dtype, out, *files], place / "log") for dtype, out in outs.items()
    )
    return seconds + run([sys.executable, __file__, "--peer-comparison", *outs.values()], place / "log")


def likeness(made: dict[str, Workload], place: Path) -> dict[str, str]:
    """Both sides' answers item by item, as a sentence for each workload and model."""
    from harness.api import find
    from harness.records.store import Store

    store = Store(place / "results")
    manifest = find("whole", results=place / "results")
    found = {}
    for variant, dtype in (("base", "float32"), ("nf4", "nf4")):
        model = Model(path=str(MODEL), device="cpu", dtype=dtype)
        theirs = json.loads((place / f"lm-eval.{dtype}.json").read_text())
        for name, workload in made.items():
            by_id = {item.item: item for item in store.items(manifest.variants[variant].evaluations[name])}
            planned = OurSide(model, asdict(workload), place).plan(None).items
            ours = [our_result(by_id[item.item]) for item in planned]
            found[f"{workload.title}, {dtype}"] = equality(ours, theirs[name])
    return found


def divergence(made: dict[str, Workload], folder: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds a round, in turns, of nf4's perplexity, divergence and agreement and of a plain pass; and bytes."""
    from harness.worker.client import Worker

    workload = asdict(made["perplexity"])
    place = folder / "states"
    place.mkdir()
    models = {dtype: Model(path=str(MODEL), device="cpu", dtype=dtype) for dtype in ("float32", "nf4")}
    sides = {dtype: OurSide(model, workload, folder) for dtype, model in models.items()}
    plan = sides["float32"].plan(None)
    chunks = [[window for index in chunk for window in plan.requests[index]] for chunk in plan.chunks]
    states = [str(place / f"{number:06d}.npy") for number in range(len(chunks))]
    with Worker("float32", log=folder / "float32.log") as worker:
        worker.load(sides["float32"].variant.load)
        for file, chunk in zip(states, chunks, strict=True):
            worker.score_windows(chunk, states_out=file)
    loop = plain_side(models["nf4"], workload)
    loop({"items": 1})
    seconds: dict[str, list[float]] = {"divergence": [], "plain pass": []}
    with Worker("nf4", log=folder / "nf4.log") as worker:
        worker.load(sides["nf4"].variant.load)
        worker.score_windows(chunks[-1], states_in=states[-1])
        for _ in range(rounds):
            started = time.perf_counter()
            for file, chunk in zip(states, chunks, strict=True):
                worker.score_windows(chunk, states_in=file)
            seconds["divergence"].append(time.perf_counter() - started)
            request: dict[str, Any] = {}
            loop(request)
            seconds["plain pass"].append(request["wall"])
    positions = sum(len(window.tokens) - window.scored_from for chunk in chunks for window in chunk)
    stored = sum(file.stat().st_size for file in place.glob("0*.npy"))
    return {**seconds, "bytes of states": [float(stored)], "bytes of 16-bit logits": [float(positions * 49_152 * 2)]}


def harness(made: dict[str, Workload], rounds: int, share: float) -> list[str]:
    """What is done around the engine, beside the bare engine's loop over the same batches.

    The whole way, from the text to the stored records and through the worker's pipes, with an engine that answers from
    a hash, less what that takes by itself: the difference of two long times would drown in the machine's noise.
    """
    text = []
    for workload in made.values():
        model, asked = Model(path=str(MODEL), device="cpu", dtype="float32"), asdict(workload)
        sides = {
            "whole": our_side(model, asked, at_once=True),
            "hash": engine_side(model, asked, at_once=True),
            "engine": engine_side(model, asked),
        }
        for side in sides.values():
            side({"items": 2})
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                request: dict[str, Any] = {}
                side(request)
                found[name].append(request["wall"])
        around = [one - other for one, other in zip(found["whole"], found["hash"], strict=True)]
        shares = sorted(one / other for one, other in zip(around, found["engine"], strict=True))
        seconds = f"{statistics.median(around):.2f} s beside {statistics.median(found['engine']):.1f} s"
        text.append(
            f"- around the engine, {workload.title}: **{statistics.median(shares):.1%}** of the bare engine's time "
            f"({shares[0]:.1%} – {shares[-1]:.1%} in {rounds} rounds); {seconds}; {share:.0%} of the items"
        )
    return text


def lines(found: dict[str, list[float]], same: dict[str, str], share: float) -> list[str]:
    """The page's part: a line a ratio, then how alike both sides answered."""
    text = []
    for title, (above, below) in RATIOS.items():
        if above in found:
            ratios = sorted(one / other for one, other in zip(found[above], found[below], strict=True))
            spread = f" ({ratios[0]:.2f} – {ratios[-1]:.2f} in {len(ratios)} rounds)" if len(ratios) > 1 else ""
            seconds = (
                f"{statistics.median(found[above]):,.1f} s against {statistics.median(found[below]):,.1f} s; "
                if "bytes" not in above
                else ""
            )
            text.append(f"- {title}: **{statistics.median(ratios):.2f}**{spread}; {seconds}{share:.0%} of the items")
    return [*text, *(f"- quantgate beside lm-eval, {name}: {words}" for name, words in same.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--share", type=float, default=0.3, help="of the items")
    parser.add_argument("--only", choices=("whole", "second", "divergence", "harness"), help="one measurement")
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    stored: dict[str, list[str]] = json.loads(WHOLE.read_text()) if WHOLE.exists() else {}
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        made = workloads(asked.data, Path(place), asked.share)
        if asked.only in (None, "divergence"):
            stored["divergence"] = lines(divergence(made, Path(place), asked.rounds), {}, asked.share)
        if asked.only in (None, "harness"):
            stored["harness"] = harness(made, asked.rounds, asked.share)
        if asked.only in (None, "second"):
            stored["second"] = lines(second(made, Path(place), asked.rounds), {}, asked.share)
        if asked.only in (None, "whole"):
            stored["whole"] = lines(*whole(made, Path(place), asked.rounds), asked.share)
    WHOLE.write_text(json.dumps(stored, indent=1) + "\n")
    write_page()
    print("\n".join(line for part in stored.values() for line in part))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--peer", dtype, out, *files]:
            peer(dtype, out, *files)
        case ["--peer-comparison", one, other]:
            peer_comparison(one, other)
        case _:
            main()
