"""The most divergent tokens in their context."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.records.verdict import Verdict
from harness.reports.blocks import Fold, Table
from harness.reports.html import render_html
from harness.reports.markdown import render_markdown
from harness.reports.sections.most_divergent import carried, few, in_context, section
from harness.reports.terminal import print_verdict
from tests.reports.example import example
from tests.reports.sections.said import said


def without() -> Verdict:
    calm = tuple(each.model_copy(update={"divergent": ()}) for each in example().candidates)
    return example().model_copy(update={"candidates": calm})


def test_each_token_in_its_context_with_what_it_weighs() -> None:
    """KL, its share of the sum, Δp, what either model finds most likely, document and place."""
    found = section(example())
    assert found is not None
    folds = [block for block in found.blocks if isinstance(block, Fold)]
    assert [fold.summary for fold in folds] == ["int8 · heldout", "nf4 · heldout"]
    assert folds[1].note == "3 tokens of 4,096; 1 token of 4,096 carries 48.0 % of the mean KL"
    table = folds[1].blocks[-1]
    assert isinstance(table, Table)
    assert table.groups[0].rows[0] == (
        "…The capital of France is the city of ⟦Paris⟧", "6.2", "48.0 %", "-93.0 %", "⟦ Paris⟧", "⟦ Lyon⟧",
        "heldout-0007", "312",
    )  # fmt: skip


def test_what_an_earlier_version_stored_has_places_only() -> None:
    """A dash for what is not known, and why."""
    found = section(example())
    assert found is not None
    fold = found.blocks[1]
    assert isinstance(fold, Fold)
    assert "An earlier version stored no texts of these tokens; their places are known." in said(found)
    table = fold.blocks[-1]
    assert isinstance(table, Table)
    assert table.groups[0].rows[0] == ("–", "0.75", "0.21 %", "–", "–", "–", "heldout-0003", "2")


def test_a_sentence_where_few_tokens_carry_much() -> None:
    """On a terminal that line alone, and nothing where no few tokens do."""
    assert said(few(example())) == (
        "few tokens carry much of a mean KL\n"
        "nf4: heldout: 1 token of 4,096 carries 48.0 % of the mean KL, most of all "
        "token 312 of heldout-0007: …The capital of France is the city of ⟦Paris⟧"
    )
    tokens = example().candidates[1].divergent[0]
    assert carried(tokens) == ""
    ten = tokens.model_copy(update={"few": 10, "carried": 0.5})
    assert carried(ten) == "10 tokens of 4,096 carry 50.0 % of the mean KL"
    assert (section(without()), few(without())) == (None, None)


def test_foreign_tokens_form_nothing() -> None:
    """Line breaks, controls, direction marks, tags and table cells of tokens are shown as what they are."""
    nf4 = example().candidates[2].divergent[0].most
    assert "\n" not in in_context(nf4[1])
    assert in_context(nf4[2]) == "…日⟨U+202E⟩本␛[31m⟦⟨token 1234⟩⟧"
    page, comment, stream = render_html(example()), render_markdown(example()), StringIO()
    print_verdict(example(), Console(file=stream, width=100))
    for text in (page, comment, stream.getvalue()):
        assert [bad for bad in ("\u202e", "\x1b") if bad in text] == []
    assert "<script>alert" not in page + comment
    rows = [line for line in comment.splitlines() if "heldout-" in line and line.startswith("| …")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {7}
