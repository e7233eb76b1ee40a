"""What a plan takes from earlier runs: flips, design effects, spreads, times; and that it takes nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.engines.scripted import ScriptedTokenizer
from harness.forecast.certify import Certificate, certificates
from harness.forecast.past_runs import Pace, PastMeasure, PastRuns, PastSpeed, durations, history
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.records.measures import Measure, Noise, NoiseSpeed
from harness.records.store import Store
from harness.stats.decision import normal_quantile, t_quantile
from harness.stats.promise import (
    Sample,
    certified_drop,
    certified_loss,
    clustered_sample,
    items_certifying,
)
from harness.suite.load import LoadedSuite

CHOICE = {"data": "rows.jsonl", "prompt": "{{text}}", "choices": ["yes", "no"], "answer": "yes"}
Z80 = normal_quantile(0.8)
Z = normal_quantile(0.95) + Z80


def seen(kind: str, metric: str, n: int, **more: Any) -> dict[tuple[str, str, str], PastMeasure]:
    """Of the variant `int8` on the task `t`."""
    measure = Measure.model_validate(
        {
            "task": "t", "metric": metric, "kind": kind, "unit": "", "higher_is_better": True, "n": n, "baseline": 0.5,
            "candidate": 0.5, "change": 0.0, "lower": None, "upper": None, **more,
        }
    )  # fmt: skip
    return {("int8", "t", metric): PastMeasure(run="R1", measure=measure, alpha=0.05)}


@pytest.fixture
def plans(suite_of: Callable[..., LoadedSuite], write_rows: Callable[..., str]) -> Callable[..., Any]:
    def of(count: int, gate: dict[str, Any], task: Any = None, **changes: Any) -> tuple[LoadedSuite, Any]:
        write_rows("rows.jsonl", [{"text": f"row {n}", "group": n // 4} for n in range(count)])
        loaded = suite_of({"t": task or {"choice": CHOICE}}, gates=[gate], **changes)
        return loaded, plan_suite(loaded, ScriptedTokenizer(), context_length=None)

    return of


def only(found: tuple[LoadedSuite, tuple[TaskPlan, ...]], before: PastRuns) -> Certificate:
    (row,) = certificates(found[0].suite, found[1], before)
    return row


def test_flips_seen_take_the_place_of_the_prior(plans: Any) -> None:
    """12 of 400 flipped: half a flip more is expected, and the run is named."""
    before = PastRuns(measures=seen("binary", "acc", 400, right_to_wrong=8, wrong_to_right=4))
    row = only(plans(600, {"task": "t", "metric": "acc", "max_drop": 0.03}), before)
    certain = certified_drop(600, discordance=12.5 / 401)
    assert row.says == (
        f"t acc: 600 items certify {100 * certain:.2g} pp (80 % power, 3.1 % flips seen with int8 in R1); "
        "the limit is 3 pp"
    )
    assert row.needs == items_certifying(0.03, discordance=12.5 / 401)
    assert row.enough


def test_the_design_effect_seen_shrinks_the_sample(plans: Any) -> None:
    """A design effect of 2 over clusters of 4 is a correlation of a third; without flips nothing is known of it."""
    gate, task = {"task": "t", "metric": "acc", "max_drop": 0.05}, {"choice": CHOICE, "cluster_by": "group"}
    counts = {"clusters": 100, "right_to_wrong": 20, "wrong_to_right": 20}
    before = PastRuns(measures=seen("binary", "acc", 400, **counts, design_effect=2.0))
    row = only(plans(600, gate, task), before)
    sample = clustered_sample([4] * 150, discordance=40.5 / 401, correlation=1 / 3)
    assert sample.design_effect == pytest.approx(2)
    assert row.certifies == f"{100 * certified_loss(sample):.2g} pp"
    assert "600 items in 150 clusters (design effect 2 as seen)" in row.says
    assert row.needs is not None
    assert certified_loss(sample.times(row.needs / 600)) == pytest.approx(0.05, rel=0.01)
    calm = PastRuns(
        measures=seen("binary", "acc", 400, clusters=100, right_to_wrong=0, wrong_to_right=0, design_effect=1.0)
    )
    assert "at best" in only(plans(600, gate, task), calm).says


def test_recovery_goes_by_the_level_seen(plans: Any) -> None:
    """A share of the baseline's score is a drop at its level; without one it is unknown."""
    gate = {"task": "t", "metric": "acc", "min_recovery": 0.9}
    certain = certified_drop(600, discordance=0.036)
    row = only(plans(600, gate), PastRuns(levels={"t/acc": 0.5}))
    assert row.certifies == f"{100 * certain / 0.5:.2g} %"
    assert row.needs == items_certifying(0.05, discordance=0.036)
    assert only(plans(600, gate), PastRuns()).certifies is None


def test_a_recovery_gate_that_cannot_pass(plans: Any) -> None:
    """At 97 %, 87 equal answers of a perfect baseline are too few and 88 are not: Nam and Blackwelder's own bound."""
    gate = {"task": "t", "metric": "acc", "min_recovery": 0.97}
    assert [only(plans(count, gate), PastRuns()).possible for count in (87, 88)] == [False, True]


def test_graded_metrics_go_by_their_spread(plans: Any) -> None:
    """SE of an earlier run at its items, brought to these items: (t + z) SE."""
    half = t_quantile(0.95, 99) * 0.01
    before = PastRuns(measures=seen("graded", "f1", 100, lower=-half, upper=half))
    task = {"generate": {"data": "rows.jsonl", "prompt": "{{text}}", "answer": "yes", "metric": "f1"}}
    row = only(plans(400, {"task": "t", "metric": "f1", "max_drop": 0.01}, task), before)
    assert row.certifies == f"{Z * 0.005:.2g}"
    needed = next(n for n in range(2, 5000) if (t_quantile(0.95, n - 1) + Z80) * 0.005 * math.sqrt(400 / n) <= 0.01)
    assert row.needs == needed
    assert not row.enough


def test_few_changed_items_cost_what_the_gate_asks_for_them(plans: Any) -> None:
    """10 of 100 changed, by little: for 400 items the gate counts with an unseen loss, and so does the plan, where the
    standard error alone would promise four times less."""
    spread = {"error": 0.001, "units": 100, "changed": 10, "scale": 1.0}
    before = PastRuns(measures=seen("graded", "f1", 100, lower=-0.03, upper=0.03, spread=spread))
    task = {"generate": {"data": "rows.jsonl", "prompt": "{{text}}", "answer": "yes", "metric": "f1"}}
    row = only(plans(400, {"task": "t", "metric": "f1", "max_drop": 0.01}, task), before)
    expected = certified_loss(Sample(items=400, units=400, error=0.0005, changed=400 * 10.5 / 101))
    assert row.certifies == f"{expected:.2g}"
    assert expected > 4 * Z * 0.0005


def test_perplexity_goes_by_its_spread(plans: Any) -> None:
    """On the logarithm, and never under 20 documents."""
    upper = math.exp(t_quantile(0.95, 24) * 0.004) - 1
    before = PastRuns(measures=seen("perplexity", "perplexity", 25, lower=-0.01, upper=upper))
    task = {"perplexity": {"data": "rows.jsonl", "window": 16}}
    row = only(plans(100, {"task": "t", "metric": "perplexity", "max_increase": 0.02}, task), before)
    assert row.certifies == f"{100 * math.expm1(Z * 0.002):.2g} %"
    assert (row.enough, row.needs) == (True, 20)
    assert (
        only(plans(100, {"task": "t", "metric": "perplexity", "max_increase": 0.02}, task), PastRuns()).certifies
        is None
    )


def test_a_floor_says_what_truth_it_needs(plans: Any) -> None:
    """Ten right answers of ten do not show 80 % (Wilson: z^2 0.8 / 0.2 = 10.8), eleven do; above that the truth that
    passes with 80 % power."""
    gate = {"task": "t", "metric": "acc", "min": 0.8}
    assert [only(plans(count, gate), PastRuns()).possible for count in (10, 11)] == [False, True]
    can = only(plans(400, gate), PastRuns())
    need = 0.8
    for _ in range(99):
        need = 0.8 + (1.6449 * 0.4 + 0.8416 * math.sqrt(need * (1 - need))) / 20
    assert can.certifies == f"from {100 * need:.3g} %"


def test_speed_goes_by_like_variants_then_by_the_baseline_alone(plans: Any) -> None:
    """The spread of the ratio where one was timed; the baseline's own adjacent runs where none was."""
    speed = {"workloads": [{}], "pairs": 16}
    found = plans(1, {"metric": "decode_tokens_per_s", "min_ratio": 1.1}, speed=speed)
    assert only(found, PastRuns()).certifies is None
    alone = NoiseSpeed(workload="1x512+128", metric="decode_tokens_per_s", pairs=4, spread=0.02)
    noise = Noise(measures=(), likelihoods={}, speed=(alone,))
    assert only(found, PastRuns(noise=noise, noise_run="R1")).certifies == f"{100 * math.expm1(Z * 0.005):.2g} %"
    timed = {("int8", "1x512+128", "decode_tokens_per_s"): PastSpeed(run="R2", pairs=4, error=0.02)}
    row = only(found, PastRuns(speed=timed, noise=noise))
    assert row.certifies == f"{100 * math.expm1(Z * 0.01):.2g} %"


def test_times(plans: Any) -> None:
    """By its own pace, by the slowest other variant's where it has none, and unknown where nobody has."""
    loaded, found = plans(10, {"task": "t", "metric": "acc", "max_drop": 0.1})
    tokens = sum(item.tokens for item in found[0].items)
    none = durations(loaded.suite, found, PastRuns())
    assert [(each.seconds, each.unknown) for each in none] == [(None, ("t",)), (None, ("t",))]
    pace = Pace(run="R", tokens=2 * tokens, seconds=60.0)
    full, int8 = durations(loaded.suite, found, PastRuns(paces={("full", "t"): pace}, loads={"full": 1.5}))
    assert (full.seconds, full.rough) == (31.5, False)
    assert (int8.seconds, int8.rough) == (30.0, True)


def test_damaged_and_foreign_runs_show_nothing(plans: Any, tmp_path: Path) -> None:
    """A run that cannot be read, and one without its verdict, stop no plan."""
    loaded, _ = plans(1, {"task": "t", "metric": "acc", "max_drop": 0.1})
    broken = tmp_path / "r" / "planned" / "runs" / "20260101-000000-aaaa"
    broken.mkdir(parents=True)
    (broken / "run.json").write_text("{")
    assert history(Store(tmp_path / "r"), loaded.suite, host="h") == PastRuns()
    assert history(Store(tmp_path / "nowhere"), loaded.suite, host="h") == PastRuns()
