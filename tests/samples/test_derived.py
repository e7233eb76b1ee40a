"""Metrics that follow from stored answers: for any stored run, against a plain loop over its texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from harness.explanations import explain_findings
from harness.explanations.explain import Shown
from harness.metrics.agreement import common_prefix
from harness.records.findings import Finding
from harness.records.items import ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from tests.gates.handmade import QUANTIZED, Bench, one

Written = Sequence[tuple[str, bool] | None]
"""Text and whether it was cut, by item; None for no answer."""


def bench_of(root: Path, baseline: Written, candidate: Written) -> Bench:
    bench = Bench(root)
    items = [
        PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p", slices={"half": "ab"[n % 2]})
        for n in range(len(baseline))
    ]
    bench.plan("say", items, kind="generate", metrics=("exact_match",))
    for name, written in (("fp32", baseline), ("q", candidate)):
        records = [
            ItemRecord(
                item=f"i{n}",
                prompt_hash=f"h{n}",
                answer=None
                if each is None
                else TextAnswer(text=each[0], tokens=len(each[0].split()), finish="length" if each[1] else "stop"),
                metrics={"exact_match": outcome(float("nan") if each is None else 1.0)},
            )
            for n, each in enumerate(written)
        ]
        if name == "q":
            records.reverse()  # stored in another order than the baseline's
        bench.evaluation(name, "say", records)
    bench.variant("fp32", ["say"])
    bench.variant("q", ["say"], facts=QUANTIZED, must_be_quantized=True)
    return bench


def written(count: int, seed: int, changed: float, cut: float) -> Written:
    rng = Random(seed)
    texts = []
    for n in range(count):
        words = [f"w{(7 * n + k) % 50}" for k in range(2 + n % 9)]
        if rng.random() < changed:
            words[rng.randrange(len(words))] = "other"
        texts.append((" ".join(words), rng.random() < cut))
    return texts


def distance(one: str, two: str) -> int:
    """Levenshtein's, as the textbook has it."""
    before = list(range(len(two) + 1))
    for i, a in enumerate(one, start=1):
        now = [i]
        for j, b in enumerate(two, start=1):
            now.append(min(before[j] + 1, now[-1] + 1, before[j - 1] + (a != b)))
        before = now
    return before[-1]


def test_measures_equal_a_plain_loop(tmp_path: Path) -> None:
    """Every measure, for a run whose two evaluations are stored in unlike orders."""
    left, right = written(120, 1, 0.0, 0.1), written(120, 2, 0.4, 0.2)
    measures = {each.metric: each for each in one(bench_of(tmp_path, left, right).verdict([])).measures}
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    assert measures["truncated_rate"].candidate == pytest.approx(sum(b[1] for _, b in pairs) / 120)
    assert measures["truncated_rate"].baseline == pytest.approx(sum(a[1] for a, _ in pairs) / 120)
    assert measures["identical"].candidate == pytest.approx(sum(a[0] == b[0] for a, b in pairs) / 120)
    similar = [1 - distance(a[0], b[0]) / max(len(a[0]), len(b[0])) for a, b in pairs]
    assert measures["edit_similarity"].candidate == pytest.approx(sum(similar) / 120)
    prefixes = [
        next((n for n, (x, y) in enumerate(zip(a[0], b[0], strict=False)) if x != y), min(len(a[0]), len(b[0])))
        / max(len(a[0]), len(b[0]))
        for a, b in pairs
    ]
    assert measures["first_divergence"].candidate == pytest.approx(sum(prefixes) / 120)
    lengths = [sum(len(side[0].split()) for side in sides) for sides in zip(*pairs, strict=True)]
    assert measures["length_ratio"].change == pytest.approx(lengths[1] / lengths[0] - 1)
    assert all(measures[name].baseline == 1 for name in ("identical", "edit_similarity", "first_divergence"))


def test_margins_equal_a_plain_loop(tmp_path: Path) -> None:
    """The right option's log-likelihood minus the best wrong one, summed over items, candidate over baseline."""
    bench, rng = Bench(tmp_path), Random(5)
    options, totals = ("a", "b", "c"), {"fp32": 0.0, "q": 0.0}
    plan = [
        PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p", options=options, expected=options[n % 3])
        for n in range(60)
    ]
    bench.plan("t", plan)
    for name, records in {name: [] for name in totals}.items():
        for n in range(60):
            values = [rng.gauss(3.0 * (k == n % 3), 1.0) for k in range(3)]
            totals[name] += values[n % 3] - max(value for k, value in enumerate(values) if k != n % 3)
            scored = tuple(OptionAnswer(log_likelihood=value, tokens=1, greedy=False) for value in values)
            records.append(ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", options=scored, metrics={"acc": outcome(1.0)}))
        bench.evaluation(name, "t", records)
        bench.variant(name, ["t"])
    measures = {each.metric: each for each in one(bench.verdict([])).measures}
    assert measures["margin_ratio"].change == pytest.approx(totals["q"] / totals["fp32"] - 1)
    assert measures["margin_ratio"].unit == "nats"


def only(bench: Bench, gate: dict[str, object], **suite: object) -> Finding:
    (finding,) = one(bench.verdict([{"task": "say", **gate}], **suite)).findings
    return finding


def test_gates_on_them(tmp_path: Path) -> None:
    """A rise of truncation, a floor of agreement, and a slice."""
    answers = [(f"answer {n}", False) for n in range(200)]
    worse = [(text, n < 30) for n, (text, _) in enumerate(answers)]
    bench = bench_of(tmp_path, answers, worse)
    rise = only(bench, {"metric": "truncated_rate", "max_drop": 0.05})
    assert rise.decision == "FAIL"
    assert rise.value == pytest.approx(0.15)
    assert rise.reason.startswith("rise 15.00 pp, one-sided 95 %")
    assert only(bench, {"metric": "truncated_rate", "max": 0.05}).decision == "FAIL"
    assert only(bench, {"metric": "identical", "min": 0.97}).decision == "PASS"
    sliced = only(bench, {"metric": "identical", "min": 0.9, "slice": "half=a"})
    assert (sliced.decision, sliced.n) == ("PASS", 100)


def test_an_answer_that_failed_agrees_with_nothing(tmp_path: Path) -> None:
    """It counts as cut and as another answer, never as left out."""
    answers = [(f"answer {n}", False) for n in range(50)]
    failed: list[tuple[str, bool] | None] = [*answers[:45], *([None] * 5)]
    measures = {each.metric: each for each in one(bench_of(tmp_path, answers, failed).verdict([])).measures}
    for name in ("identical", "first_divergence", "edit_similarity"):
        assert measures[name].candidate == pytest.approx(0.9)
        assert (measures[name].failed, measures[name].n) == (5, 50)
    assert measures["truncated_rate"].candidate == pytest.approx(0.1)


@pytest.mark.parametrize("gate", [{"metric": "identical", "min": 0.5}, {"metric": "edit_similarity", "max_drop": 0.5}])
def test_they_are_explained(tmp_path: Path, gate: dict[str, object]) -> None:
    """The steps give the verdict's bounds, and the files named hold the texts."""
    bench = bench_of(tmp_path, written(120, 1, 0.0, 0.1), written(120, 2, 0.4, 0.2))
    finding = only(bench, gate)
    bench.store.save_run(bench.manifest())
    (told,) = explain_findings(bench.store, bench.manifest(), [finding], Shown())
    assert told.sections
    assert not any("other bounds" in note for note in told.notes)
    assert told.places[0].field == "answer.text"
    if finding.metric == "identical":
        assert told.flips_total == 120 - round(120 * (finding.value or 0))
        assert told.flips


def test_a_task_of_choices_has_none_of_them(tmp_path: Path) -> None:
    """They are of generated answers."""
    bench = Bench(tmp_path)
    bench.plan("t", [PlannedItem(item="i", index=0, prompt_hash="h", prompt="p")])
    for name in ("fp32", "q"):
        record = ItemRecord(item="i", prompt_hash="h", metrics={"acc": outcome(1.0)})
        bench.evaluation(name, "t", [record])
        bench.variant(name, ["t"])
    assert [each.metric for each in one(bench.verdict([])).measures] == ["acc"]


@pytest.mark.parametrize(
    ("first", "second", "share"),
    [("", "", 1), ("abc", "abc", 1), ("abc", "abd", 2 / 3), ("abc", "", 0), ("ab", "abcd", 0.5), ("é", "e", 0)],
)
def test_where_two_answers_part(first: str, second: str, share: float) -> None:
    """In characters, over the longer one; a continuation is a difference."""
    assert common_prefix(first, second) == common_prefix(second, first) == pytest.approx(share)
