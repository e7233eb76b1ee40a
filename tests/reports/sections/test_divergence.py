"""Histograms of KL."""

from __future__ import annotations

from harness.reports.blocks import Panels
from harness.reports.charts.histogram import Histogram
from harness.reports.sections.divergence import section
from tests.reports.example import example


def test_a_chart_per_candidate_on_one_axis() -> None:
    """Means and tails are marked, and tokens outside of the edges are counted in words."""
    found = section(example())
    assert found is not None
    panels = found.blocks[-1]
    assert isinstance(panels, Panels)
    charts = [chart for chart in panels.panels if isinstance(chart, Histogram)]
    assert [chart.title for chart in charts] == ["bf16", "int8", "nf4"]
    assert len({chart.axis for chart in charts}) == 1
    assert [name for _, name in charts[1].markers] == ["mean 0.012", "p99 0.11"]
    assert "1,200 below 1e-07 and 3 above 10 nats" in charts[1].detail
    assert all(0 <= bar.x <= bar.x + bar.width <= 100 for bar in charts[1].bars)


def test_no_scored_token_is_no_section() -> None:
    """Tasks without divergence have no chart."""
    without = tuple(each.model_copy(update={"histograms": ()}) for each in example().candidates)
    assert section(example().model_copy(update={"candidates": without})) is None
