"""Charts as data: marks in their places, the same in words."""

from __future__ import annotations

from harness.notation import Notation
from harness.reports.charts.axes import Axis
from harness.reports.charts.forest import Forest, ForestRow
from harness.reports.charts.histogram import BASE_PX, TALLEST_PX, Histogram
from harness.reports.charts.lines import Event, LineChart, LinePoint
from harness.reports.charts.scatter import LINE_PX, Point, Scatter


def test_a_forest_holds_its_limit_and_no_change() -> None:
    """Everything that is drawn lies on the axis, whose ticks are in the notation of the values."""
    rows = (ForestRow(variant="a", decision="PASS", value=0.03, lower=0.01, upper=0.05),)
    chart = Forest(title="t", detail="", rows=rows, notation=Notation.POINTS, unit="fraction", limit=0.02, neutral=0.0)
    assert 2 < chart.axis.at(0.0) < chart.axis.at(0.01) < chart.axis.at(0.05) < 98
    assert [tick.text for tick in chart.ticks] == ["0 pp", "1 pp", "2 pp", "3 pp", "4 pp", "5 pp"]
    assert chart.says == "a: 3.00 pp  (1.00 … 5.00 pp), PASS."


def test_a_histogram_scales_to_its_tallest_bar() -> None:
    """Empty bins are not drawn, the fullest is as high as there is room."""
    axis = Axis(low=-3, high=0, log=True)
    chart = Histogram(
        title="a", about="t", unit="nats", axis=axis, edges=(0.001, 0.01, 0.1, 1.0), counts=(5, 0, 10),
        markers=((0.01, "mean 0.01"),), detail="15 tokens",
    )  # fmt: skip
    assert [(bar.height, bar.y) for bar in chart.bars] == [(TALLEST_PX / 2, BASE_PX - TALLEST_PX / 2), (84, 36)]
    assert chart.says == "15 tokens. mean 0.01 nats."


def test_names_of_a_scatter_do_not_lie_over_each_other() -> None:
    """Points at one place: the larger first, names a line apart, bounds only where both are known."""
    points = [
        Point(variant=name, decision=None, x=(1.0, None, 1.2), y=(0.5, 0.4, 0.6), size=size, says=name)
        for name, size in (("a", 1.0), ("b", 100.0))
    ]
    chart = Scatter(
        title="t", about="", x_title="", detail="", points=tuple(points), x_scale=Notation.RATIO.scale(""),
        y_scale=Notation.LEVEL.scale("fraction"), one=1.0, missing=(),
    )  # fmt: skip
    large, small = chart.dots
    assert (large.variant, small.variant) == ("b", "a")
    assert abs(large.label_y - small.label_y) >= LINE_PX
    assert large.across is None
    assert large.up is not None
    assert large.up[0] < large.y < large.up[1]
    assert chart.ticks[1][0].text.endswith(" %")


def test_a_line_breaks_between_series() -> None:
    """Runs of one series are joined, a run in none is not, and marks stand before and above their runs."""
    points = [
        LinePoint(run=run, value=0.1 * run, lower=None, upper=None, series=series, promoted=False, says="")
        for run, series in enumerate((1, 1, None, 2))
    ]
    chart = LineChart(
        title="t", detail="", started=tuple(f"2026-03-0{day}T10:00" for day in (1, 2, 3, 4)), points=(tuple(points),),
        breaks=(Event(run=3, text="new torch"),),
        shifts=(Event(run=1, text="up"), Event(run=1, text="down", down=True)),
        neutral=0.0, scale=Notation.POINTS.scale("fraction"),
    )  # fmt: skip
    (line,) = chart.drawn
    assert [len(part.split("L")) for part in line.path.split("M")[1:]] == [2, 1]
    assert [dot.x for dot in line.dots] == sorted(dot.x for dot in line.dots)
    assert line.dots[2].x < chart.marked_breaks[0].x < line.dots[3].x
    assert [(mark.name, mark.y) for mark in chart.marked_shifts] == [("1", 10.0), ("2", 21.0)]
    assert [tick.text for tick in chart.x_ticks] == ["03-01", "03-02", "03-03", "03-04"]
    assert "New series: new torch." in chart.says
