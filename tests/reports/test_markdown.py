"""Markdown for pull requests: tables that hold, text that stays text."""

from __future__ import annotations

import re

from harness.reports.markdown import escape, render_markdown
from tests.reports.example import HOSTILE, example


def test_the_table_has_a_row_per_candidate() -> None:
    """Every row has as many cells as the header, whatever the cells say."""
    table, _, _ = render_markdown(example()).partition("<details>")
    lines = [line for line in table.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert len(lines) == 2 + 4
    assert len(set(cells)) == 1
    assert [word for line in lines[2:] for word in re.findall(r"\*\*(\w+)\*\*", line)] == [
        "PASS",
        "INCONCLUSIVE",
        "FAIL",
        "INVALID",
    ]


def test_hostile_text_forms_no_markup() -> None:
    """No element, no code span, no cell, no mention, no link, no line of its own."""
    text = escape(HOSTILE)
    assert "\n" not in text
    assert "<" not in text
    assert not re.search(r"(?<!\\)[|`*_\[\]]", text)
    assert not re.search(r"@\w", text)
    assert "://" not in text


def test_answers_stand_in_preformatted_text() -> None:
    """Outside `pre` blocks no raw answer appears, inside them no tag can end the block."""
    text = render_markdown(example())
    assert "<script" not in text
    assert "<img" not in text
    outside = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)
    assert "@everyone" not in outside
    assert text.count("<pre>") == text.count("</pre>")
    assert text.count("<details>") == text.count("</details>") == 5


def test_no_line_is_a_ci_command() -> None:
    """Printed to a CI log, no line of the comment is a workflow command."""
    for line in render_markdown(example()).splitlines():
        assert not line.strip().startswith(("::", "##["))


def test_the_reasons_are_given() -> None:
    """Each finding that is not PASS stands under its variant with its reason."""
    text = render_markdown(example())
    assert text.startswith("## ⛔ INVALID: support-bot\n")
    assert "about 2,410 more items would decide" in text
    assert "warning only" in text
