"""Places on a chart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.reports.charts.axes import Axis, around, tick_text

FINITE = st.floats(min_value=-1e6, max_value=1e6)


@given(st.lists(FINITE, min_size=1))
def test_every_value_lies_on_its_axis(values: list[float]) -> None:
    """A larger value never lies left of a smaller one, none lies outside."""
    axis = around(values)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 100


@given(FINITE, FINITE)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    """Between one and nine ticks, all within the axis."""
    axis = around([low, high])
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 9
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks)


def test_a_log_axis_has_powers_of_ten() -> None:
    """KL from 1e-4 to 10 nats: one tick a power."""
    axis = Axis(low=-4, high=1, log=True)
    assert [tick_text(tick) for tick in axis.ticks()] == ["0.0001", "0.001", "0.01", "0.1", "1", "10"]
    assert axis.at(0.0) == axis.at(1e-4) == 2.0
    assert axis.at(10.0) == 98.0
