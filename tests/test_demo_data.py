"""The demo's questions: sound enough that a drop measured on them means something."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from ruamel.yaml import YAML

SUITES = Path(__file__).parent.parent / "suites"
CHOICE_KEYS = {"id", "topic", "question", "choices", "answer"}
SHORT_KEYS = {"id", "topic", "question", "answer"}


def rows(name: str) -> list[dict[str, object]]:
    text = (SUITES / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def topics(name: str) -> Counter[str]:
    return Counter(str(row["topic"]) for row in rows(name))


def few_shot_questions() -> set[str]:
    suite = YAML(typ="safe").load((SUITES / "demo.yaml").read_text(encoding="utf-8"))
    lines = str(suite["tasks"]["short"]["generate"]["prompt"]).splitlines()
    return {line.removeprefix("Question: ") for line in lines if line.startswith("Question: ")}


@pytest.mark.parametrize(
    ("name", "fewest", "keys"), [("facts.jsonl", 320, CHOICE_KEYS), ("short.jsonl", 64, SHORT_KEYS)]
)
def test_items_are_many_alike_and_distinct(name: str, fewest: int, keys: set[str]) -> None:
    """Each file has its promised number of items, every item the same fields, no id or question twice."""
    items = rows(name)
    assert len(items) >= fewest
    assert all(set(row) == keys for row in items)
    for key in ("id", "question"):
        folded = Counter(str(row[key]).casefold() for row in items)
        assert [value for value, count in folded.items() if count > 1] == []


@pytest.mark.parametrize("name", ["facts.jsonl", "short.jsonl"])
def test_strings_are_plain(name: str) -> None:
    """Every text is short printable ASCII without stray spaces, so tokenizers and terminals agree on it."""
    for row in rows(name):
        choices = row.get("choices", [])
        assert isinstance(choices, list)
        for text in [value for value in row.values() if not isinstance(value, list)] + choices:
            assert isinstance(text, str)
            assert text == " ".join(text.split())
            assert text.isascii()
            assert text.isprintable()
            assert 0 < len(text) < 100


def test_the_answer_is_one_of_four_different_choices() -> None:
    """Four options that differ, and the answer among them, so chance is exactly one in four."""
    for row in rows("facts.jsonl"):
        choices = row["choices"]
        assert isinstance(choices, list)
        assert len(choices) == 4
        assert len({choice.casefold() for choice in choices}) == 4
        assert row["answer"] in choices


def test_the_position_of_the_answer_says_nothing() -> None:
    """The right option stands in each place about equally often, overall and in every topic."""
    places: Counter[int] = Counter()
    by_topic: dict[str, Counter[int]] = {}
    for row in rows("facts.jsonl"):
        choices = row["choices"]
        assert isinstance(choices, list)
        place = choices.index(row["answer"])
        places[place] += 1
        by_topic.setdefault(str(row["topic"]), Counter())[place] += 1
    share = places.total() / 4
    assert all(abs(places[place] - share) <= 0.05 * share for place in range(4))
    assert all(max(count.values()) - min(count.values()) <= 2 for count in by_topic.values())


def test_topics_are_large_enough_to_be_slices() -> None:
    """At least four topics of at least 25 items each for the choice task, ten each for the short answers."""
    assert len(topics("facts.jsonl")) >= 4
    assert min(topics("facts.jsonl").values()) >= 25
    assert min(topics("short.jsonl").values()) >= 10


def test_short_answers_fit_the_demo() -> None:
    """An answer is one or two words, and no item is among the worked examples of the prompt."""
    examples = few_shot_questions()
    assert len(examples) == 4  # three worked examples and the item's own line
    for row in rows("short.jsonl"):
        assert 1 <= len(str(row["answer"]).split()) <= 2
        assert row["question"] not in examples


def test_no_short_item_repeats_a_choice_item() -> None:
    """The two tasks ask different questions, so their evidence is not the same evidence twice."""
    asked = {str(row["question"]).casefold() for row in rows("facts.jsonl")}
    assert [row["id"] for row in rows("short.jsonl") if str(row["question"]).casefold() in asked] == []
