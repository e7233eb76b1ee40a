"""The bet on a limit over the items a variant was asked before it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.sequential_test import asked_so_far, can_stop, largest_cluster
from harness.forms.sequential import wealth_against
from harness.records.chunks import Chunks
from harness.records.columns import PlanColumns
from harness.records.items import Failed, ItemRecord, Outcome, PlannedItem, Scored
from harness.records.parse import read_items, read_plan
from harness.samples.pairs import PairedMetric, PairingError, Side, align
from harness.stats import BettingTest, cluster_values
from harness.suite.gate_model import Gate

PLANNED = 300


def planned(clusters: Sequence[str] | None = None) -> PlanColumns:
    items = [
        PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="", cluster=clusters[n] if clusters else None)
        for n in range(PLANNED)
    ]
    return read_plan(BytesIO(b"".join(item.model_dump_json().encode() + b"\n" for item in items)))


def side(path: Path, plan: PlanColumns, values: dict[int, float | None], *, stopped: bool) -> Side:
    """An evaluation: item to its score, None for an answer that failed."""
    chunks = Chunks(path)
    for number, value in values.items():
        score: Outcome = Failed(stage="score", error="nan") if value is None else Scored(value=value)
        chunks.append([ItemRecord(item=f"i{number}", prompt_hash=f"h{number}", metrics={"acc": score})])
    return align(plan, read_items(chunks, ("acc",)), stopped=stopped)


def metric_of(folder: Path, values: dict[int, float | None], clusters: Sequence[str] | None = None) -> PairedMetric:
    """The candidate's `values` beside a baseline that is always right."""
    plan = planned(clusters)
    full = side(folder / "full", plan, dict.fromkeys(range(PLANNED), 1.0), stopped=False)
    part = side(folder / "part", plan, values, stopped=True)
    return asked_so_far("t", "acc", plan, full, part, higher_is_better=True)


def test_wealth_is_that_of_the_betting_test(tmp_path: Path) -> None:
    """Pair by pair over the items asked, in whatever order they were asked; a failed answer is a wrong one."""
    values: dict[int, float | None] = {n: (None if n == 7 else float(n % 4 > 0)) for n in range(100, -1, -1)}
    metric = metric_of(tmp_path, values)
    assert metric.count == 101
    test = BettingTest(margin=0.02, alpha=0.05)
    test.take([1.0 if n == 7 else float(n % 4 == 0) for n in range(101)])
    assert wealth_against(metric, limit=0.02, alpha=0.05, largest=1) == pytest.approx(test.wealth, rel=1e-12)
    assert test.wealth > 20


def test_clusters_count_as_one(tmp_path: Path) -> None:
    """Twenty items of one cluster are one unit, weighted by the largest cluster of the whole plan."""
    clusters = [f"c{n // 20}" if n < 100 else f"c{n}" for n in range(PLANNED)]
    metric = metric_of(tmp_path, {n: float(n >= 20) for n in range(120)}, clusters)
    assert largest_cluster(planned(clusters)) == 20
    assert largest_cluster(planned()) == 1
    means, weights = cluster_values(1.0 - metric.candidate, np.asarray(clusters[:120]), largest=20)
    test = BettingTest(margin=0.02, alpha=0.05)
    test.take(means, weights=weights)
    assert wealth_against(metric, limit=0.02, alpha=0.05, largest=20) == pytest.approx(test.wealth)
    alone = metric_of(tmp_path / "alone", {n: float(n >= 20) for n in range(120)})
    assert test.wealth < 20 < (wealth_against(alone, limit=0.02, alpha=0.05, largest=1) or 0)


def test_nothing_is_bet_where_nothing_can_be_said(tmp_path: Path) -> None:
    """No item, or values that no bet covers."""
    assert wealth_against(metric_of(tmp_path, {}), limit=0.02, alpha=0.05, largest=1) is None
    outside = metric_of(tmp_path / "b", {0: 3.0, 1: -4.0})
    assert wealth_against(outside, limit=0.02, alpha=0.05, largest=1) is None


def test_a_part_is_held_to_the_plan(tmp_path: Path) -> None:
    """Items may be missing from a part; one that nobody planned may not be there."""
    with pytest.raises(PairingError, match="the candidate has 2 items, the plan has 1"):
        metric_of(tmp_path, {0: 1.0, 999: 1.0})


@pytest.mark.parametrize(
    ("gate", "stops"),
    [
        ({"task": "t", "metric": "acc", "max_drop": 0.02}, True),
        ({"task": "t", "metric": "exact_match,strict-match", "max_drop": 0.02}, True),
        ({"task": "t", "metric": "f1", "max_drop": 0.02}, True),
        ({"task": "t", "metric": "bleu", "max_drop": 0.02}, False),
        ({"task": "t", "metric": "acc", "min": 0.8}, False),
        ({"task": "t", "metric": "acc", "min_recovery": 0.97}, False),
        ({"task": "t", "metric": "acc", "max_drop": 0.02, "slice": "each"}, False),
        ({"task": "t", "metric": "perplexity", "max_increase": 0.02}, False),
    ],
)
def test_which_gates_stop(gate: dict[str, object], stops: bool) -> None:
    """Absolute drops of whole tasks, of metrics between 0 and 1."""
    assert can_stop(Gate.model_validate(gate)) is stops
