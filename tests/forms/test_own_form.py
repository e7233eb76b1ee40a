"""A form is its file and its row: in a copy of the tree with a form more, everything else knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORM = '''
"""`max_flip_rate`: the largest share of items whose answer may change, for better or worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.forms.base import Estimate, Form, Judgement, Terms, decide, reasoned
from harness.forms.design import Certified, Design
from harness.notation import Notation, bounds, percent

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.samples.pairs import PairedMetric
    from harness.stats import MeanLevel


def rate_of(sample: PairedMetric, alpha: float) -> MeanLevel:
    from harness.stats import mean_level

    return mean_level(abs(sample.drops), alpha=alpha, clusters=sample.clusters, shares=True)


def judge_rate(sample: PairedMetric, terms: Terms) -> Judgement:
    rate = rate_of(sample, terms.alpha)
    estimate = Estimate(value=rate.mean, lower=rate.lower, upper=rate.upper, n=rate.n, p=rate.p_above(terms.limit))
    decision = decide(estimate, terms.limit, ceiling=True)
    measured = f"{percent(rate.mean)} flipped ({bounds(rate.lower, rate.upper, percent)}), limit {percent(terms.limit)}"
    return Judgement(decision=decision, reason=reasoned(measured, decision), estimate=estimate)


def derive_rate(sample: PairedMetric, terms: Terms) -> Derivation:
    from harness.derivations.mean_level import level_of_items

    return level_of_items(abs(sample.drops), rate_of(sample, terms.alpha), alpha=terms.alpha)


def certify_rate(design: Design, limit: float) -> Certified:
    return Certified(says=f" flip at a rate of {percent(design.flips.share)}", enough=design.flips.share < limit)


MAX_FLIP_RATE = Form(
    key="max_flip_rate",
    says="Largest share of items whose answer changes.",
    noun="flip rate",
    ceiling=True,
    domain=(0, 1),
    percent=True,
    kinds=frozenset({"binary"}),
    notation=Notation.PERCENT,
    looks_at="pairs",
    judge=judge_rate,
    derive=derive_rate,
    certify=certify_rate,
    neutral=0.0,
)
'''
USE = """
import json, sys
from pathlib import Path

from harness import api
from harness.engines.scripted import ScriptedTokenizer
from harness.forecast.certify import certificates
from harness.planning.plan_suite import plan_suite
from harness.suite.load import load_suite
from harness.suite.schema import suite_schema
from tests.explanations.saved import findings, judged
from tests.gates.handmade import binary_bench

folder = Path(sys.argv[1])
assert Path(api.__file__).is_relative_to(folder), api.__file__
assert "max_flip_rate" in str(suite_schema())
gate = {"task": "t", "metric": "acc", "max_flip_rate": "10%"}
verdict = judged(binary_bench(folder / "results", 400, 9, 3), [gate, {**gate, "max_flip_rate": "1%"}])
finding, broken = findings(verdict)
assert broken.decision == "FAIL"
print(finding.decision, finding.reason)
(explained,) = api.explain("r1", "0", results=folder / "results")
print(explained.method, *(condition.rule for condition in explained.conditions if condition.holds))
print(*(change.says for change in explained.changes if change.of == "limit" and change.gives == "FAIL"))
page = api.report(verdict, reports=folder / "reports")
for name in ("report.md", "report.html", "junit.xml"):
    assert "3.00 % flipped" in (page.parent / name).read_text(encoding="utf-8"), name
assert "flip rate ≤ 10.0 %" in page.read_text(encoding="utf-8")
assert api.history("s", results=folder / "results").skipped == ()

(folder / "rows.jsonl").write_text("".join(json.dumps({"text": f"row {n}"}) + chr(10) for n in range(50)))
choice = {"data": "rows.jsonl", "prompt": "{{text}}", "choices": ["yes", "no"], "answer": "yes"}
suite = {
    "suite": "s", "model": "none", "tasks": {"t": {"choice": choice}}, "gates": [gate],
    "variants": {"full": {"engine": "scripted", "baseline": True}, "half": {"dtype": "bfloat16"}},
}
(folder / "suite.yaml").write_text(json.dumps(suite))
loaded = load_suite(folder / "suite.yaml")
(row,) = certificates(loaded.suite, plan_suite(loaded, ScriptedTokenizer(), context_length=None))
print(row.limit, "|", row.says)
"""


def test_a_form_of_its_own(tmp_path: Path) -> None:
    """Suite, schema, plan, gate, explain, what would change it, history and every report, without a line elsewhere."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "harness", tree / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "harness" / "forms" / "flip_rate.py").write_text(FORM, encoding="utf-8")
    table = tree / "harness" / "forms" / "__init__.py"
    text = table.read_text(encoding="utf-8")
    row = text.replace("        MAX_DROP,\n", "        MAX_DROP,\n        MAX_FLIP_RATE,\n")
    imported = "from harness.forms.flip_rate import MAX_FLIP_RATE\nfrom harness.forms.increase"
    table.write_text(row.replace("from harness.forms.increase", imported), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-c", USE, str(tree)], cwd=tree, capture_output=True, text=True, check=False, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    judged, explained, changed, planned = found.stdout.splitlines()
    assert judged == "PASS 3.00 % flipped (1.88 % to 4.75 %), limit 10.0 %"
    assert explained == "Wilson's score bounds (1927) for a share PASS if U < limit"
    assert "(max_flip_rate: 0.01" in changed
    assert planned.startswith("flip rate ≤ 10 % | t acc: 50 items flip at a rate of ")
