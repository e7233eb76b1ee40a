"""What words are compared by: the table of docs/suite.md, any script, and references that never vanish."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.words import contains, exact_match, f1, normal_words, words_of
from tests.faults.asked import planned, refusal, run_saying

GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}:", "answer": "{{a}}"}
EXAMPLE = re.compile(r"\| `(?P<answer>[^`]+)` \| `(?P<reference>[^`]+)` \| (?P<contains>[\d.]+) \| (?P<f1>[\d.]+) \|")


def documented() -> list[tuple[str, str, float, float]]:
    text = (Path(__file__).parents[2] / "docs" / "suite.md").read_text()
    part = text.partition("### Words\n")[2].partition("\n### ")[0]
    return [
        (found["answer"], found["reference"], float(found["contains"]), float(found["f1"]))
        for found in EXAMPLE.finditer(part)
    ]


def test_the_documented_examples_hold() -> None:
    """Every line of the table, so that the documentation is what happens."""
    examples = documented()
    assert len(examples) > 20
    for answer, reference, contained, shared in examples:
        assert contains(answer, reference) == contained, (answer, reference)
        assert f1(answer, reference) == pytest.approx(shared, abs=0.005), (answer, reference)


@pytest.mark.fault("T1", "a gold answer that is an article, metric contains", "100 % and 0 %, FAIL")
@pytest.mark.parametrize("metric", ["contains", "f1", "exact_match"])
def test_a_letter_that_is_an_article_is_an_answer(tmp_path: Path, metric: str) -> None:
    """The baseline says A to every item, the candidate B: the drop is seen."""
    rows = [{"q": f"Question {n}", "a": "A"} for n in range(80)]
    done = run_saying(tmp_path, {"generate": {**GENERATE, "metric": metric}}, rows, "A", "B")
    assert done.exit_code == 10
    (measure,) = (each for each in done.verdict.candidates[0].measures if each.metric == metric)
    assert (measure.baseline, measure.candidate) == (1.0, 0.0)
    assert f1("The", "A") == f1("", "the") == f1("the", "") == contains("", "A") == 0.0


@pytest.mark.fault("T2", "answers in Chinese and with typographic quotes", "found")
@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("首都是北京。", "北京"),
        ("北京。", "北京"),
        ("The answer is “Paris”.", "Paris"),
        ("เมืองหลวงคือกรุงเทพ", "กรุงเทพ"),
        ("राजधानी दिल्ली है।", "दिल्ली"),
        ("العاصمة هي القاهرة، نعم", "القاهرة"),
        ("¿Dónde? ¡Aquí!", "Aquí"),
        ("答えは「東京」です", "東京"),
        ("\uff30\uff41\uff52\uff49\uff53", "paris"),
        ("cafe\u0301", "café"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("٣", "3"),
        ("서울.", "서울"),
    ],
)
def test_words_are_found_in_any_script(answer: str, reference: str) -> None:
    """By the script's own words, punctuation and case."""
    assert contains(answer, reference) == 1.0
    assert f1(answer, reference) > 0


@pytest.mark.fault("T3", "a sign, decimal point, operator or ++ told apart by punctuation only", "not contained")
@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("5", "-5"), ("The total is 314", "3.14"), ("x < 5", "x > 5"), ("C++", "C"), ("C", "C#"), ("C", "C++"),
        ("-5", "5"), ("5", "+5"), ("x", "-x"), ("5", "\u22125"), ("5", ".5"), ("50", "50%"), ("5", "$5"), ("$5", "-$5"),
        ("12", "1/2"), ("345", "3:45"), ("53", "5*3"), ("53", "5-3"), ("x = y", "x != y"), ("x > y", "x -> y"),
        ("A", "A+"), ("A", "A-"), ("A", "A*"), ("x2", "x²"), ("ATT", "AT&T"), ("Plan C", "Plan A"), ("q", "¬q"),
        ("答案是-5。", "5"), ("≤5", "≥5"), ("314", "3,14"), ("myvar", "my_var"),
    ],
)  # fmt: skip
def test_what_carries_meaning_is_never_deleted(answer: str, reference: str) -> None:
    """Nor is it by `ignore_punctuation`."""
    assert contains(answer, reference) == 0.0
    assert exact_match(answer, reference, ignore_case=True, ignore_punctuation=True) == 0.0


@pytest.mark.parametrize(
    ("settings", "answer", "reference", "value"),
    [
        ({}, "Paris.", "Paris", 0.0),
        ({"ignore_punctuation": True}, "“Paris”。", "Paris", 1.0),
        ({"ignore_punctuation": True}, "paris", "Paris", 0.0),
        ({"ignore_punctuation": True, "ignore_case": True}, "PARIS!", "Paris", 1.0),
        ({"ignore_case": True}, "STRASSE", "Straße", 1.0),
        ({"ignore_punctuation": True}, "the cat", "cat", 0.0),
        ({"ignore_punctuation": True}, "3.14.", "3.14", 1.0),
    ],
)
def test_equality_ignores_what_it_is_told_to(
    settings: dict[str, bool], answer: str, reference: str, value: float
) -> None:
    """Case, or punctuation, or both; articles never."""
    assert exact_match(answer, reference, **settings) == value


@pytest.mark.fault("T1", "a reference of punctuation only under a metric that leaves it out", "refused by name")
@pytest.mark.parametrize(
    "change", [{"metric": "contains"}, {"metric": ["exact_match", "f1"]}, {"ignore_punctuation": True}]
)
def test_a_reference_that_would_vanish_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """Its row is named; plain equality takes it."""
    rows = [{"q": "x", "a": "fine"}, {"q": "y", "a": "?!"}]
    told = refusal(tmp_path, {"generate": {**GENERATE, **change}}, rows)
    assert told.startswith("rows.jsonl:2: tasks.t.generate.answer: the reference '?!' is punctuation only")
    assert planned(tmp_path, {"generate": GENERATE}, rows).items[1].expected == "?!"


texts = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.mark.fault("kind: a reference erased by normalisation", "random texts of every script", "never erased")
@given(texts)
def test_no_letter_digit_or_symbol_ever_vanishes(text: str) -> None:
    """A text with any of them has words, and contains itself."""
    kept = [char for char in text if unicodedata.category(char) in ("Lu", "Ll", "Lo", "Nd", "Sm", "Sc", "So")]
    assert not kept or words_of(text)
    assert not words_of(text) or normal_words(text)
    assert contains(text, text) == f1(text, text) == 1.0
    assert exact_match(text, text, ignore_case=True, ignore_punctuation=True) == 1.0


@pytest.mark.fault(
    "kind: meaning deleted with punctuation", "random numbers that differ in sign or point", "told apart"
)
@given(
    st.decimals(-9999, 9999, allow_nan=False, places=2),
    st.decimals(-9999, 9999, allow_nan=False, places=2),
    st.sampled_from(["{}", "The total is {}.", "答案是{}。", "x = {}", "({})", "“{}”", "is {}, yes"]),
)
def test_numbers_are_equal_only_to_themselves(one: Any, other: Any, frame: str) -> None:
    """In any sentence: contained when equal, never when they differ."""
    answer, reference = frame.format(one), str(other)
    if answer.startswith("x = -") or one == other == 0:  # minus zero is another text
        return
    assert contains(answer, reference) == float(one == other)
