"""A task at which a variant was stopped early: FAIL or nothing."""

from __future__ import annotations

import numpy as np

from harness.forms.base import Terms
from harness.forms.sequential import judge_stopped, wealth_against
from harness.records.run_manifest import EarlyStop
from harness.samples.sample import StoppedPart
from tests.forms.handmade import paired

STOP = EarlyStop(
    task="t", metric="acc", gate="gates[0]", limit=0.02, alpha=0.05, evaluation="0" * 64, chunks=2, digest="d",
    items=96, planned=400, drop=0.5, wealth=100.0,
)  # fmt: skip


def part(lost: int, *, chances: int = 1) -> StoppedPart:
    """So many of 96 answers lost."""
    pairs = paired(np.ones(96), np.repeat([0.0, 1.0], [lost, 96 - lost]))
    return StoppedPart(stop=STOP, largest=1, pairs=pairs, chances=chances)


def test_a_large_loss_fails() -> None:
    """The wealth of the bet is over one in alpha; there are no bounds, for the data chose when to stop."""
    found, wealth = judge_stopped(part(50), Terms(limit=0.02, alpha=0.05)), None
    wealth = wealth_against(part(50).pairs, limit=0.02, alpha=0.05, largest=1)
    assert wealth is not None
    assert wealth > 20
    assert found.decision == "FAIL"
    assert found.estimate is not None
    assert (found.estimate.lower, found.estimate.n, found.estimate.early_alpha) == (None, 96, 0.05)
    assert str(found.reason).startswith("drop 52.08 pp after 96 of 400 items: the anytime-valid test rejects a drop")


def test_gates_share_alpha() -> None:
    """Each of three gates that could have stopped the variant works at a third."""
    found = judge_stopped(part(50, chances=3), Terms(limit=0.02, alpha=0.06))
    assert found.estimate is not None
    assert found.estimate.early_alpha == 0.06 / 3
    assert "60 needed" not in str(found.reason)
    assert "50 needed" in str(found.reason)


def test_a_small_loss_is_not_judged() -> None:
    """Never PASS: what the part does not decide is left to the whole task."""
    found = judge_stopped(part(1), Terms(limit=0.02, alpha=0.05))
    assert (found.decision, found.estimate) == ("INCONCLUSIVE", None)
    assert str(found.reason) == ("stopped early at t after 96 of 400 items by gates[0]; run again without --stop-early")
