"""History: rows from verdicts, drawn as table, CSV and page."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from example import example
from rich.console import Console

from harness.history import HistoryRow, collect, history_csv, history_html, history_table, write_history
from harness.history.charts import charts
from harness.records.verdict import Verdict


def verdict(day: int, *, host: str = "one") -> Verdict:
    whole = example(run=f"run-{day}", shift=0.003 * day)
    return whole.model_copy(
        update={
            "started_at": f"2026-03-{day:02d}T10:00:00+00:00",
            "host": whole.host.model_copy(update={"fingerprint": host}),
        }
    )


@pytest.fixture
def rows() -> tuple[HistoryRow, ...]:
    verdicts = [verdict(3, host="two"), verdict(1), verdict(2)]
    return collect(verdicts, accepted={("run-2", "int8")})


def test_rows_are_in_time_order(rows: tuple[HistoryRow, ...]) -> None:
    """Oldest first, whatever order the verdicts came in; every measured candidate is there."""
    assert list(dict.fromkeys(row.run for row in rows)) == ["run-1", "run-2", "run-3"]
    drops = [row.change for row in rows if (row.variant, row.task, row.metric) == ("nf4", "intents", "acc")]
    assert drops == pytest.approx([0.049, 0.052, 0.055])


def test_a_row_carries_its_gate_and_promotion(rows: tuple[HistoryRow, ...]) -> None:
    """The decision is that of the gate on the whole figure, not of one of its slices."""
    found = {(row.run, row.variant): row for row in rows if (row.task, row.metric) == ("intents", "acc")}
    assert found["run-1", "int8"].decision == "INCONCLUSIVE"
    assert found["run-1", "nf4"].decision == "FAIL"
    assert [key for key, row in found.items() if row.accepted] == [("run-2", "int8")]
    assert next(row for row in rows if row.task == "replies").decision is None


def test_speed_lines_break_where_the_host_changes(rows: tuple[HistoryRow, ...]) -> None:
    """Speed of two machines is never joined into one line; quality is."""
    drawn = {chart.title: chart for chart in charts(rows)}
    speed = drawn["1x256+64 decode_tokens_per_s"].lines[0].dots
    assert [dot.joined_x is not None for dot in speed] == [False, True, False]
    quality = drawn["intents acc"].lines[0].dots
    assert [dot.joined_x is not None for dot in quality] == [False, True, True]


def test_csv_gives_the_numbers_back(rows: tuple[HistoryRow, ...]) -> None:
    """Unrounded, one line a row; a missing number is empty."""
    read = list(csv.DictReader(io.StringIO(history_csv(rows))))
    assert len(read) == len(rows)
    assert [row["change"] for row in read] == [str(row.change) for row in rows]
    assert {row["lower"] for row in read if row["metric"] == "ttft_s"} == {""}
    assert {row["accepted"] for row in read} == {"true", "false"}


def test_the_page_is_self_contained(rows: tuple[HistoryRow, ...], tmp_path: Path) -> None:
    """One chart a figure, no script, no address, equal bytes for equal rows."""
    write_history(rows, tmp_path / "history.html", title="support-bot")
    page = (tmp_path / "history.html").read_text()
    assert page == history_html(rows, title="support-bot")
    assert "<script" not in page
    assert "://" not in page
    assert page.count('role="img"') == len(charts(rows)) == 9
    assert len(re.findall(r'class="ring"', page)) == 9


def test_an_empty_history_is_said() -> None:
    """No run yet is a sentence, not an error."""
    assert "No run of this suite" in history_html((), title="support-bot")
    assert history_csv(()).count("\n") == 1


def test_the_table_marks_promoted_versions(rows: tuple[HistoryRow, ...]) -> None:
    """A star stands at the promoted version."""
    out = io.StringIO()
    Console(file=out, width=100, color_system=None).print(history_table(rows))
    starred = [line for line in out.getvalue().splitlines() if "★" in line]
    assert starred
    assert all("int8" in line for line in starred)
