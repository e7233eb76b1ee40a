"""quantgate beside lm-eval on the same items: both in one run, in turns, as ratios, and whether they say the same.

    make bench                                        # everything, about an hour on two cores
    python benchmarks/bench.py --only choice --share 0.2 --rounds 1

Writes benchmarks/RESULTS.md and results.json; what is not measured this time stays in them. A ratio is the peer's time
over ours in the same round, so above 1 is faster; its spread is the smallest and largest round. lm-eval runs at the
best of its batch sizes, found on a part of the items.
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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workloads import Workload, workloads

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
DATA = ROOT.parent / "shared" / "data"
RESULTS, ROWS = ROOT / "benchmarks" / "RESULTS.md", ROOT / "benchmarks" / "results.json"
WHOLE = ROOT / "benchmarks" / "whole.json"
"""Lines that whole.py measured."""
EQUAL_NATS = 1e-3
MATRIX = 2048
"""Edge of the square matrices whose product gives the machine's float32 rate."""


class Side:
    """A process that runs one workload when asked."""

    def __init__(self, kind: str, asked: argparse.Namespace, dtype: str, workload: Workload, folder: Path) -> None:
        file = folder / f"{workload.name}.json"
        file.write_text(json.dumps(asdict(workload)))
        command = [sys.executable, str(ROOT / "benchmarks" / "side.py"), kind]
        command += [str(asked.model), asked.device, dtype, str(file)]
        self._log = (folder / f"{workload.name}.{dtype}.{kind}.log").open("w")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.kind = kind
        self._answer()

    def run(self, **request: Any) -> dict[str, Any]:
        """`wall` and `cpu` seconds, and the results by item."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.kind} ended with status {self._process.wait()}; see {self._log.name}")
        return dict(json.loads(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    workload: str
    dtype: str
    peer: str
    setting: str
    items: int
    ours_s: float
    peer_s: float
    ratios: list[float]
    processor: float
    """Ratio of processor seconds."""
    equality: str
    share_of_peak: float | None
    """Of the machine's float32 matrix rate, which our matrix products reached, where they can be counted."""


def peak_flops(device: str) -> float:
    """float32 operations a second of a large matrix product, the best of six."""
    import torch

    one, other = torch.rand(MATRIX, MATRIX, device=device), torch.rand(MATRIX, MATRIX, device=device)
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        (one @ other)[0, 0].item()
        best = min(best, time.perf_counter() - started)
    return 2 * MATRIX**3 / best


def best_batch(peer: Side, workload: Workload) -> int:
    """lm-eval's fastest batch size on the first items."""
    if len(workload.batches) == 1:
        return workload.batches[0]
    peer.run(batch=workload.batches[-1], items=min(4, workload.items))
    times = {batch: peer.run(batch=batch, items=workload.trial)["wall"] for batch in workload.batches}
    print(f"    batch sizes: {', '.join(f'{batch}: {seconds:.1f} s' for batch, seconds in times.items())}", flush=True)
    return min(times, key=lambda batch: times[batch])


def compare(
    ours: Side, peer: Side, workload: Workload, dtype: str, asked: argparse.Namespace, batch: int | None
) -> Row:
    """Both sides in turns."""
    ours.run(items=4)
    pairs = []
    for number in range(asked.rounds):
        order = (ours, peer) if number % 2 == 0 else (peer, ours)
        found = {side.kind: side.run(**({"batch": batch} if side.kind == "lm-eval" else {})) for side in order}
        pairs.append((found[ours.kind], found[peer.kind]))
        print(f"    {ours.kind} {pairs[-1][0]['wall']:.1f} s, {peer.kind} {pairs[-1][1]['wall']:.1f} s", flush=True)
    return Row(
        workload=workload.title,
        dtype=dtype,
        peer=peer.kind,
        setting=f"batch {batch}" if batch is not None else "–",
        items=workload.items,
        ours_s=statistics.median(own["wall"] for own, _ in pairs),
        peer_s=statistics.median(other["wall"] for _, other in pairs),
        ratios=sorted(other["wall"] / own["wall"] for own, other in pairs),
        processor=statistics.median(other["cpu"] / own["cpu"] for own, other in pairs),
        equality=equality(pairs[0][0]["results"], pairs[0][1]["results"]),
        share_of_peak=max(own["flops"] / own["wall"] for own, _ in pairs) / peak_flops(asked.device)
        if pairs[0][0]["flops"]
        else None,
    )


def equality(ours: list[Any], theirs: list[Any]) -> str:
    """How alike the answers are, item by item."""
    if not ours or not theirs:
        return "–"
    if len(ours) != len(theirs):
        return f"{len(ours)} items against {len(theirs)}"
    if isinstance(ours[0], str):
        same = sum(one == other for one, other in zip(ours, theirs, strict=True))
        return f"{same} of {len(ours)} texts equal"
    if isinstance(ours[0], list):
        gap = max(abs(a - b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))
        picks = sum(one.index(max(one)) == other.index(max(other)) for one, other in zip(ours, theirs, strict=True))
        return f"largest difference {gap:.1e} nats, {picks} of {len(ours)} picks equal"
    gap = max(abs(one - other) / abs(other) for one, other in zip(ours, theirs, strict=True))
    return f"largest relative difference {gap:.1e}"


HEADER = """| workload | weights | items | peer | peer s | ours s | ratio | spread | processor | equality | of peak |
| --- | --- | --: | --- | --: | --: | --: | --- | --: | --- | --: |"""

LEGEND = """Of peak: the rate of our matrix products beside that of a large float32 product in the same run; attention
and everything else counts as lost. Equality is item by item. nf4: bitsandbytes multiplies in bfloat16 on this processor
even where it is given float32, so the same text alone and with more behind it differs by up to 0.34 nats per token in
plain transformers as well.
"""


def line(row: Row) -> str:
    middle, low, high = statistics.median(row.ratios), row.ratios[0], row.ratios[-1]
    cells = (
        *(row.workload, row.dtype, row.items, f"{row.peer} ({row.setting})", f"{row.peer_s:.1f}", f"{row.ours_s:.1f}"),
        *(f"**{middle:.2f} ×**", f"{low:.2f} – {high:.2f}", f"{row.processor:.2f} ×", row.equality),
        "–" if row.share_of_peak is None else f"{100 * row.share_of_peak:.0f} %",
    )
    return f"| {' | '.join(map(str, cells))} |"


def machine() -> str:
    from harness.runner.host import this_host

    host = this_host()
    return f"{host.processor}, {host.cores} cores, {host.memory_bytes / 2**30:.0f} GiB, Python {host.python}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public samples")
    parser.add_argument(
        "--only", action="append", default=[], help="a workload: choice, examples, generate, perplexity"
    )
    parser.add_argument("--dtype", action="append", default=[], choices=["float32", "nf4"])
    parser.add_argument("--peer", action="append", default=[], choices=["lm-eval", "plain"])
    parser.add_argument("--share", type=float, default=1.0, help="of the items")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--model", type=Path, default=MODEL, help="folder of a model; another one's figures are printed"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda; figures of another than cpu are printed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        for workload in workloads(asked.data, folder, asked.share).values():
            if asked.only and workload.name not in asked.only:
                continue
            for dtype in asked.dtype or ["float32", "nf4"]:
                rows = measure(workload, dtype, asked, folder)
                if asked.model == MODEL and asked.device == "cpu":
                    keep(rows)
                else:
                    print("\n".join([HEADER, *map(line, rows)]), flush=True)


def keep(rows: list[Row]) -> None:
    """Put rows in the place of those that were measured before, and write the page anew."""
    before = json.loads(ROWS.read_text()) if ROWS.exists() else []
    kept = {(each["workload"], each["dtype"], each["peer"]): each for each in (*before, *map(asdict, rows))}
    ROWS.write_text(json.dumps(list(kept.values()), indent=1) + "\n")
    write_page()
    print("\n".join([HEADER, *map(line, rows)]), flush=True)


def write_page() -> None:
    """RESULTS.md from what bench.py and whole.py stored."""
    rows = [Row(**each) for each in json.loads(ROWS.read_text())] if ROWS.exists() else []
    text = f"# What `make bench` measured\n\n{machine()}\n\n" + "\n".join([HEADER, *map(line, rows)]) + f"\n\n{LEGEND}"
    if WHOLE.exists():
        parts = json.loads(WHOLE.read_text())
        text += "\n## Whole runs\n\n" + "\n".join(each for part in parts.values() for each in part) + "\n"
    RESULTS.write_text(text)


def measure(workload: Workload, dtype: str, asked: argparse.Namespace, folder: Path) -> list[Row]:
    """Ours against every peer of this workload."""
    peers = ["lm-eval"] + (["plain"] if workload.name == "perplexity" else [])
    ours = Side("ours", asked, dtype, workload, folder)
    found = []
    for kind in peers:
        if asked.peer and kind not in asked.peer:
            continue
        print(f"{workload.title}, {dtype}, against {kind}", flush=True)
        peer = Side(kind, asked, dtype, workload, folder)
        batch = best_batch(peer, workload) if kind == "lm-eval" else None
        found.append(compare(ours, peer, workload, dtype, asked, batch))
        peer.close()
    ours.close()
    return found


if __name__ == "__main__":
    main()
