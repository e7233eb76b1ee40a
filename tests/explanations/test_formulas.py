"""A reader with a calculator gets every number: formulas as printed, inputs from `quantgate show`."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from harness import api
from harness.commands.show import export
from harness.explanations import Explanation
from harness.records.findings import Finding
from harness.records.store import Store
from tests.explanations.saved import findings, judged, whole
from tests.gates.handmade import key_of

FORMS: list[dict[str, object]] = [
    {"task": "t", "metric": "acc", "max_drop": 0.02},
    {"task": "t", "metric": "acc", "max_drop": 0.2},
    {"task": "t", "metric": "acc", "max_drop": 0.04, "slice": "each"},
    {"task": "c", "metric": "acc", "max_drop": 0.04},
    {"task": "t", "metric": "acc", "min_recovery": 0.97},
    {"task": "t", "metric": "acc", "max_relative_drop": 0.3},
    {"task": "c", "metric": "acc", "min_recovery": 0.9},
    {"task": "t", "metric": "acc", "min": 0.5},
    {"task": "c", "metric": "acc", "min": 0.9, "on": "baseline"},
    {"task": "t", "metric": "acc", "max": 0.5},
    {"task": "t", "metric": "f1", "max_drop": 0.01},
    {"task": "c", "metric": "f1", "max_drop": 0.02},
    {"task": "t", "metric": "f1", "min_recovery": 0.97},
    {"task": "c", "metric": "f1", "max_relative_drop": 0.02},
    {"task": "t", "metric": "f1", "min": 0.4},
    {"task": "c", "metric": "f1", "max": 0.4},
    {"task": "w", "metric": "perplexity", "max_increase": 0.02},
    {"task": "w", "metric": "perplexity", "max_increase": 0.05, "slice": "half=a"},
    {"task": "w", "metric": "bits_per_byte", "max_increase": 0.008},
    {"task": "w", "metric": "perplexity", "max": 13.0},
    {"task": "w", "metric": "bits_per_byte", "max": 1.0},
    {"task": "w", "metric": "kl_mean", "max": 0.01},
    {"task": "w", "metric": "kl_p95", "max": 0.04},
    {"task": "w", "metric": "kl_p999", "max": 0.04},
    {"task": "w", "metric": "kl_max", "max": 0.5},
    {"task": "w", "metric": "top1_agreement", "min": 0.9},
    {"task": "w", "metric": "delta_p_mean", "min": -0.1},
    {"task": "w", "metric": "delta_p_rms", "max": 0.1},
    {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
    {"metric": "ttft_s", "max_ratio": 0.8},
    {"metric": "inter_token_p95_s", "max": 0.09},
    {"metric": "weight_bytes", "max_ratio": 0.35},
    {"metric": "weight_bytes", "max": 30},
]  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    judged(whole(folder), FORMS)
    return folder


@pytest.fixture(scope="module")
def explained(root: Path) -> list[tuple[Finding, Explanation]]:
    """Every finding of the run beside its explanation."""
    verdict = Store(root).verdict("s", "r1")
    found = [each for place in range(len(FORMS)) for each in api.explain("r1", str(place), results=root)]
    by_gate = {(each.gate, each.variant): each for each in found}
    assert len(found) == len(findings(verdict))
    return [(finding, by_gate[finding.gate, finding.variant]) for finding in findings(verdict)]


def shown(root: Path, task: str) -> dict[str, list[dict[str, Any]]]:
    """What `quantgate show` prints of a task, by variant."""
    out = io.StringIO()
    with redirect_stdout(out):
        export("r1", root, task=task, form="jsonl")
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    return {name: [row for row in rows if row["variant"] == name] for name in ("fp32", "q")}


def calculated(text: str) -> float:
    """A formula with its numbers, as printed."""
    for sign, meant in (("−", "-"), ("·", "*"), ("²", "**2"), ("Φ⁻¹", "normal"), ("t⁻¹", "student"), (";", ",")):
        text = text.replace(sign, meant)
    text = re.sub(r"√(-?[0-9.e-]+)", r"sqrt(\1)", text).replace("√", "sqrt")
    text = re.sub(r"e\^\(", "exp(", text)
    text = re.sub(r"(?<![0-9])e\^(-?[0-9.]+(?:e-?[0-9]+)?)", r"exp(\1)", text)
    text = text.replace("^", "**")
    text = re.sub(r"\|([^|]+)\|", r"abs(\1)", text)
    names = {
        "sqrt": math.sqrt, "exp": math.exp, "max": max, "min": min, "abs": abs, "normal": stats.norm.ppf,
        "student": stats.t.ppf,
    }  # fmt: skip
    return float(eval(text, {"__builtins__": {}}, names))


def test_every_form_is_explained(explained: list[tuple[Finding, Explanation]]) -> None:
    """The words and numbers are those of verdict.json, for every finding; each has steps, a rule and a way back."""
    for finding, each in explained:
        assert (each.decision, each.value, each.lower, each.upper, each.reason, each.limit, each.n) == (
            finding.decision, finding.value, finding.lower, finding.upper, finding.reason, finding.limit, finding.n,
        )  # fmt: skip
        assert each.sections, each.gate
        assert each.method, each.gate
        assert each.places, each.gate
        assert not [note for note in each.notes if "verdict.json" in note or "rule alone" in note], each.notes
    assert {finding.decision for finding, _ in explained} == {"PASS", "FAIL", "INCONCLUSIVE"}


def test_the_rule_gives_the_decision(explained: list[tuple[Finding, Explanation]]) -> None:
    """Where the printed PASS holds it is PASS, where FAIL holds FAIL, where neither INCONCLUSIVE."""
    for finding, each in explained:
        said = [condition.gives for condition in each.conditions if condition.holds] or ["INCONCLUSIVE"]
        assert said == [finding.decision], each.gate


def test_formulas_give_their_values(explained: list[tuple[Finding, Explanation]]) -> None:
    """Every formula, evaluated as it is printed, gives the value printed under it."""
    count = 0
    for _, each in explained:
        for section in each.sections:
            for step in section.steps:
                if not step.formula:
                    continue
                count += 1
                assert step.value is not None
                found = calculated(step.numbers)
                if step.symbol in ("q", "p01", "p10"):
                    found = max(0.0, found)
                assert found == pytest.approx(step.value, rel=1e-5, abs=1e-9), (each.gate, step)
    assert count > 250


def test_the_steps_end_in_the_bounds(explained: list[tuple[Finding, Explanation]]) -> None:
    """Where bounds are computed, the last steps are the finding's own; the score statistics meet the quantile there."""
    for finding, each in explained:
        steps = {step.symbol: step.value for section in each.sections for step in section.steps}
        if finding.lower is None or finding.upper is None:
            continue
        if "L" in steps:
            bounds = (steps["L"], steps["U"])
            if finding.form == "max_relative_drop":
                bounds = (1 - (steps["U"] or 0), 1 - (steps["L"] or 0))
            assert bounds == pytest.approx((finding.lower, finding.upper), rel=1e-9, abs=1e-12), each.gate
            continue
        quantile = steps.get("z_q", steps.get("t_q"))
        ends = {s.title: s.steps[-1].value for s in each.sections if "bound" in s.title}
        assert len(ends) == 2, each.gate
        assert sorted(map(abs, filter(None, ends.values()))) == pytest.approx([quantile] * 2, rel=1e-6), each.gate


def tango(n: float, b: float, c: float, quantile: float) -> tuple[float, float]:
    """Tango's bounds by a general root finder on the likelihood's own terms."""

    def z(d: float) -> float:
        lin, const = d * (2 * n - b + c) - (b + c), -c * d * (1 - d)
        q = max(0.0, (-lin + math.sqrt(max(0.0, lin**2 - 8 * n * const))) / (4 * n))
        return float((b - c - n * d) / math.sqrt(n * (2 * q + d * (1 - d))))

    top = optimize.brentq(lambda d: z(d) + quantile, (b - c) / n + 1e-9, 0.999)
    low = optimize.brentq(lambda d: z(d) - quantile, -0.999, (b - c) / n - 1e-9)
    return float(low), float(top)


def ratio(x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Ratio of sums and the half-width of its interval."""
    r, g = x.sum() / w.sum(), x.size
    se = math.sqrt(g / (g - 1) * ((x - r * w) ** 2).sum()) / w.sum()
    return float(r), float(stats.t.ppf(0.95, g - 1) * se)


def of(explained: list[tuple[Finding, Explanation]], place: int) -> tuple[float, float, float]:
    finding, _ = explained_at(explained, place)
    assert finding.value is not None
    assert finding.lower is not None
    assert finding.upper is not None
    return finding.value, finding.lower, finding.upper


def explained_at(explained: list[tuple[Finding, Explanation]], place: int) -> tuple[Finding, Explanation]:
    return next(pair for pair in explained if pair[0].gate.split(" ")[0] == f"gates[{place}]")


def test_drops_from_what_show_prints(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """Counted from the exported rows and computed apart: Tango, Tango over clusters, paired t, Nam-Blackwelder."""
    rows = shown(root, "t")
    left, right = (np.array([row["acc"] for row in rows[name]]) for name in ("fp32", "q"))
    b, c, n = int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum()), left.size
    assert of(explained, 0) == pytest.approx(((b - c) / n, *tango(n, b, c, stats.norm.ppf(0.95))), abs=1e-7)
    steps = {step.symbol: step.value for s in explained_at(explained, 0)[1].sections for step in s.steps}
    assert (steps["n"], steps["b"], steps["c"]) == (n, b, c)
    assert explained_at(explained, 0)[1].flips_total == b + c

    rows = shown(root, "c")
    left, right = (np.array([row["acc"] for row in rows[name]]) for name in ("fp32", "q"))
    _, labels = np.unique([row["cluster"] for row in rows["q"]], return_inverse=True)
    d, n = left - right, left.size
    groups = labels.max() + 1
    sums = np.array([(d - d.mean())[labels == g].sum() for g in range(groups)])
    deff = max(1.0, groups / (groups - 1) * (sums**2).sum() / n**2 / (d.var(ddof=1) / n))
    low, top = tango(n / deff, (d > 0).sum() / deff, (d < 0).sum() / deff, stats.t.ppf(0.95, groups - 1))
    found, each = explained_at(explained, 3)
    ends = {step.symbol: step.value or 0.0 for section in each.sections for step in section.steps}
    assert (found.value, ends["L₀"], ends["U₀"]) == pytest.approx((d.mean(), low, top), abs=1e-7)
    drawn = np.random.default_rng(0).exponential(size=(200_000, groups + 1))
    sums, sizes = np.bincount(labels, weights=d), np.bincount(labels)
    for bound, worst in (("U_G", 1.0), ("L_G", -1.0)):
        means = drawn @ np.append(sums, worst * sizes.mean()) / (drawn @ np.append(sizes, sizes.mean()))
        assert (worst * means > worst * ends[bound]).mean() == pytest.approx(0.05, abs=0.003)
    assert (found.lower, found.upper) == (min(low, ends["L_G"]), max(top, ends["U_G"]))

    rows = shown(root, "t")
    d = np.array([row["f1"] for row in rows["fp32"]]) - np.array([row["f1"] for row in rows["q"]])
    half = stats.t.ppf(0.95, d.size - 1) * d.std(ddof=1) / math.sqrt(d.size)
    assert of(explained, 10) == pytest.approx((d.mean(), d.mean() - half, d.mean() + half), abs=1e-9)


def test_documents_from_what_show_prints(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """Perplexity and divergence from the exported NLL, tokens and KL; the table's shares are those of the whole."""
    rows = shown(root, "w")
    left, right = (np.array([row["nll"] for row in rows[name]]) for name in ("fp32", "q"))
    tokens, kl = np.array([row["tokens"] for row in rows["q"]]), np.array([row["kl"] for row in rows["q"]])
    r, h = ratio(right - left, tokens)
    bounds = [math.expm1(r), math.expm1(r - h), math.expm1(r + h)]
    assert of(explained, 16) == pytest.approx(bounds, abs=1e-12)
    r, h = ratio(kl, tokens)
    assert of(explained, 21) == pytest.approx((r, r - h, r + h), abs=1e-12)
    (table,) = explained_at(explained, 16)[1].tables
    rise = right - left
    order = np.argsort(-rise)[:10]
    assert [row[0] for row in table.rows] == [f"w{place}" for place in order]
    assert [row[-1] for row in table.rows] == pytest.approx((rise[order] / rise.sum()).tolist())


def test_quantiles_from_the_records(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """The 95th percentile of KL from the stored values, with Woodruff's interval."""
    records = Store(root).items(key_of("q", "w"))
    values = [np.frombuffer(base64.b64decode(r.document.kl_values or ""), "<f4").astype(float)
              for r in records if r.document is not None]  # fmt: skip
    every = np.concatenate(values)
    estimate = np.quantile(every, 0.95)
    f, h = ratio(np.array([(v <= estimate).sum() for v in values], float), np.array([v.size for v in values], float))
    bounds = [estimate, np.quantile(every, f - h), np.quantile(every, f + h)]
    assert of(explained, 22) == pytest.approx(bounds, rel=1e-9)


def test_speed_from_the_records(root: Path, explained: list[tuple[Finding, Explanation]]) -> None:
    """Ratios from the stored times; the bounds by enumerating every sign of the ranks."""
    record = json.loads((root / "speed" / "k.json").read_text())
    (workload,) = record["workloads"]
    figures = [[9 / (pair[side]["end_to_end_s"] - pair[side]["ttft_s"]) for pair in workload["pairs"]]
               for side in ("baseline", "candidate")]  # fmt: skip
    logs = np.log(np.array(figures[1]) / np.array(figures[0]))
    n = logs.size
    walsh = np.sort([(logs[i] + logs[j]) / 2 for i in range(n) for j in range(i, n)])
    signs = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    below = np.cumsum(np.bincount(signs @ np.arange(1, n + 1))) / 2**n
    cut = int((below <= 0.05).sum())
    found = np.exp([np.median(walsh), walsh[cut - 1], walsh[-cut]])
    assert of(explained, 28) == pytest.approx(found, rel=1e-9)
    (table,) = explained_at(explained, 28)[1].tables
    assert [row[5] for row in table.rows] == pytest.approx(logs.tolist())
