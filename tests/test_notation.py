"""Every rule of `harness/notation.py` as a table: at a unit's border and for what is no number too."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import notation
from harness.notation import BEYOND, DASH, NONE, Notation, Scale

INF, NAN = math.inf, math.nan

WRITTEN: list[tuple[Callable[[float], str], dict[float, str]]] = [
    (
        notation.points,
        {0.0125: "1.25 pp", 0: "0.00 pp", -0.000001: "0.00 pp", -0.02: "-2.00 pp", 0.99999: "100.00 pp", INF: BEYOND},
    ),
    (
        notation.percent,
        {0.023: "2.30 %", 0.09999: "10.0 %", 0.1: "10.0 %", 0.962: "96.2 %", -0.5: "-50.0 %", 12.5: "1,250.0 %",
         -0.09999: "-10.0 %", 1e-9: "0.00 %", INF: BEYOND, -INF: BEYOND},
    ),
    (
        notation.ratio,
        {0.35: "0.350 ×", 9.9994: "9.999 ×", 9.9996: "10.0 ×", 12.3456: "12.3 ×", 0: "0.000 ×", 1e20: "1e+20 ×"},
    ),
    (
        notation.byte_size,
        {0: "0 B", 999: "999 B", 999.6: "1 kB", 1500: "1.5 kB", 99_960: "100 kB", 269e6: "269 MB", 999.4e6: "999 MB",
         999.6e6: "1 GB", 1.5e9: "1.5 GB", 12.34e12: "12.3 TB", 1234e12: "1,234 TB", -2e6: "-2 MB"},
    ),
    (
        notation.latency,
        {0.0125: "12.5 ms", 0: "0.0 ms", 1e-9: "0.0 ms", 0.99994: "999.9 ms", 0.99999: "1.00 s", 1.5: "1.50 s",
         -0.002: "-2.0 ms", 4000: "4,000.00 s"},
    ),
    (
        notation.duration,
        {0: "0 s", 48.3: "48 s", 59.7: "1 min 00 s", 185: "3 min 05 s", 3599.6: "1 h 00 min", 3900: "1 h 05 min",
         100_000: "27 h 46 min", -5: "-5 s", -0.2: "0 s", INF: BEYOND},
    ),
    (
        notation.number,
        {7.38905: "7.389", 0: "0", 999.94: "999.9", 999.96: "1,000", 12345.6: "12,346", -4321: "-4,321", 3e-9: "3e-09",
         2e15: "2e+15"},
    ),
    (
        notation.significant,
        {0.03449: "0.034", 99.6: "100", 1.0: "1", 1234: "1,200", 0: "0", 1e-7: "1e-07", 999_600: "1e+06"},
    ),
    (notation.bits_per_weight, {4.506: "4.51 bits per weight", 16: "16.00 bits per weight"}),
    (notation.confidence, {0.05: "95 %", 0.025: "97.5 %", 0.001: "99.9 %", 1 / 3: "66.6667 %"}),
    (
        notation.in_formula,
        {3.0: "3", -2.0: "−2", 0.1: "0.1", 1 / 3: "0.3333333333", -1e-9: "−1e−09", INF: "∞", -INF: "−∞", 1e16: "1e+16"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("write", "value", "text"), [(write, value, text) for write, table in WRITTEN for value, text in table.items()]
)
def test_each_unit_has_one_rule(write: Callable[[float], str], value: float, text: str) -> None:
    """The digits follow the value that is shown, also where rounding takes it over a unit's border."""
    assert write(value) == text


@pytest.mark.parametrize("write", [write for write, _ in WRITTEN[:8]])
def test_what_is_no_number_is_said_in_words(write: Callable[[float], str]) -> None:
    """Neither `nan` nor `inf` reaches a report."""
    assert (write(NAN), write(INF)) == (NONE, BEYOND)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "B", DASH),
        (0.8125, "fraction", "81.2 %"),
        (1.5e9, "B", "1.5 GB"),
        (1.5, "s", "1.50 s"),
        (0.0123456, "nats", "0.01235 nats"),
        (1234.5, "tokens/s", "1,234 tokens/s"),
        (3.0, "", "3"),
        (INF, "nats", BEYOND),
        (NAN, "fraction", NONE),
    ],
)
def test_a_level_is_written_in_its_unit(value: float | None, unit: str, text: str) -> None:
    """A missing value is a dash, never a zero."""
    assert notation.level(value, unit) == text


@pytest.mark.parametrize(
    ("kind", "unit", "amount", "limit", "rough", "scale"),
    [
        (Notation.POINTS, "fraction", "2.00 pp", "2 pp", "2 pp", Scale(100, " pp")),
        (Notation.POINTS, "nats", "0.02 nats", "0.02 nats", "0.02 nats", Scale(1, "")),
        (Notation.POINTS, "", "0.02", "0.02", "0.02", Scale(1, "")),
        (Notation.PERCENT, "nats", "2.00 %", "2 %", "2 %", Scale(100, " %")),
        (Notation.RATIO, "B", "0.020 ×", "0.02 ×", "0.02 ×", Scale(1, " ×")),
        (Notation.LEVEL, "fraction", "2.0 %", "2 %", "2 %", Scale(100, " %")),
        (Notation.LEVEL, "s", "20.0 ms", "20.0 ms", "20.0 ms", Scale(1, "")),
        (Notation.LEVEL, "B", "0 B", "0 B", "0 B", Scale(1, "")),
    ],
)
def test_a_notation_writes_amounts_limits_and_axes(
    kind: Notation, unit: str, amount: str, limit: str, rough: str, scale: Scale
) -> None:
    """The same 0.02 in every notation, in full, as a limit, roughly, and on an axis."""
    assert kind.amount(0.02, unit) == amount
    assert kind.limit(0.02, unit) == limit
    assert kind.rough(0.02, unit) == rough
    assert kind.scale(unit) == scale
    assert kind.amount(None, unit) == DASH


def test_a_limit_keeps_what_a_person_wrote_and_an_estimate_does_not_pretend() -> None:
    """100 times 0.07 is not exact in binary, and a whole 100 % has no exponent."""
    assert Notation.POINTS.limit(0.07, "fraction") == "7 pp"
    assert Notation.PERCENT.limit(0.9954, "") == "99.54 %"
    assert Notation.PERCENT.rough(1.0, "") == "100 %"


@pytest.mark.parametrize(
    ("lower", "upper", "sentence", "table"),
    [
        (0.001, 0.023, "0.10 pp to 2.30 pp", "0.10 … 2.30 pp"),
        (None, 0.023, "up to 2.30 pp, no lower bound", DASH),
        (0.001, None, "from 0.10 pp, no upper bound", DASH),
        (0.001, INF, "from 0.10 pp, no upper bound", "0.10 pp … beyond measure"),
        (None, None, "no bound can be given", DASH),
        (-INF, INF, "no bound can be given", "beyond measure … beyond measure"),
        (INF, INF, BEYOND, "beyond measure … beyond measure"),
    ],
)
def test_bounds_in_a_sentence_and_in_a_table(
    lower: float | None, upper: float | None, sentence: str, table: str
) -> None:
    """A unit both share is written once in a table; a bound that is missing is said."""
    assert Notation.POINTS.bounds(lower, upper, "fraction") == sentence
    assert Notation.POINTS.span(lower, upper, "fraction") == table


def test_a_shared_unit_of_several_words_is_written_once() -> None:
    """`nats per token` is one unit; different prefixes of a byte are two."""
    assert notation.span("0.1 nats per token", "0.2 nats per token") == "0.1 … 0.2 nats per token"
    assert notation.span("900 kB", "1.2 MB") == "900 kB … 1.2 MB"
    assert notation.span("3", "4") == "3 … 4"


def test_counts_agree_with_their_noun() -> None:
    """One is, many are; thousands are separated."""
    assert [notation.count(each, "item") for each in (0, 1, 1200)] == ["0 items", "1 item", "1,200 items"]
    assert notation.count_is(1, "document") == "1 document is"
    assert notation.count_is(12, "document") == "12 documents are"
    assert notation.more_would_decide(1, "item") == "about 1 more item would decide at the rates seen"
    assert notation.more_would_decide(1500, "item") == "about 1,500 more items would decide at the rates seen"
    assert "no number of documents" in notation.more_would_decide(None, "document")


def test_long_lists_and_names_are_cut() -> None:
    """What is left out is counted."""
    assert notation.listed(["a", "b"]) == "a, b"
    assert notation.listed(["a", "b", "c", *"d" * 12]) == "a, b, c and 12 more"
    assert notation.shortened("x" * 61) == "x" * 59 + "…"
    assert notation.shortened("x" * 60) == "x" * 60


def test_the_worst_decision() -> None:
    """INVALID over FAIL over INCONCLUSIVE over WAIVED over PASS; every decision has both marks."""
    assert notation.worst(["PASS", "WAIVED", "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert notation.worst(["FAIL", "INVALID", "PASS"]) == "INVALID"
    assert notation.worst([]) is None
    assert set(notation.MARKS) == set(notation.EMOJI) == set(notation.WORST_FIRST)


@given(st.floats())
def test_any_number_can_be_written(value: float) -> None:
    """No value of the type fails, none is longer than a column, none is a negative zero."""
    for kind in Notation:
        for unit in ("fraction", "B", "s", "nats", ""):
            texts = (kind.amount(value, unit), kind.limit(value, unit), kind.rough(value, unit))
            for text in (*texts, notation.duration(value), notation.in_formula(value)):
                assert "nan" not in text
                assert len(text) < 60
                assert not text.startswith("-0 ")
                assert not text.startswith("-0.00 ")
