"""The few figures a person wants first."""

from __future__ import annotations

from harness.reports.blocks import Card, Panels, Table
from harness.reports.sections.overview import MOST_QUALITY, figures, section
from tests.reports.example import example


def test_figures_of_every_candidate() -> None:
    """A column per figure that any candidate has, each with the worst decision of the gates on the whole of it."""
    shown = {figure.title: figure for figure in figures(example())}
    assert list(shown) == ["intents", "replies", "PPL", "KL mean", "flips", "decode", "weights"]
    assert [cell.text for cell in shown["intents"].cells] == ["0.00 pp", "1.10 pp", "4.60 pp", "–"]
    assert [cell.decision for cell in shown["intents"].cells] == ["PASS", "INCONCLUSIVE", "FAIL", None]
    assert [shown[title].detail for title in ("intents", "PPL", "KL mean", "decode")] == [
        "drop",
        "rise",
        "nats",
        "ratio",
    ]


def test_many_metrics_are_their_worst() -> None:
    """More quality metrics than there is room for are one column: the largest drop, with its task."""
    first = example().candidates[0]
    more = [
        first.measures[0].model_copy(update={"task": f"t{place}", "change": place / 100})
        for place in range(MOST_QUALITY + 1)
    ]
    verdict = example().model_copy(update={"candidates": (first.model_copy(update={"measures": tuple(more)}),)})
    worst = next(figures(verdict))
    assert (worst.title, worst.cells[0].text) == ("worst drop", "3.00 pp t3")


def test_a_page_has_cards_and_the_rest_a_table() -> None:
    """The same figures; a card leaves out what its variant has not."""
    found = section(example())
    (cards,), (rows,) = found.blocks, found.short or ()
    assert isinstance(cards, Panels)
    assert isinstance(rows, Table)
    invalid = cards.panels[-1]
    assert isinstance(invalid, Card)
    assert [name for name, _ in invalid.pairs] == ["weights ratio"]
    assert [column.title for column in rows.columns][:3] == ["variant", "verdict", "intents"]
    assert len(rows.groups[0].rows) == 4


def test_without_a_verdict_nothing_is_judged() -> None:
    """`--report-only`: a candidate is not judged, but INVALID is told all the same."""
    found = section(example().model_copy(update={"report_only": True}))
    (cards,) = found.blocks
    assert isinstance(cards, Panels)
    words = [card.word for card in cards.panels if isinstance(card, Card)]
    assert words == ["not judged", "not judged", "not judged", "INVALID"]
