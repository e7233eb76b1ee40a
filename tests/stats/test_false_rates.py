"""The short form of benchmarks/simulate.py: at the limit no gate form passes, or fails, more often than it may."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from harness.stats import Decision, GradedDrop, graded_drop
from harness.stats.bounded import BoundedMean

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_load("draws")  # which the others import by this name, as a script does
for each in sorted(BENCHMARKS.glob("*_draws.py")):
    _load(each.stem)
simulate = _load("simulate")
LEFT_OUT = ("icc 0.5", "gain 15", "10 % of the items", "70 % of the items")
WHOLE = {"macro F1, 5 classes, one of 2 %, which loses 30 %", "BLEU of about 1, loses 0.3"}
"""Of the statistics of the whole; over clusters MCC."""
SHORT = [
    each
    for each in simulate.cases(items=(100, 200), rates=(0.05, 0.10))
    if not any(left_out in each.setting for left_out in LEFT_OUT)
    and (not each.form.startswith("statistics") or each.setting in WHOLE or each.setting.startswith("MCC, 2"))
    and not (each.form == "statistics of the whole" and each.setting.startswith("MCC"))
]
FORMS = sorted({each.form for each in SHORT})


@pytest.mark.parametrize("form", FORMS)
def test_false_rates_at_the_limit(form: str) -> None:
    """Pooled over its cases a form passes and fails at most alpha of the comparisons that lie on the limit, within
    three Monte-Carlo errors and the point by which score bounds are known to exceed it at few items."""
    rows = [simulate.simulate(each, 200 * each.cost) for each in SHORT if each.form == form]
    sims = sum(row.sims for row in rows)
    slack = 3 * math.sqrt(0.05 * 0.95 / sims) + 0.01
    for rates in ([row.passed[1] for row in rows], [row.failed[1] for row in rows]):
        assert np.mean(rates) <= 0.05 + slack, rows


@pytest.mark.parametrize(("clusters", "size"), [(10, 20), (40, 5), (50, 20)])
def test_few_clusters_on_the_limit_pass_and_fail_seldom(clusters: int, size: int) -> None:
    """`min_retained` over few clusters whose items flip together (icc 0.5): at the limit at most 5 % pass, or fail. By
    the design effect alone 6 % of the 50 clusters of 20 passed."""
    outcome = simulate.retained(clusters * size, 0.15, size, 0.5)(np.random.default_rng([clusters, size]), 400, 1.0)
    assert outcome.passed.mean() <= 0.05
    assert outcome.failed.mean() <= 0.05


@pytest.mark.parametrize("form", FORMS)
def test_truths_apart_from_the_limit(form: str) -> None:
    """With no drop a form hardly ever fails, and at twice the limit it hardly ever passes."""
    rows = [simulate.simulate(each, 100) for each in SHORT if each.form == form]
    assert np.mean([row.failed[0] for row in rows]) <= 0.02
    assert np.mean([row.passed[2] for row in rows]) <= 0.02


def test_it_is_seeded() -> None:
    """The same case gives the same numbers, whatever ran before it; another case draws other data."""
    first, second = SHORT[0], SHORT[1]
    once = simulate.simulate(first, 200)
    simulate.simulate(second, 100)
    assert simulate.simulate(first, 200) == once


def test_the_shortcut_is_the_gate() -> None:
    """The simulation judges graded drops by their p-values; that is `graded_drop`'s verdict every time."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        n = int(rng.integers(2, 120))
        drops = np.where(rng.random(n) < 0.3, rng.normal(0.05, 0.3, n).clip(-1, 1), 0.0)
        mean = BoundedMean.of(drops, np.arange(n), low=-1.0, high=1.0, scale=1.0, clustered=False)
        found: GradedDrop = graded_drop(drops, margin=0.05)
        expected = {Decision.PASS: (True, False), Decision.FAIL: (False, True)}.get(found.verdict, (False, False))
        assert (mean.p_below(0.05) < 0.05, mean.p_above(0.05) < 0.05) == expected


def test_the_table_marks_what_is_over() -> None:
    """A false rate above 5 % by more than twice its error is bold; a right decision never is."""
    row = simulate.Row(
        form="f", setting="s", n=10, sims=1000, passed=(0.9, 0.09, 0.0), failed=(0.0, 0.05, 0.9), z_passed=None
    )
    assert simulate.table([row])["f"].splitlines()[-1] == "| s | 10 | 90.0 | 0.0 | **9.0** | 5.0 | 0.0 | 90.0 |"
