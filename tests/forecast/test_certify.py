"""What `check` says a suite can certify, in the words and numbers a person reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.engines.scripted import ScriptedTokenizer
from harness.forecast.certify import Certificate, candidates_of, certificates, expected_flips
from harness.planning.plan_suite import plan_suite
from harness.stats import DISCORDANCE_PRIORS
from harness.stats.promise import certified_drop, certified_loss, clustered_sample, items_certifying

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
CHOICE = {"data": "rows.jsonl", "prompt": "{{text}}", "choices": ["yes", "no"], "answer": "yes"}
READ = {"data": "rows.jsonl", "window": 16}


@pytest.fixture
def certified(suite_of: LoadSuite, write_rows: WriteRows) -> Callable[..., tuple[Certificate, ...]]:
    """Certificates of gates on the task `t`, over this many items."""

    def rows(
        count: int, gates: Sequence[Any], task: Any = None, *, others: Any = None, **changes: Any
    ) -> tuple[Certificate, ...]:
        write_rows(
            "rows.jsonl", [{"text": f"row {n}", "topic": "ab"[n % 10 == 0], "group": n // 5} for n in range(count)]
        )
        loaded = suite_of({"t": task or {"choice": CHOICE}, **(others or {})}, gates=gates, **changes)
        return certificates(loaded.suite, plan_suite(loaded, ScriptedTokenizer(), context_length=None))

    return rows


def drop(limit: float, **changes: object) -> dict[str, object]:
    return {"task": "t", "metric": "acc", "max_drop": limit, **changes}


def test_enough_items(certified: Any) -> None:
    """The smallest drop these items can show safe, at the prior of the candidates' bits."""
    (row,) = certified(1000, [drop(0.02)])
    at_8_bits = certified_drop(1000, discordance=DISCORDANCE_PRIORS[8])
    assert row.enough
    assert (
        row.says == f"t acc: 1000 items certify {100 * at_8_bits:.2g} pp (80 % power, 3.6 % flips); the limit is 2 pp"
    )


def test_too_few_items_say_how_many_would_do(certified: Any) -> None:
    """With the figure for the limit that was asked."""
    (row,) = certified(300, [drop(0.02)])
    assert not row.enough
    assert row.says.endswith(f"the limit of 2 pp needs about {items_certifying(0.02, discordance=0.036):,}")


@pytest.mark.parametrize(("items", "possible"), [(132, False), (133, True)])
def test_below_the_zero_flip_count_no_pass_is_possible(certified: Any, items: int, possible: bool) -> None:
    """132 identical answers cannot PASS 2 pp, 133 can: the table of the statistics."""
    (row,) = certified(items, [drop(0.02)])
    impossible = "132 items cannot PASS 2 pp even with no flip at all; 133 at least" in row.says
    assert impossible is not possible


def test_slices_are_counted_on_their_own(certified: Any) -> None:
    """`each` gives a row for every slice; a slice nobody is in is said to have no item."""
    task = {"choice": CHOICE, "slice_by": ["topic"]}
    rows = certified(600, [drop(0.02, slice="each"), drop(0.02, slice="topic=c")], task)
    assert [row.gate for row in rows] == ["gates[0] topic=b", "gates[0] topic=a", "gates[1]"]
    assert "on topic=b: 60 items cannot PASS" in rows[0].says
    assert "on topic=a: 540 items certify" in rows[1].says
    assert (rows[2].says, rows[2].enough) == ("t acc on topic=c: no item to judge", False)


def test_clusters_count_where_items_hang_together(certified: Any) -> None:
    """500 items about 100 passages: an unseen passage may be lost whole, so 2 pp is out of reach however they flip."""
    (row,) = certified(500, [drop(0.02)], {"choice": CHOICE, "cluster_by": "group"})
    best, worst = (
        100 * certified_loss(clustered_sample([5] * 100, discordance=0.036, correlation=each)) for each in (0.0, 1.0)
    )
    assert 3 < best < worst - 2
    assert not row.enough
    assert row.certifies == f"{best:.2g} to {worst:.2g} pp"
    assert f"500 items in 100 clusters certify {best:.2g} pp at best, {worst:.2g} where the items of a" in row.says
    assert row.needs is not None
    assert f"needs about {row.needs:,} in {-(-row.needs // 5)} clusters" in row.says
    (row,) = certified(row.needs, [drop(0.02)], {"choice": CHOICE, "cluster_by": "group"})
    assert row.enough


def test_items_without_a_cluster_stand_alone(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Two passages of ten items and 280 items of no passage are 282 units, as the gate counts them; one passage alone
    can show nothing."""
    write_rows("rows.jsonl", [{"text": f"row {n}", "group": "all"} for n in range(300)])
    loaded = suite_of({"t": {"choice": CHOICE, "cluster_by": "group"}}, gates=[drop(0.02)])
    (plan,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
    (row,) = certificates(loaded.suite, (plan,))
    assert (row.possible, "in one cluster" in row.says) == (False, True)
    items = tuple(
        item.model_copy(update={"cluster": str(n // 10) if n < 20 else None}) for n, item in enumerate(plan.items)
    )
    (row,) = certificates(loaded.suite, (replace(plan, items=items),))
    assert "300 items in 282 clusters" in row.says


@pytest.mark.parametrize(("documents", "enough"), [(19, False), (20, True)])
def test_perplexity_needs_twenty_documents(certified: Any, documents: int, enough: bool) -> None:
    """Under 20 documents the interval is unreliable, so the gate can only be INCONCLUSIVE."""
    gates = [{"task": "t", "metric": "perplexity", "max_increase": 0.02}]
    (row,) = certified(documents, gates, {"perplexity": READ})
    assert row.enough is enough
    assert ("can only be INCONCLUSIVE" in row.says) is not enough


def test_graded_metrics_floors_speed_and_memory(certified: Any) -> None:
    """No spread is assumed where none was seen; ten timed pairs are needed to decide."""
    speed = {"workloads": [{}], "pairs": 9}
    gates = [
        {"task": "t", "metric": "f1", "max_drop": 0.02},
        {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
        {"metric": "weight_bytes", "max_ratio": 0.5},
    ]
    generate = {"data": "rows.jsonl", "prompt": "{{text}}", "answer": "yes", "metric": "f1"}
    rows = certified(50, gates, {"generate": generate}, speed=speed)
    assert [row.enough for row in rows] == [True, False, True]
    assert rows[0].says == "t f1: 50 items; what they can certify is unknown until the first run"
    assert (rows[0].certifies, rows[2].certifies) == (None, "exact")
    assert "9 timed pairs; 10 at least" in rows[1].says


def test_the_prior_is_the_worst_candidates(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """4-bit variants flip more than 8-bit ones; a gate for some variants looks at those only."""
    write_rows("rows.jsonl", [{"text": "a"}])
    variants = {
        "full": {"engine": "scripted", "baseline": True},
        "half": {"dtype": "bfloat16"},
        "int8": {"quantize": {"method": "bitsandbytes", "bits": 8}},
        "nf4": {"quantize": {"method": "bitsandbytes", "bits": 4}},
        "packed": {"path": "./elsewhere"},
    }
    gates = [drop(0.02), *(drop(0.02, variants=[name]) for name in ("half", "int8", "nf4", "packed"))]
    suite = suite_of({"t": {"choice": CHOICE}}, gates=gates, variants=variants).suite
    priors = [expected_flips(suite, dict.fromkeys(candidates_of(gate, suite))).share for gate in suite.gates]
    assert priors == [DISCORDANCE_PRIORS[bits] for bits in (4, 16, 8, 4, 4)]


def test_a_share_of_the_gain_needs_a_gain(certified: Any) -> None:
    """Keeping 95 % of a gain is losing at most a twentieth of it: the gain from which on these items can show that."""
    gate = {"task": "t", "metric": "acc", "min_retained": 0.95}
    (row,) = certified(1000, [gate], base="before")
    share = certified_drop(1000, discordance=DISCORDANCE_PRIORS[8]) / 0.05
    assert row.enough
    assert row.says.endswith(f"shows 95 % retained where fine-tuning gained about {100 * share:.2g} pp or more")
    (row,) = certified(40, [gate], base="before")
    assert not row.enough
    assert row.says.endswith("too little to show 95 % retained of any gain")


def test_a_mean_over_tasks_certifies_less_than_each(certified: Any) -> None:
    """What each task certifies, weighed and added in squares; a slice against the rest certifies more than both."""
    gates = [{"tasks": ["t", "u"], "metric": "acc", "max_drop": 0.02}, drop(0.02)]
    both, alone = certified(600, gates, others={"u": {"choice": CHOICE}})
    of_one = certified_drop(600, discordance=DISCORDANCE_PRIORS[8])
    assert (both.judges, both.count) == ("t+u acc", 1200)
    assert both.certifies == f"{100 * of_one / 2**0.5:.2g} pp"
    assert alone.certifies == f"{100 * of_one:.2g} pp"
    sliced = {"choice": CHOICE, "slice_by": ["topic"]}
    gate = {"task": "t", "metric": "acc", "slice": "topic=b", "max_excess_drop": 0.05}
    (excess,) = certified(600, [gate], sliced)
    parts = (
        certified_drop(60, discordance=DISCORDANCE_PRIORS[8]),
        certified_drop(540, discordance=DISCORDANCE_PRIORS[8]),
    )
    assert excess.certifies == f"{100 * (parts[0] ** 2 + parts[1] ** 2) ** 0.5:.2g} pp"
    assert not excess.enough


def test_a_mean_that_equal_answers_cannot_show(certified: Any) -> None:
    """Under the count at which even no flip passes."""
    gate = {"tasks": ["t", "u"], "metric": "acc", "max_drop": 0.01}
    (row,) = certified(40, [gate], others={"u": {"choice": CHOICE}})
    assert not row.possible
    assert row.says == "t+u acc: 80 items cannot PASS 1 pp even with no flip at all"
