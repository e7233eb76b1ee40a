"""Timing a candidate beside the baseline, as the time left sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.engines.protocol import Facts, LoadSpec
from harness.runner.abba_timing import Timer
from harness.runner.eta import Amount
from harness.runner.host import this_host
from harness.runner.progress import Silent
from harness.runner.variants import resolve_variant
from harness.suite.load import load_suite
from harness.worker.client import Worker


def test_loading_counts_for_no_pair(write_suite: Callable[..., Path], tmp_path: Path) -> None:
    """Both models are there before the first pair begins, or it would look as long as a load."""
    seen: list[str] = []

    class Noting(Worker):
        def load(self, spec: LoadSpec) -> Facts:
            seen.append(f"load {spec.variant}")
            return super().load(spec)

    class Noted(Silent):
        def task(self, variant: str, task: str, total: Amount, done: Amount, unit: str) -> None:
            seen.append(f"{variant} {task}: {total.items} {unit}")

    speed = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 2}
    suite = load_suite(write_suite(speed=speed))
    baseline, candidate = (resolve_variant(suite, name, offline=True) for name in ("full", "small"))
    assert suite.suite.speed is not None
    timer = Timer(baseline, lambda each: Noting(each.name, log=tmp_path / f"{each.name}.log"), suite.suite.speed)
    try:
        timer.measure(candidate, this_host(), Noted())
    finally:
        timer.close()
    assert seen == ["load full", "load small", "small speed: 3 pairs"]
