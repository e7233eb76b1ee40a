"""Too good, or too odd, to be true: each rule at its threshold, and what it does to the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.records.findings import Check
from harness.records.items import DocumentScore, ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from harness.records.verdict import CandidateVerdict
from tests.gates.handmade import DROP, QUANTIZED, Bench, binary_bench, facts, items, one
from tests.gates.test_judge import documents_bench

Written = list[tuple[str, bool, bool]]
"""Of every item: the text, whether it ended, whether it is right."""
RIGHT = 0
"""The right option of every item here."""


def named(checks: Sequence[Check], name: str) -> list[Check]:
    return [check for check in checks if check.name == name and not check.held]


def choice_bench(root: Path, chosen: dict[str, list[int]], *, moved: bool = True, options: int = 4) -> Bench:
    """A choice task on which each variant chooses these options; the candidate's numbers are its own if `moved`."""
    bench = Bench(root)
    count = len(next(iter(chosen.values())))
    names = tuple(f"option {n}" for n in range(options))
    bench.plan("t", [each.model_copy(update={"options": names, "expected": names[RIGHT]}) for each in items(count)])
    for name, choices in chosen.items():
        shift = 0.001 if moved and name != "fp32" else 0.0
        records = [
            ItemRecord(
                item=f"i{n}",
                prompt_hash=f"h{n}",
                options=tuple(
                    OptionAnswer(log_likelihood=-1.0 - shift if place == choice else -2.0, tokens=1, greedy=False)
                    for place in range(options)
                ),
                metrics={"acc": outcome(float(choice == RIGHT))},
            )
            for n, choice in enumerate(choices)
        ]
        bench.evaluation(name, "t", records)
        own = {} if name == "fp32" else {"facts": QUANTIZED, "must_be_quantized": True}
        bench.variant(name, ["t"], **own)
    return bench


MIXED = [RIGHT] * 140 + [1, 2, 3] * 20
"""Mostly right, all options used."""


def test_a_gain_that_quantization_does_not_give_is_named(tmp_path: Path) -> None:
    """200 items: 20 won and none lost is at least 2 pp better for certain; 5 won is not. A note, not a verdict."""
    gained = one(binary_bench(tmp_path / "a", 200, 0, 20).verdict(DROP))
    (check,) = named(gained.checks, "plausible gain")
    assert (gained.decision, check.blocks) == ("PASS", False)
    assert "acc is up 10.00 pp, at least" in check.says
    assert not named(one(binary_bench(tmp_path / "b", 200, 0, 5).verdict(DROP)).checks, "plausible gain")


@pytest.mark.parametrize(("extra", "noted"), [(-0.05, True), (-0.01, False), (0.05, False)])
def test_a_perplexity_far_below_the_baselines_is_named(tmp_path: Path, extra: float, noted: bool) -> None:
    """5 % less is named, 1 % is not."""
    candidate = one(documents_bench(tmp_path, 40, extra).verdict([]))
    assert bool(named(candidate.checks, "plausible gain")) == noted


@pytest.mark.parametrize("claims", [True, False])
def test_numbers_equal_to_the_last_bit(tmp_path: Path, claims: bool) -> None:
    """A model that claims to be quantized and computes the baseline's numbers is INVALID; another is only named."""
    bench = choice_bench(tmp_path, {"fp32": MIXED, "q": MIXED}, moved=False)
    bench.variant("q", ["t"], facts=QUANTIZED, must_be_quantized=claims)
    candidate = one(bench.verdict(DROP))
    (check,) = named(candidate.checks, "other outputs")
    assert (check.blocks, candidate.decision == "INVALID") == (claims, claims)
    assert "on all 200 items" in check.says


def test_one_number_that_differs_is_another_computation(tmp_path: Path) -> None:
    """Equal on all items but one is not equal; equal documents are found as options are."""
    bench = choice_bench(tmp_path / "a", {"fp32": MIXED, "q": MIXED}, moved=False)
    records = bench.store.items(bench.key("q", "t"))
    last = records[-1].options
    options = (last[0].model_copy(update={"log_likelihood": -2.0000000001}), *last[1:])
    bench.forget("q", "t")
    bench.evaluation("q", "t", [*records[:-1], records[-1].model_copy(update={"options": options})])
    assert not named(one(bench.verdict(DROP)).checks, "other outputs")
    bench = Bench(tmp_path / "b")
    bench.plan("w", items(30, bytes=9), kind="perplexity", metrics=())
    for name in ("fp32", "q"):
        scores = [DocumentScore(nll=5.0 + n, tokens=3) for n in range(30)]
        texts = [
            ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", document=score, metrics={}) for n, score in enumerate(scores)
        ]
        bench.evaluation(name, "w", texts)
        bench.variant(name, ["w"], facts=QUANTIZED if name == "q" else facts(), must_be_quantized=name == "q")
    assert one(bench.verdict([])).decision == "INVALID"


@pytest.mark.parametrize(
    ("baseline", "candidate", "noted"),
    [
        (MIXED, [1] * 200, True),
        (MIXED, [1] * 192 + [2] * 8, True),
        (MIXED, [1] * 180 + [2] * 20, False),
        ([0] * 196 + [1] * 4, [0] * 200, False),
        ([0] * 180 + [1] * 20, [0] * 200, True),
        ([0] * 180 + [1] * 20, [0] * 192 + [1] * 8, False),
    ],
)
def test_always_the_same_answer(tmp_path: Path, baseline: list[int], candidate: list[int], noted: bool) -> None:
    """Named where the baseline's answers vary and the candidate's do not; a task with one usual answer is none."""
    found = one(choice_bench(tmp_path, {"fp32": baseline, "q": candidate}).verdict([]))
    assert bool(named(found.checks, "varied answers")) == noted


def test_a_baseline_that_always_says_the_same_is_named(tmp_path: Path) -> None:
    """Its own check, with the option and an example."""
    verdict = choice_bench(tmp_path, {"fp32": [2] * 200, "q": MIXED}).verdict([])
    (check,) = named(verdict.baseline_checks, "varied answers")
    assert "option 3 ('option 2' in i0)" in check.says


def test_a_baseline_at_chance_is_named_and_its_pass_is_invalid(tmp_path: Path) -> None:
    """54 of 200 with four options is chance; a guesser would hold a drop of 5 pp, so nobody gets a PASS for it."""
    weak = [RIGHT] * 54 + [1, 2, 3] * 48 + [1, 2]
    verdict = choice_bench(tmp_path, {"fp32": weak, "q": weak}).verdict([{**DROP[0], "max_drop": 0.05}])
    (check,) = named(verdict.baseline_checks, "above chance")
    assert not check.blocks
    assert "acc 27.0 % (from" in check.says
    assert "guessing gives 25.0 %" in check.says
    candidate = one(verdict)
    assert candidate.decision == "INVALID"
    assert "a model that knows nothing would hold this limit" in candidate.findings[0].reason
    assert candidate.findings[0].upper is not None


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ({"max_drop": 0.4}, "PASS"),
        ({"max_drop": 0.46}, "INVALID"),
        ({"min_recovery": "40%"}, "PASS"),
        ({"min_recovery": "30%"}, "INVALID"),
        ({"max_relative_drop": "70%"}, "INVALID"),
        ({"min": 0.2}, "PASS"),
    ],
)
def test_a_limit_that_a_guesser_holds_certifies_nothing(tmp_path: Path, gate: dict[str, object], expected: str) -> None:
    """The baseline has 70 %, guessing 25 %: limits of more than 45 pp, or of under 36 % kept, are no limits."""
    bench = choice_bench(tmp_path, {"fp32": MIXED, "q": MIXED})
    assert one(bench.verdict([{"task": "t", "metric": "acc", **gate}])).findings[0].decision == expected


def test_a_bad_candidate_fails_at_chance_too(tmp_path: Path) -> None:
    """Only a PASS is worth nothing there: a FAIL is still one."""
    weak = [RIGHT] * 54 + [1, 2, 3] * 48 + [1, 2]
    worse = [1] * 200
    assert one(choice_bench(tmp_path, {"fp32": weak, "q": worse}).verdict(DROP)).decision == "FAIL"


def text_bench(root: Path, texts: dict[str, Written]) -> Bench:
    """A generation task: each variant's (text, ended, right) per item."""
    bench = Bench(root)
    bench.plan(
        "say",
        [PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p") for n in range(len(texts["fp32"]))],
        kind="generate",
        metrics=("exact_match",),
    )
    for name, written in texts.items():
        records = [
            ItemRecord(
                item=f"i{n}",
                prompt_hash=f"h{n}",
                answer=TextAnswer(text=text, tokens=4, finish="stop" if ended else "length"),
                metrics={"exact_match": outcome(float(right))},
            )
            for n, (text, ended, right) in enumerate(written)
        ]
        bench.evaluation(name, "say", records)
        own = {} if name == "fp32" else {"facts": QUANTIZED, "must_be_quantized": True}
        bench.variant(name, ["say"], **own)
    return bench


def said(count: int, *, cut: int = 0, blank: int = 0, cut_right: int = 0, seed: str = "") -> Written:
    """Different right answers; the first ones cut off (some of them right all the same), the last ones blank."""
    return [
        ("" if n >= count - blank else f"answer {n}{seed}", n >= cut, cut_right > n or cut <= n < count - blank)
        for n in range(count)
    ]


def say(root: Path, candidate: Written, baseline: Written) -> CandidateVerdict:
    gates: list[dict[str, object]] = [{"task": "say", "metric": "exact_match", "max_drop": 0.05}]
    return one(text_bench(root, {"fp32": baseline, "q": candidate}).verdict(gates))


@pytest.mark.parametrize(
    ("cut", "cut_right", "baseline_cut", "noted", "blocks"),
    [
        (0, 0, 0, False, False),
        (12, 0, 0, True, False),  # more than the baseline's
        (2, 0, 0, False, False),  # 1 % more is under the 2 %
        (60, 30, 60, False, False),  # as many as the baseline's, and some are right: they are just long
        (60, 0, 60, True, False),  # never right
        (190, 0, 0, True, True),
        (190, 40, 190, False, False),  # one-token answers: the limit ends them, and they are right
    ],
)
def test_answers_that_end_at_the_token_limit(
    tmp_path: Path, cut: int, cut_right: int, baseline_cut: int, noted: bool, blocks: bool
) -> None:
    """More than the baseline's, or never right: named. Nearly all and never right: the metric measures nothing."""
    baseline = said(200, cut=baseline_cut, cut_right=cut_right)
    candidate = say(tmp_path, said(200, cut=cut, cut_right=cut_right, seed="!"), baseline)
    found = named(candidate.checks, "answers end")
    assert (bool(found), any(check.blocks for check in found)) == (noted, blocks)
    assert (candidate.decision == "INVALID") == blocks


def test_silence_is_named_where_it_is_new(tmp_path: Path) -> None:
    """Empty answers are the model's doing and are scored; more of them than the baseline's are named."""
    candidate = say(tmp_path / "a", said(200, blank=20, seed="!"), said(200))
    (check,) = named(candidate.checks, "answers said")
    assert "20 of 200 answers are empty, the baseline's 0" in check.says
    assert candidate.decision == "FAIL"
    assert not named(say(tmp_path / "b", said(200, blank=20, seed="!"), said(200, blank=20)).checks, "answers said")


def test_equal_texts_are_a_note(tmp_path: Path) -> None:
    """At 8 bits every text may be the baseline's: named where nothing else shows that the model differs."""
    candidate = say(tmp_path, said(200), said(200))
    (check,) = named(candidate.checks, "other outputs")
    assert (check.blocks, candidate.decision) == (False, "PASS")


def test_weights_of_two_engines_are_not_told_apart(tmp_path: Path) -> None:
    """A digest of one engine says nothing about a model loaded by another."""
    bench = binary_bench(tmp_path, 200, 0, 0, facts=QUANTIZED.model_copy(update={"engine": "llama.cpp"}))
    says = {check.name: check.says for check in one(bench.verdict(DROP)).checks}
    assert (
        says["another model"] == "loaded by llama.cpp, the baseline by scripted: their weights cannot be compared here"
    )


def test_no_rule_needs_more_than_arrays(tmp_path: Path) -> None:
    """A plain candidate holds every check, and each says so."""
    noisy = list(MIXED)
    noisy[3], noisy[150] = 1, RIGHT
    candidate = one(choice_bench(tmp_path, {"fp32": MIXED, "q": noisy}).verdict(DROP))
    names = {"plausible gain", "other outputs", "varied answers", "answers end", "answers said"}
    assert {check.name for check in candidate.checks if check.held} >= names
    assert np.isfinite(candidate.findings[0].p or np.nan)
