"""The history page: self-contained, harmless, a chart a figure, breaks and shifts marked."""

from __future__ import annotations

import re
from pathlib import Path

from harness.reports.charts.lines import TOLD_RUNS
from harness.trends import Skipped, collect
from harness.trends.history_page import history_html, write_history
from harness.trends.line_charts import charts
from tests.reports.example import HOSTILE
from tests.trends.runs import conditions, run, steps

LEVELS = [0.01] * 12 + [0.04] * 8


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    """One chart a figure, no script, no address, equal bytes for equal histories."""
    found = collect("support-bot", steps(LEVELS), accepted={("run-002", "int8")})
    write_history(found, tmp_path / "history.html")
    page = (tmp_path / "history.html").read_text()
    assert page == history_html(found)
    assert "<script" not in page
    assert "://" not in page
    assert page.count('role="img"') == len(charts(found)) == 11
    assert len(re.findall(r'class="ring"', page)) == 11 + 1  # one in each chart, one in the key


def test_lines_break_where_a_series_ends() -> None:
    """Speed of two machines is never joined into one line; quality is. The place is marked with its reason."""
    found = collect("s", [run(0), run(1), run(2, host="host-2", processor="Xeon"), run(3)])
    drawn = {chart.title: chart for chart in charts(found)}
    speed = drawn["1x256+64 decode_tokens_per_s"]
    assert [len(path.split("L")) for path in speed.drawn[0].path.split("M")[1:]] == [3, 1]
    assert [each.text.partition(":")[0] for each in speed.breaks] == ["run-002"]
    assert 6 < speed.marked_breaks[0].x < speed.drawn[0].dots[2].x
    quality = drawn["intents acc"]
    assert quality.drawn[0].path.count("M") == 1
    assert quality.breaks == ()


def test_a_run_outside_is_hollow_and_not_joined() -> None:
    """Partial runs are dots beside the line."""
    found = collect("s", [run(0), run(1, partial=True, limit=50), run(2)])
    (line,) = charts(found)[0].drawn
    assert [dot.point.series for dot in line.dots] == [1, None, 1]
    assert len(line.path.split("L")) == 2


def test_shifts_are_marked_and_listed() -> None:
    """A mark above the run, and the sentence that it changes nothing."""
    found = collect("s", steps(LEVELS))
    (mark,) = charts(found)[0].shifts
    assert mark.text.startswith("int8 at run-012: 1.00 pp → 3.99 pp")
    page = history_html(found)
    assert "Shifts of level" in page
    assert "It changes no verdict and no exit code." in page


def test_many_runs_stay_light() -> None:
    """300 runs: dots without a text of their own, paths instead of a line for each pair, the newest figures listed."""
    found = collect("s", steps([0.01] * 300))
    page = history_html(found)
    assert not charts(found)[0].told
    assert charts(collect("s", steps([0.01] * TOLD_RUNS)))[0].told
    assert len(page) < 1_500_000
    assert "400 of 3,300, all are in the CSV and the JSON" in page


def test_one_run_and_none() -> None:
    """One run is a page with a dot; none is a sentence."""
    assert history_html(collect("s", [run(0)])).count('role="img"') == 11
    assert "No run of this suite" in history_html(collect("s", []))


def test_hostile_names_are_harmless() -> None:
    """Names, labels, reasons: nothing becomes markup."""
    both = conditions(versions={"<script>alert(1)</script>": HOSTILE})
    skipped = [Skipped(run="x", reason=HOSTILE)]
    page = history_html(collect(HOSTILE, [run(0), run(1, label=HOSTILE, both=both)], skipped=skipped))
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in page
