"""`min_retained` explained: the formulas as printed, and every number had again from the records by other means."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy import optimize, stats

from harness import api
from harness.explanations import Explanation, print_explanation
from harness.explanations.evidence import gather, reading
from harness.explanations.shapes import FlipBeside
from harness.records.findings import Finding
from harness.records.items import DocumentScore, ItemRecord, PlannedItem
from harness.records.run_manifest import VariantRun
from harness.records.store import Store
from tests.explanations.saved import OPTIONS, findings, judged, questions, replies
from tests.explanations.test_formulas import calculated
from tests.gates.handmade import QUANTIZED, Bench, facts, key_of

Floats = NDArray[np.float64]
GATES: list[dict[str, object]] = [
    {"task": "t", "metric": "acc", "min_retained": 0.8},
    {"task": "t", "metric": "acc", "min_retained": 0.6},
    {"task": "t", "metric": "acc", "min_retained": 0.9, "slice": "half=a"},
    {"task": "c", "metric": "acc", "min_retained": 0.6},
    {"task": "t", "metric": "f1", "min_retained": 0.9},
    {"task": "c", "metric": "f1", "min_retained": 0.99},
    {"task": "w", "metric": "perplexity", "min_retained": 0.8},
    {"task": "w", "metric": "bits_per_byte", "min_retained": 0.95},
    {"task": "s", "metric": "acc", "min_retained": 0.9},
    {"task": "s", "metric": "f1", "min_retained": 0.9},
    {"task": "z", "metric": "acc", "min_retained": 0.9},
]
NAMES = ("base model", "fp32", "q")


def three(
    bench: Bench, task: str, n: int, rng: np.random.Generator, *, noise: float, clusters: int = 0, same: bool = False
) -> None:
    """A task on which fine-tuning has gained, and the candidate lies near the fine-tuned model, or answers the same."""
    plan = questions(task, n, rng, clusters=clusters)
    base = rng.normal(size=(n, 3))
    tuned = base.copy()
    tuned[np.arange(n), np.arange(n) % 3] += 1.5 * (rng.random(n) < 0.7)
    bench.plan(task, plan, metrics=("acc", "f1"))
    bench.evaluation("base model", task, replies(plan, rng, 0.0, base))
    bench.evaluation("fp32", task, replies(plan, rng, 0.0, tuned))
    moved = tuned + noise * rng.normal(size=tuned.shape) * (rng.random((n, 1)) < (0.0 if same else 0.5))
    bench.evaluation("q", task, replies(plan, rng, 0.0, moved))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Items apart, in sixty clusters, in thirty (few of them changed), equal answers, and documents."""
    folder, rng = tmp_path_factory.mktemp("results"), np.random.default_rng(4)
    bench = Bench(folder)
    three(bench, "t", 300, rng, noise=0.5)
    three(bench, "c", 360, rng, noise=1.0, clusters=120)
    three(bench, "s", 240, rng, noise=0.2, clusters=30)
    three(bench, "z", 150, rng, noise=0.2, same=True)
    plan: list[PlannedItem] = []
    sides: dict[str, list[ItemRecord]] = {name: [] for name in NAMES}
    for i in range(40):
        tokens = int(rng.integers(40, 400))
        nll = tokens * float(rng.normal(2.5, 0.2))
        gained, lost = tokens * float(rng.normal(0.3, 0.05)), tokens * float(rng.normal(0.03, 0.02))
        plan.append(PlannedItem(item=f"w{i}", index=i, prompt_hash=f"h{i}", prompt="d", bytes=4 * tokens + i))
        for name, own in zip(NAMES, (nll + gained, nll, nll + lost), strict=True):
            score = DocumentScore(nll=own, tokens=tokens)
            sides[name].append(ItemRecord(item=f"w{i}", prompt_hash=f"h{i}", document=score, metrics={}))
    bench.plan("w", plan, kind="perplexity", metrics=())
    for name, records in sides.items():
        bench.evaluation(name, "w", records)
    tasks = list(bench.tasks)
    bench.variant("fp32", tasks)
    bench.variant("q", tasks, facts=QUANTIZED)
    base = VariantRun(
        variant="base model", evaluations={task: key_of("base model", task) for task in tasks},
        facts=facts(weights_digest="before"),
    )  # fmt: skip
    judged(bench, GATES, base=base)
    return folder


@pytest.fixture(scope="module")
def explained(root: Path) -> list[tuple[Finding, Explanation]]:
    verdict = Store(root).verdict("s", "r1")
    found = [each for place in range(len(GATES)) for each in api.explain("r1", str(place), results=root)]
    return list(zip(findings(verdict), found, strict=True))


def test_every_number_is_that_of_the_verdict(explained: list[tuple[Finding, Explanation]]) -> None:
    """Bounds, decision and rule as verdict.json has them; steps, inputs of three models, what would change it."""
    for finding, each in explained:
        assert finding.n is not None, finding.reason
        assert (each.value, each.lower, each.upper, each.reason) == (
            finding.value, finding.lower, finding.upper, finding.reason,
        )  # fmt: skip
        said = [condition.gives for condition in each.conditions if condition.holds] or ["INCONCLUSIVE"]
        assert said == [finding.decision], each.gate
        assert each.method.startswith("Fieller's set (1954)")
        assert not each.notes
        assert [place.what for place in each.places[:3]] == list(NAMES)
        assert {change.of for change in each.changes} >= {"limit", "alpha"}
    assert {finding.decision for finding, _ in explained} == {"PASS", "FAIL", "INCONCLUSIVE"}


def test_formulas_give_their_values(explained: list[tuple[Finding, Explanation]]) -> None:
    """Every formula, evaluated as it is printed, gives the value printed under it."""
    count = 0
    for _, each in explained:
        for section in each.sections:
            for step in section.steps:
                if step.formula:
                    count += 1
                    assert step.value is not None, (each.gate, step)
                    assert calculated(step.numbers) == pytest.approx(step.value, rel=1e-5, abs=1e-8), (each.gate, step)
    assert count > 100


def test_the_steps_end_in_the_bounds(explained: list[tuple[Finding, Explanation]]) -> None:
    """The last L and U are the finding's, or the score statistic meets its quantile there."""
    for finding, each in explained:
        steps = {step.symbol: step.value or 0.0 for section in each.sections for step in section.steps}
        if "L" in steps:
            assert (steps["L"], steps["U"]) == pytest.approx((finding.lower, finding.upper), rel=1e-9), each.gate
            continue
        ends = [s.steps[-1].value or 0.0 for s in each.sections if "bound" in s.title]
        assert ends == pytest.approx([steps["z_q"], -steps["z_q"]], rel=1e-6), each.gate


def values(root: Path, task: str, metric: str) -> list[Floats]:
    """The three models' scores from the files named: a checksum and JSON on each line."""
    found = []
    for name in NAMES:
        lines = (root / "evaluations" / key_of(name, task) / "chunks.jsonl").read_text().splitlines()
        items = [item for line in lines for item in json.loads(line.partition(" ")[2])]
        found.append(np.array([item["metrics"][metric]["value"] for item in items]))
    return found


def labels_of(root: Path, task: str) -> NDArray[np.int64]:
    rows = [json.loads(line) for line in (root / "plans" / f"plan-{task}.jsonl").read_text().splitlines()[1:]]
    labels: NDArray[np.int64] = np.unique([row["cluster"] for row in rows], return_inverse=True)[1]
    return labels


def most_likely(worth: Floats, r: float) -> float:
    """Variance of an item's kept - r gain under the most likely shares with mean 0, by a general optimiser: the shares
    of each distinct value and of the worst one either way."""
    reach = max(1.0, r, 1 - r)
    points = np.unique(np.r_[np.round(worth, 12), reach, -reach])
    counts = np.array([(np.round(worth, 12) == point).sum() for point in points])
    start = np.where(counts > 0, counts, 0.01) / (counts.sum() + 0.02)
    whole = optimize.LinearConstraint(np.vstack([np.ones(points.size), points]), [1.0, 0.0], [1.0, 0.0])
    done = optimize.minimize(  # type: ignore[call-overload]  # the stubs take typed functions only
        lambda p: -(counts * np.log(np.maximum(p, 1e-300))).sum() / counts.sum(),
        start, jac=lambda p: -counts / np.maximum(p, 1e-12) / counts.sum(), method="SLSQP",
        bounds=[(1e-12, 1.0)] * points.size, options={"ftol": 1e-15, "maxiter": 2000}, constraints=whole,
    )  # fmt: skip
    return float(done.x @ points**2)


def score_z(low: Floats, middle: Floats, high: Floats, r: float) -> float:
    worth = (high - low) - r * (middle - low)
    return float(np.sqrt(worth.size) * worth.mean() / np.sqrt(most_likely(worth, r)))


def roots(z: Callable[[float], float], share: float, quantile: float) -> tuple[float, float]:
    """Where a falling statistic meets the quantile on either side of the share."""
    low = optimize.brentq(lambda r: z(r) - quantile, share - 0.9, share)
    return float(low), float(optimize.brentq(lambda r: z(r) + quantile, share, share + 0.9))


@pytest.mark.parametrize("place", [0, 1])
def test_right_or_wrong_from_the_records(root: Path, explained: list[tuple[Finding, Explanation]], place: int) -> None:
    """Counts and share from the files; the bounds by a general optimiser of the likelihood and a root finder."""
    low, middle, high = values(root, "t", "acc")
    finding, each = explained[place]
    steps = {step.symbol: step.value for section in each.sections for step in section.steps}
    for code in range(8):
        pattern = [low, middle, high]
        held = np.all([side == int(bit) for side, bit in zip(pattern, f"{code:03b}", strict=True)], axis=0)
        assert steps[f"n{code:03b}"] == held.sum()
    share = (high.sum() - low.sum()) / (middle.sum() - low.sum())
    bounds = roots(lambda r: score_z(low, middle, high, r), share, float(stats.norm.ppf(0.95)))
    assert (finding.value, finding.lower, finding.upper) == pytest.approx((share, *bounds), abs=2e-4)
    z = score_z(low, middle, high, finding.limit)
    assert finding.p == pytest.approx(stats.norm.sf(-z), rel=5e-3)


def test_few_clusters_from_the_records(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """Over thirty clusters: the design effect's own bounds, and Gaffke's by drawn weights with one cluster more."""
    low, middle, high = values(root, "s", "acc")
    labels = labels_of(root, "s")
    groups, n = labels.max() + 1, labels.size

    def z(r: float) -> float:
        worth = (high - low) - r * (middle - low)
        apart = np.array([(worth - worth.mean())[labels == group].sum() for group in range(groups)])
        robust = groups / (groups - 1) * (apart**2).sum() / n**2
        return score_z(low, middle, high, r) / float(np.sqrt(max(1.0, robust / (worth.var(ddof=1) / n))))

    finding, each = explained[8]
    steps = {step.symbol: step.value or 0.0 for section in each.sections for step in section.steps}
    share = (high.sum() - low.sum()) / (middle.sum() - low.sum())
    own = roots(z, share, float(stats.t.ppf(0.95, groups - 1)))
    assert (steps["L₀"], steps["U₀"]) == pytest.approx(own, abs=5e-4)
    drawn = np.random.default_rng(0).exponential(size=(200_000, groups + 1))
    for bound, side in (("L_G", -1.0), ("U_G", 1.0)):
        r = steps[bound]
        sums = np.bincount(labels, weights=(high - low) - r * (middle - low))
        beyond = drawn @ np.append(sums, side * max(1.0, r, 1 - r) * n / groups)
        assert (beyond * side > 0).mean() == pytest.approx(0.05, abs=0.003)
    assert (finding.lower, finding.upper) == (min(steps["L₀"], steps["L_G"]), max(steps["U₀"], steps["U_G"]))


def left_out(sums: Floats, weights: Floats) -> Floats:
    """The ratio without each unit in turn: what a jackknife is."""
    return np.asarray((sums.sum() - sums) / (weights.sum() - weights))


def by_jackknife(gain: Floats, kept: Floats, weights: Floats) -> tuple[float, float, float]:
    def t(r: float) -> float:
        each = left_out(kept - r * gain, weights)
        spread = (each.size - 1) / each.size * ((each - each.mean()) ** 2).sum()
        # The judge takes deviations from the whole ratio, the textbook's jackknife from the mean of the parts.
        whole = (kept - r * gain).sum() / weights.sum()
        spread += (each.size - 1) * (each.mean() - whole) ** 2
        return float(whole / np.sqrt(spread))

    share = float(kept.sum() / gain.sum())
    return share, *roots(t, share, float(stats.t.ppf(0.95, gain.size - 1)))


def test_graded_and_documents_from_the_records(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """F1 apart and in clusters, perplexity: roots of a t that leaves out one item, cluster or document at a time."""
    low, middle, high = values(root, "t", "f1")
    finding = explained[4][0]
    found = by_jackknife(middle - low, high - low, np.ones(low.size))
    assert (finding.value, finding.lower, finding.upper) == pytest.approx(found, abs=1e-9)
    low, middle, high = values(root, "c", "f1")
    labels, finding = labels_of(root, "c"), explained[5][0]
    gain, kept, sizes = (np.bincount(labels, weights=each) for each in (middle - low, high - low, np.ones(low.size)))
    found = by_jackknife(gain.astype(float), kept.astype(float), sizes.astype(float))
    assert (finding.value, finding.lower, finding.upper) == pytest.approx(found, abs=1e-9)
    sides = []
    for name in NAMES:
        (line,) = (root / "evaluations" / key_of(name, "w") / "chunks.jsonl").read_text().splitlines()
        sides.append([item["document"] for item in json.loads(line.partition(" ")[2])])
    low, middle, high = (np.array([each["nll"] for each in side]) for side in sides)
    tokens = np.array([each["tokens"] for each in sides[0]], dtype=float)
    finding, each = explained[6]
    assert (finding.value, finding.lower, finding.upper) == pytest.approx(
        by_jackknife(low - middle, low - high, tokens), abs=1e-9
    )
    (table,) = each.tables
    row = dict(zip(table.columns, table.rows[0], strict=True))
    place = int(np.argmax(np.abs(high - middle)))
    assert row["document"] == f"w{place}"
    assert row["lost against fp32"] == pytest.approx((high - middle)[place])
    assert row["kept − r · gain at the limit"] == pytest.approx((low - high)[place] - 0.8 * (low - middle)[place])


def test_flips_show_where_the_base_stands(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """Each flip between the fine-tuned model and the candidate has the base's answer, margin and whether it was right;
    the printed lines name all three."""
    low, middle, high = values(root, "t", "acc")
    each = explained[0][1]
    assert each.flips_total == int((middle != high).sum())
    records = Store(root).items(key_of("base model", "t"))
    for flip in each.flips:
        assert isinstance(flip, FlipBeside)
        place = int(flip.item.removeprefix("t"))
        likelihoods = [option.log_likelihood or 0.0 for option in records[place].options]
        right = place % 3
        assert flip.base_answer == OPTIONS[int(np.argmax(likelihoods))]
        assert flip.base_right is bool(low[place] == 1)
        best = max(value for option, value in enumerate(likelihoods) if option != right)
        assert flip.base_margin == pytest.approx(likelihoods[right] - best)
        assert (flip.direction == "right_to_wrong") is bool(middle[place] == 1)
    out = io.StringIO()
    print_explanation(each, Console(file=out, width=400))
    shown = out.getvalue()
    first = each.flips[0]
    assert isinstance(first, FlipBeside)
    assert f"base, {'right' if first.base_right else 'wrong'}: {first.base_answer}   margin" in shown
    assert "    fp32: " in shown
    assert "\n    q: " in shown
    assert "the base model: " not in shown


@pytest.mark.parametrize("place", range(len(GATES)))
def test_what_would_change_it_does(root: Path, explained: list[tuple[Finding, Explanation]], place: int) -> None:
    """Judged again at the limit or alpha named, the gate says what was said it would."""
    finding, each = explained[place]
    manifest = Store(root).find_run("r1")
    evidence = gather(Store(root), manifest, finding, reading(Store(root), manifest))
    for change in each.changes:
        if change.of == "limit" and change.value is not None:
            assert evidence.judge(change.value, finding.alpha).decision == change.gives
        if change.of == "alpha" and change.value is not None:
            assert evidence.judge(finding.limit, change.value * 1.001).decision == change.gives
