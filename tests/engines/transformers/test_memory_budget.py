"""What scoring takes beside the weights stays within its budget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.engines.transformers.memory_budget import MemoryBudget
from tests.engines.tiny import Build

ROOT = Path(__file__).parents[3]
BUDGET = 64 * 2**20
WIDE = {
    "num_hidden_layers": 16,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 1024,
}
"""32 KiB of states for each token: 40 rows behind a prefix of 600 would hold 800 MiB."""


@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak can be reset on Linux only")
@pytest.mark.parametrize("what", ["head", "heads", "alone", "roll", "generate"])
def test_the_peak_stays_within_the_budget(what: str, build: Build) -> None:
    """One shared prefix, several, none, windows, and answers: the process grows by no more than it was allowed."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.engines.peak", str(build("llama", **WIDE)), str(BUDGET), what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) <= BUDGET


def limits(budget: int) -> MemoryBudget:
    """As of SmolLM2-135M in float32."""
    cache = budget // 2 // 46080
    return MemoryBudget(pass_tokens=2048, cache_tokens=cache, total_bytes=budget, layer_bytes=6144, pair_bytes=7)


@pytest.mark.parametrize(("own", "before"), [(20, 0), (20, 1000), (120, 500), (512, 0), (2048, 0), (3000, 0)])
def test_plenty_of_room_fills_passes_by_tokens(own: int, before: int) -> None:
    """With 4 GiB a pass has as many rows as its tokens allow, whatever stands in front of them."""
    assert limits(2**32).rows(own, before) == max(1, 2048 // own)


def test_a_small_budget_takes_fewer_rows_behind_a_long_prefix() -> None:
    """Rows behind 1000 tokens cost attention over all of them; one row is asked however small the budget."""
    narrow = limits(2**27)
    assert narrow.rows(20, 0) == 102
    assert narrow.rows(20, 1000) == 5
    assert limits(1).rows(20, 1000) == 1
