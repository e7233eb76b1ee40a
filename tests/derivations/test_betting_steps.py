"""An early FAIL explained: the wealth had again from the stored records, stake by stake and item by item."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness import api
from harness.derivations.shapes import Step
from harness.explanations import Explanation, print_explanation
from harness.notation import significant
from harness.records.findings import Finding
from harness.records.items import ItemRecord, outcome
from harness.records.run_manifest import EarlyStop
from harness.records.store import Store
from tests.explanations.saved import findings, judged
from tests.explanations.test_formulas import calculated
from tests.gates.handmade import QUANTIZED, Bench, items, key_of

GATES: list[dict[str, object]] = [
    {"task": "t", "metric": "acc", "max_drop": 0.04},
    {"task": "t", "metric": "f1", "max_drop": 0.02},
    {"task": "t", "metric": "acc", "max_drop": 0.7},
]
PLANNED, ASKED, BLOCK = 400, 96, 32


def stopped(root: Path, *, clusters: bool) -> Bench:
    """Of 400 items the candidate was asked 96, in shuffled blocks of 32, and lost a third (of clusters most)."""
    rng, bench = np.random.default_rng(9), Bench(root)
    plan = items(PLANNED)
    if clusters:
        plan = [
            each.model_copy(update={"cluster": f"c{n // 4}" if n < 200 else f"c{n}"}) for n, each in enumerate(plan)
        ]
    bench.plan("t", plan, metrics=("acc", "f1"))

    def record(n: int, acc: float, f1: float) -> ItemRecord:
        return ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", metrics={"acc": outcome(acc), "f1": outcome(f1)})

    base = [(float(rng.random() < 0.8), float(rng.uniform(0.6, 1))) for _ in range(PLANNED)]
    bench.evaluation("fp32", "t", [record(n, *each) for n, each in enumerate(base)])
    order = rng.permutation(PLANNED if not clusters else 200)[:ASKED]
    if clusters:
        order = np.concatenate([4 * each + np.arange(4) for each in rng.permutation(50)[: ASKED // 4]])
    chunks = bench.store.chunks(bench.key("q", "t"))
    for start in range(0, ASKED, BLOCK):
        answered = []
        for n in order[start : start + BLOCK].tolist():
            acc, f1 = base[n]
            lost = rng.random() < (0.8 if clusters else 0.4)
            answered.append(
                record(n, float(rng.random() < 0.2) if lost else acc, f1 * rng.uniform(0, 0.6 if clusters else 1))
            )
        chunks.append(answered)
    stop = EarlyStop(
        task="t", metric="acc", gate="gates[0]", limit=0.04, alpha=0.05 / 3, evaluation=bench.key("q", "t"),
        chunks=ASKED // BLOCK, digest=chunks.digest(), items=ASKED, planned=PLANNED, drop=0.3, wealth=1e3,
    )  # fmt: skip
    bench.variant("fp32", ["t"])
    bench.variant("q", [], facts=QUANTIZED, stopped=stop)
    return bench


@pytest.fixture(scope="module", params=[False, True], ids=["items", "clusters"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, bool]:
    bench = stopped(tmp_path_factory.mktemp("results"), clusters=request.param)
    judged(bench, GATES)
    return bench, request.param


def explained(root: Path, place: int, flips: int = 10) -> tuple[Finding, Explanation]:
    finding = findings(Store(root).verdict("s", "r1"))[place]
    (each,) = api.explain("r1", str(place), flips=flips, results=root)
    return finding, each


def steps_of(each: Explanation) -> dict[str, Step]:
    return {step.symbol: step for section in each.sections for step in section.steps}


def drops(root: Path, metric: str) -> tuple[list[str], np.ndarray]:
    """Item and drop in the order asked, from the chunk files by plain JSON."""
    sides = []
    for name in ("fp32", "q"):
        lines = (root / "evaluations" / key_of(name, "t") / "chunks.jsonl").read_text().splitlines()
        rows = [row for line in lines for row in json.loads(line.partition(" ")[2])]
        sides.append({row["item"]: row["metrics"][metric]["value"] for row in rows})
    asked = list(sides[1])
    return asked, np.array([sides[0][item] - sides[1][item] for item in asked])


def units(root: Path, metric: str, clusters: bool) -> tuple[np.ndarray, np.ndarray]:
    """What was bet on, with its weight: items, or clusters of four as the plan names them."""
    asked, found = drops(root, metric)
    if not clusters:
        return found, np.ones(found.size)
    rows = [json.loads(line) for line in (root / "plans" / "plan-t.jsonl").read_text().splitlines()[1:]]
    cluster = {row["item"]: row["cluster"] for row in rows}
    names = list(dict.fromkeys(cluster[item] for item in asked))
    whole = [[drop for item, drop in zip(asked, found, strict=True) if cluster[item] == name] for name in names]
    return np.array([np.mean(each) for each in whole]), np.array([len(each) / 4 for each in whole])


@pytest.mark.parametrize(("place", "metric", "limit"), [(0, "acc", 0.04), (1, "f1", 0.02)])
def test_the_wealth_from_the_records(told: tuple[Bench, bool], place: int, metric: str, limit: float) -> None:
    """Sixteen stakes by their formula, each multiplied item by item; their mean is the wealth, after every item shown
    in the table, and it reaches one over the share of alpha."""
    root, clusters = told[0].store.root, told[1]
    values, weights = units(root, metric, clusters)
    wealth, path = [1.0] * 16, []
    stakes = [min(0.02 * 50 ** (j / 15), 0.99 / (1 + limit)) for j in range(16)]
    for value, weight in zip(values, weights, strict=True):
        wealth = [own * (1 + stake * weight * (value - limit)) for own, stake in zip(wealth, stakes, strict=True)]
        path.append(math.fsum(wealth) / 16)
    finding, each = explained(root, place)
    assert finding.decision == "FAIL"
    assert finding.early_alpha == pytest.approx(0.05 / 3)
    steps, (table, last) = steps_of(each), each.tables[:2]
    assert [row[1] for row in table.rows] == pytest.approx(stakes)
    assert [row[5] for row in table.rows] == pytest.approx(wealth)
    assert steps["W"].value == pytest.approx(path[-1])
    assert steps["W_before"].value == pytest.approx(path[-2])
    assert steps["W_q"].value == pytest.approx(60)
    assert [row[-1] for row in last.rows] == pytest.approx(path[::-1][:10])
    assert [row[2] for row in last.rows] == pytest.approx(values[::-1][:10].tolist())
    if not clusters:
        assert [row[1] for row in last.rows] == drops(root, metric)[0][::-1][:10]
    (condition,) = each.conditions
    assert condition.holds is (path[-1] >= 60) is True
    assert f"wealth {significant(path[-1], 3)}, 60 needed" in finding.reason


def test_formulas_give_their_values(told: tuple[Bench, bool]) -> None:
    """Every formula, evaluated as it is printed, gives the value printed under it; it is all printed."""
    root, clusters = told[0].store.root, told[1]
    for place in (0, 1):
        _, each = explained(root, place)
        for step in steps_of(each).values():
            if step.formula:
                assert calculated(step.numbers) == pytest.approx(step.value, rel=1e-6), step
        assert ("W_j" in steps_of(each)) is (place == 0 and not clusters)
        out = io.StringIO()
        print_explanation(each, Console(file=out, width=300))
        assert "FAIL if W ≥ W_q" in out.getvalue()
        assert f"of the first {ASKED // BLOCK} lines, in the order asked" in out.getvalue()


def test_what_would_change_it_does(told: tuple[Bench, bool]) -> None:
    """At the loosest limit and the smallest alpha named it FAILs when judged again, and just beyond it does not."""
    bench, _ = told
    root = bench.store.root
    finding, each = explained(root, 0)
    changes = {change.of: change.value for change in each.changes}
    limit, alpha = changes["limit"], changes["alpha"]
    assert limit is not None
    assert alpha is not None
    gates = [
        {**GATES[0], "max_drop": limit},
        {**GATES[0], "max_drop": limit + 2e-3},
        {**GATES[0], "alpha": alpha * 1.01},
    ]
    verdict = judged(bench, gates, run="r2")
    assert [each.decision for each in findings(verdict)] == ["FAIL", "INCONCLUSIVE", "FAIL"]
    verdict = judged(bench, [{**GATES[0], "alpha": alpha * 0.99}, *GATES[1:]], run="r3")
    assert findings(verdict)[0].decision == "INCONCLUSIVE"
    assert finding.limit < limit < (finding.value or 0)


def test_what_did_not_stop_it_has_no_wealth_to_show(told: tuple[Bench, bool]) -> None:
    """A limit that the items asked leave open shows its reason, and one judged before this was stored says so."""
    root = told[0].store.root
    finding, each = explained(root, 2)
    assert (finding.decision, finding.n, each.sections) == ("INCONCLUSIVE", None, ())
    store = Store(root)
    verdict = store.verdict("s", "r1")
    (one,) = verdict.candidates
    older = [each.model_copy(update={"early_alpha": None}) for each in one.findings]
    candidates = (one.model_copy(update={"findings": tuple(older)}),)
    store.save_verdict(verdict.model_copy(update={"candidates": candidates}))
    (each,) = api.explain("r1", "0", results=root)
    store.save_verdict(verdict)
    assert each.sections == ()
    assert "`quantgate gate RUN` judges again" in each.notes[0]
