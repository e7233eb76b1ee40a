"""The table of metrics is the one place: what a row says holds everywhere, and a row more is known everywhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.errors import SuiteError
from harness.metrics.row import (
    Headline,
    Metric,
    StoredBytes,
    Strictness,
    TextScore,
    TimedFigure,
    TokenMean,
    TokenQuantile,
)
from harness.metrics.table import METRICS, added, computed_by, likelihood, lookup, per_character
from harness.records.items import DocumentScore
from harness.records.timings import MemoryFigures
from harness.suite.load import load_suite
from tests.explanations.saved import judged, whole

ROOT = Path(__file__).parents[2] / "harness"


def first_word(answer: str, reference: str, _: Strictness) -> float:
    return float(answer.split()[:1] == reference.split()[:1])


TEXT = Metric(
    name="first_word",
    kind="binary",
    unit="fraction",
    description="the first word is the reference's",
    computed=TextScore(score=first_word, by_words=lambda strictness: False),
    higher_is_better=True,
)
P90 = Metric(
    name="kl_p90",
    kind="divergence",
    unit="nats",
    description="90th percentile of KL",
    computed=TokenQuantile(probability=0.9),
)
FAR = Metric(
    name="kl_over_5_millinats",
    kind="divergence",
    unit="fraction",
    description="tokens whose KL is over 0.005 nats",
    computed=TokenMean(
        summed="tokens whose KL is over 0.005 nats", per_token=lambda kl: (kl > 0.005).astype(np.float64), scale=1.0
    ),
)
TOTAL = Metric(
    name="end_to_end_s",
    kind="speed",
    unit="s",
    description="time to the last token",
    computed=TimedFigure(of=lambda run, workload: run.end_to_end_s, formula="end_to_end_s"),
    neutral=1.0,
    headline=Headline(title="in all", rank=9),
)
LOAD = Metric(
    name="load_peak_bytes",
    kind="memory",
    unit="B",
    description="peak memory of the process while loading",
    computed=StoredBytes(field="process_peak_load_bytes", title="While it loads"),
    neutral=1.0,
)
OWN = (TEXT, P90, FAR, TOTAL, LOAD)


def test_a_row_is_whole() -> None:
    """A description without a full stop, a unit that reports can write, and stored fields that there are."""
    for name, row in METRICS.items():
        assert name == row.name
        assert re.fullmatch(r"\w.*[^.]", row.description), name
        assert row.unit in ("", "fraction", "bits", "nats", "s", "tok/s", "tokens", "B")
        agreement = name in ("top1_agreement", "ear_mean", "identical", "first_divergence", "edit_similarity")
        assert row.neutral == (1.0 if row.kind in ("ratio", "speed", "memory") or agreement else 0.0)
    assert {each.field for each in computed_by(StoredBytes).values()} <= MemoryFigures.model_fields.keys()
    assert {each.field for each in computed_by(TokenMean).values()} <= DocumentScore.model_fields.keys()


def test_names_of_lm_eval_are_found_by_their_metric() -> None:
    """A filter behind a comma is lm-eval's; another name has no row."""
    assert lookup("exact_match,strict-match") is METRICS["exact_match"]
    assert lookup("anls") is None
    assert per_character("acc_norm,none")
    assert not per_character("acc")
    with pytest.raises(KeyError):
        likelihood("acc")


def test_nothing_else_lists_metrics() -> None:
    """Outside of the table's families no line holds the names of two metrics."""
    names = re.compile(r'"(' + "|".join(re.escape(name) for name in METRICS) + r')"')
    shared = {"perplexity", "f1", "contains"}  # also a kind of task, a word
    for path in sorted(ROOT.rglob("*.py")):
        if path.parent.name == "metrics":
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = {each for each in names.findall(line) if each not in shared}
            assert len(found) < 2, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_the_table_starts_light() -> None:
    """Suites and reports read it: it loads neither numpy nor the words' patterns."""
    code = "import sys, harness.metrics.table; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "regex", "pydantic"} & set(loaded)


def test_a_name_is_taken_once() -> None:
    """A row that is added is gone afterwards; one that takes another's name is refused."""
    with added(P90):
        assert lookup("kl_p90") is P90
    assert lookup("kl_p90") is None
    with pytest.raises(ValueError, match="acc"), added(METRICS["acc"]):
        pass


def suite_file(folder: Path, text_metric: str, **gate: object) -> Path:
    task = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "{{a}}", "metric": text_metric}
    path = folder / "suite.yaml"
    path.write_text(
        json.dumps(
            {
                "suite": "s",
                "model": "m",
                "variants": {"full": {"engine": "scripted", "baseline": True}, "small": {"engine": "scripted"}},
                "tasks": {"t": {"generate": task}, "w": {"perplexity": {"data": "rows.jsonl"}}},
                "gates": [gate],
            }
        )
    )
    return path


def test_a_suite_knows_a_row_more(tmp_path: Path) -> None:
    """A metric of texts and one of documents pass the check; without their rows they are unknown, and named."""
    texts = suite_file(tmp_path, "first_word", task="t", metric="first_word", max_drop=0.02)
    with pytest.raises(SuiteError, match="unknown metric 'first_word'"):
        load_suite(texts)
    with added(*OWN):
        load_suite(texts)
        load_suite(suite_file(tmp_path, "exact_match", task="w", metric="kl_p90", max=0.1))
        with pytest.raises(SuiteError, match=r"does not fit kl_p90; use one of max, min"):
            load_suite(suite_file(tmp_path, "exact_match", task="w", metric="kl_p90", max_drop=0.1))


def test_a_run_is_judged_explained_and_shown_by_a_row_more(tmp_path: Path) -> None:
    """Two divergences, a speed and a memory figure: gate, explain, report and history have them from their rows."""
    gates: list[dict[str, object]] = [
        {"task": "w", "metric": "kl_p90", "max": 0.03},
        {"task": "w", "metric": "kl_over_5_millinats", "max": 0.9},
        {"metric": "end_to_end_s", "max_ratio": 0.9},
        {"metric": "load_peak_bytes", "max_ratio": 0.9},
    ]
    bench = whole(tmp_path)
    timed = bench.store.speed("k")
    assert timed is not None
    peaks = {
        side: MemoryFigures(process_peak_load_bytes=size) for side, size in (("memory", 30), ("baseline_memory", 60))
    }
    bench.store.save_speed(timed.model_copy(update={"key": "m", **peaks}))
    bench.variants["q"] = bench.variants["q"].model_copy(update={"speed": "m"})
    with added(*OWN):
        verdict = judged(bench, gates)
        found = {each.metric: each for each in verdict.candidates[0].findings}
        assert {each.decision for each in found.values()} == {"PASS"}
        methods = {name: harness.explain("r1", name, results=tmp_path)[0].method for name in found}
        page = harness.report(verdict, results=tmp_path, reports=tmp_path / "reports").read_text()
        history = {row.metric for row in harness.history("s", results=tmp_path).figures}
    assert "Woodruff" in methods["kl_p90"]
    assert "ratio estimator" in methods["kl_over_5_millinats"]
    for row in (P90, FAR, TOTAL, LOAD):
        assert row.name in page
        assert row.name in history
    assert "While it loads" in page
    assert "in all" in page
