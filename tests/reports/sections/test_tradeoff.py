"""Quality against speed."""

from __future__ import annotations

from harness.reports.blocks import Panels
from harness.reports.charts.scatter import Scatter
from harness.reports.sections.tradeoff import section
from tests.reports.example import example


def test_a_point_for_every_variant_and_the_baseline() -> None:
    """Speed ratio across, quality up, both with bounds; who has none is named."""
    found = section(example())
    assert found is not None
    panels = found.blocks[-1]
    assert isinstance(panels, Panels)
    chart = panels.panels[0]
    assert isinstance(chart, Scatter)
    assert [point.variant for point in chart.points] == ["bf16", "int8", "nf4", "fp32 (baseline)"]
    assert chart.missing == ("fake",)
    assert chart.points[0].y[1:] == (0.612 - 0.018, 0.612 + 0.017)
    assert chart.points[-1].x == (1.0, None, None)
    assert "bf16: acc 61.2 %, decode 1.310 ×, weights 269 MB" in chart.says


def test_without_speed_there_is_no_chart() -> None:
    """Half a point is none."""
    slow = tuple(each.model_copy(update={"speed": ()}) for each in example().candidates)
    assert section(example().model_copy(update={"candidates": slow})) is None
