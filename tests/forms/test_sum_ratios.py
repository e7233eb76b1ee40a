"""Ratios of sums over items: length of answers, margins of choices. Bounds, both ways of a limit, and their level."""

from __future__ import annotations

import numpy as np
import pytest

from harness.forms import FORMS
from harness.forms.base import Judgement, Terms
from harness.records.columns import Floats
from harness.samples.measures import paired_measure
from harness.samples.pairs import PairedMetric
from harness.stats import graded_recovery, sum_ratio


def sample(baseline: Floats, candidate: Floats, clusters: np.ndarray | None = None) -> PairedMetric:
    return PairedMetric(
        task="t", metric="length_ratio", kind="ratio", higher_is_better=False, baseline=baseline, candidate=candidate,
        clusters=clusters, slices={}, failing=np.zeros(baseline.size, dtype=np.bool_), guess=None, baseline_failed=(),
    )  # fmt: skip


def lengths(n: int, factor: float, seed: int) -> PairedMetric:
    """Answers of unlike length; the candidate's are longer by a factor, and vary on their own."""
    rng = np.random.default_rng(seed)
    baseline = np.round(rng.lognormal(4, 0.8, n)) + 1
    return sample(baseline, np.round(baseline * factor * rng.lognormal(-0.045, 0.3, n)) + 1)


BAND = (("min_ratio", 0.9), ("max_ratio", 1.1))


def judge(key: str, of: PairedMetric, limit: float, alpha: float = 0.05) -> Judgement:
    return FORMS[key].judge(of, Terms(limit=limit, alpha=alpha))


def test_both_ends_of_a_band() -> None:
    """MLPerf's band of 90 to 110 %: inside, too long, too short, and at the edge."""
    said = {
        factor: tuple(
            judge(key, lengths(2000, factor, 1), limit).decision
            for key, limit in (("min_ratio", 0.9), ("max_ratio", 1.1))
        )
        for factor in (1.0, 1.3, 0.7, 1.1)
    }
    assert said == {
        1.0: ("PASS", "PASS"),
        1.3: ("PASS", "FAIL"),
        0.7: ("FAIL", "PASS"),
        1.1: ("PASS", "INCONCLUSIVE"),
    }


def test_both_ways_of_a_limit_have_the_same_bounds() -> None:
    """A floor judges candidate over baseline, a ceiling its inverse; no narrower than Fieller's set."""
    of = lengths(300, 1.05, 2)
    found, fieller = sum_ratio(of.baseline, of.candidate), graded_recovery(of.baseline, of.candidate)
    assert found.lower <= fieller.lower < fieller.upper <= found.upper
    for key in ("min_ratio", "max_ratio"):
        estimate = judge(key, of, 1.0).estimate
        assert estimate is not None
        assert (estimate.value, estimate.lower, estimate.upper) == pytest.approx(
            (found.ratio, found.lower, found.upper)
        )


@pytest.mark.parametrize("key", ["min_ratio", "max_ratio"])
@pytest.mark.parametrize("limit", [0.9, 1.0, 1.02, 1.1, 1.3])
def test_p_says_what_the_bound_says(key: str, limit: float) -> None:
    """Under alpha exactly where the decision is FAIL."""
    of = lengths(200, 1.05, 3)
    for alpha in (0.01, 0.05, 0.2):
        said = judge(key, of, limit, alpha)
        assert said.estimate is not None
        assert said.estimate.p is not None
        assert (said.decision == "FAIL") is (said.estimate.p < alpha)


def test_rare_long_answers_pass_seldom() -> None:
    """Lengths that vary by a log-normal of 0.8, on the limit: by Student's t alone one in eight passed."""
    passed = {"plain": 0, "gate": 0}
    for seed in range(600):
        rng = np.random.default_rng(seed)
        baseline = rng.lognormal(4, 0.8, 200)
        of = sample(baseline, baseline * 1.05 * np.exp(rng.normal(0, 0.8, 200) - 0.32))
        passed["gate"] += judge("max_ratio", of, 1.05).decision == "PASS"
        passed["plain"] += graded_recovery(of.candidate, of.baseline).lower > 1 / 1.05
    assert passed["plain"] / 600 > 0.08
    assert passed["gate"] / 600 < 0.06


def test_equal_lengths_are_no_certainty() -> None:
    """Sixty equal answers do not show that the next is no longer."""
    same = np.linspace(10, 90, 60)
    assert judge("max_ratio", sample(same, same), 1.02).decision == "INCONCLUSIVE"
    many = np.linspace(10, 90, 6000)
    assert judge("max_ratio", sample(many, many), 1.02).decision == "PASS"


def test_no_ratio_to_nothing() -> None:
    """A baseline that says nothing, or whose margin is negative, has no share to keep; a candidate's is broken."""
    nothing, some = np.zeros(50), np.linspace(1, 9, 50)
    assert judge("min_ratio", sample(nothing, some), 0.9).decision == "INVALID"
    assert judge("min_ratio", sample(some, -some), 0.9).decision == "FAIL"
    assert paired_measure(sample(nothing, some), unit="tokens", alpha=0.05).change is None


def test_a_negative_ratio_has_bounds_around_it() -> None:
    """Margins may turn: the bounds are not held at 0."""
    rng = np.random.default_rng(4)
    baseline = rng.normal(2, 1, 400)
    measure = paired_measure(sample(baseline, -baseline + rng.normal(0, 0.5, 400)), unit="nats", alpha=0.05)
    assert measure.lower is not None
    assert measure.change is not None
    assert measure.upper is not None
    assert measure.lower < measure.change < measure.upper < -1


def test_level_on_the_limit() -> None:
    """2,000 draws with the true ratio on the limit: 5 % pass, within the error of the simulation."""
    wrong = {"min_ratio": 0, "max_ratio": 0}
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        baseline = rng.lognormal(4, 0.8, 100)
        of = sample(baseline, baseline * 1.1 * rng.lognormal(-0.045, 0.3, 100))
        for key in wrong:
            wrong[key] += judge(key, of, 1.1).decision == "PASS"
    assert all(count / 2000 < 0.07 for count in wrong.values())
