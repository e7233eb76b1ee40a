"""Shifts of level: found where they are, marked by chance as seldom as said, and never in what does not move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.shifts import ERRORS, FEW_EACH, FEW_RUNS, level_shifts


def test_a_step_by_hand() -> None:
    """Five zeros, five tens, alternating by one: the scatter's error is sqrt(10 / 8 * 2 / 5), the step 10.0."""
    noise = np.array([1, -1, 1, -1, 0] * 2, dtype=float)
    (shift,) = level_shifts(noise + np.repeat([0.0, 10.0], 5))
    assert (shift.at, shift.before, shift.after, shift.runs_before, shift.runs_after) == (5, 0.0, 10.0, 5, 5)
    assert shift.error == pytest.approx(np.sqrt(8 / 8 * 2 / 5))
    assert shift.size == 10.0


def test_the_t_statistic_is_the_two_sample_one() -> None:
    """At its cut the error is that of the pooled two-sample t test."""
    from scipy import stats

    values = np.array([0.1, 0.3, 0.2, 0.25, 0.15, 2.1, 2.2, 1.9, 2.0, 2.05, 2.3])
    (shift,) = level_shifts(values)
    t = stats.ttest_ind(values[5:], values[:5]).statistic
    assert shift.size / shift.error == pytest.approx(t)


def test_intervals_keep_a_small_step_unmarked() -> None:
    """A step that the runs repeat exactly, but that lies within what their items can show, is no shift."""
    values = np.repeat([0.010, 0.012], 10)
    assert len(level_shifts(values)) == 1
    assert level_shifts(values, np.full(20, 0.01)) == ()
    assert len(level_shifts(values, np.full(20, 0.0005))) == 1


def test_exact_figures_that_step_once() -> None:
    """Bytes of weights have no noise: any step that lasts three runs is one."""
    assert [shift.at for shift in level_shifts([7.0] * 6 + [8.0] * 3)] == [6]
    assert level_shifts([7.0] * 9) == ()
    assert level_shifts([0.0] * 9) == ()


def test_there_and_back_is_two_shifts() -> None:
    """A level that lasted ten runs and went away: both ends are found, where one cut alone would see neither."""
    values = np.random.default_rng(3).normal(size=50)
    values[20:30] += 5
    assert [shift.at for shift in level_shifts(values)] == [20, 30]


@pytest.mark.parametrize("place", [0, 1, 12, 29])
def test_one_odd_run_is_no_shift(place: int) -> None:
    """A level has at least three runs, wherever the odd one stands and however odd it is."""
    values = np.random.default_rng(4).normal(size=30)
    values[place] += 1000
    assert level_shifts(values) == ()


def test_short_series_are_left_alone() -> None:
    """Under eight runs nothing is marked, however large the step."""
    assert level_shifts([0.0] * 3 + [1.0] * 4) == ()
    assert len([0.0] * 3 + [1.0] * 4) == FEW_RUNS - 1
    assert level_shifts([]) == ()


@pytest.mark.parametrize("runs", [8, 12, 15, 30, 60])
def test_false_alarms_are_as_rare_as_said(runs: int) -> None:
    """Normal noise of unknown size, no interval, the worst case: under 1 in 100 (simulated; bound at 4 standard
    errors of the simulation)."""
    rng, tries = np.random.default_rng(runs), 1500
    marked = sum(bool(level_shifts(rng.normal(size=runs))) for _ in range(tries))
    assert marked / tries < 0.01 + 4 * np.sqrt(0.01 / tries)


def test_a_shift_is_found_where_it_is() -> None:
    """Four standard errors of one run, ten runs on each side: found at its place or next to it, 9 times in 10."""
    rng, found = np.random.default_rng(9), 0
    for _ in range(200):
        values = rng.normal(size=20)
        values[10:] += 4
        found += any(abs(shift.at - 10) <= 1 for shift in level_shifts(values, np.ones(20)))
    assert found >= 180


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(-5, 5), st.floats(0.1, 9))
def test_units_do_not_matter(seed: int, moved: float, scale: float) -> None:
    """Shifted or scaled figures have their shifts at the same runs; mirrored in time, at the mirrored ones."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=24) + np.repeat([0, 6, 0], 8), 6)
    errors = np.full(24, 0.5)
    at = [shift.at for shift in level_shifts(values, errors)]
    assert [shift.at for shift in level_shifts(moved + scale * values, scale * errors)] == at
    assert [24 - shift.at for shift in level_shifts(values[::-1], errors)][::-1] == at
    assert all(FEW_EACH <= place <= 24 - FEW_EACH for place in at)


def test_every_mark_stands_out() -> None:
    """What is marked lies at least so many standard errors from the rest, on either side three runs."""
    rng = np.random.default_rng(11)
    values = np.concatenate([rng.normal(size=12), rng.normal(size=12) + 7, rng.normal(size=12) + 20])
    shifts = level_shifts(values)
    assert [shift.at for shift in shifts] == [12, 24]
    assert all(abs(shift.size) > ERRORS * shift.error for shift in shifts)


@pytest.mark.parametrize(("values", "errors"), [([1.0, float("nan")], None), ([1.0, 2.0], [1.0]), ([1.0], [-1.0])])
def test_bad_numbers_are_refused(values: list[float], errors: list[float] | None) -> None:
    """No NaN, no missing error, no negative one."""
    with pytest.raises(ValueError, match="error"):
        level_shifts(values, errors)
