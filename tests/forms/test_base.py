"""The rule that every form comes down to, and a reason put together from its parts."""

from __future__ import annotations

import pytest

from harness.forms.base import BROKEN, Estimate, Reason, decide, reasoned


def estimate(lower: float | None, upper: float | None, *, reliable: bool = True) -> Estimate:
    return Estimate(value=0.5, lower=lower, upper=upper, n=9, reliable=reliable)


@pytest.mark.parametrize(
    ("bounds", "limit", "ceiling", "floor"),
    [
        ((0.4, 0.6), 0.7, "PASS", "FAIL"),
        ((0.4, 0.6), 0.3, "FAIL", "PASS"),
        ((0.4, 0.6), 0.5, "INCONCLUSIVE", "INCONCLUSIVE"),
        ((0.4, 0.6), 0.6, "INCONCLUSIVE", "INCONCLUSIVE"),
        ((0.4, 0.6), 0.4, "INCONCLUSIVE", "INCONCLUSIVE"),
        ((None, None), 0.5, "PASS", "PASS"),
        ((None, None), 0.4, "FAIL", "PASS"),
        ((None, 0.6), 0.6, "PASS", "FAIL"),
    ],
)
def test_decide(bounds: tuple[float | None, float | None], limit: float, ceiling: str, floor: str) -> None:
    """An interval decides when it lies wholly on one side; a value without one is compared as it is."""
    assert decide(estimate(*bounds), limit, ceiling=True) == ceiling
    assert decide(estimate(*bounds), limit, ceiling=False) == floor


def test_an_unreliable_interval_decides_nothing() -> None:
    """However far it lies from the limit."""
    assert decide(estimate(0.4, 0.6, reliable=False), 0.9, ceiling=True) == "INCONCLUSIVE"


def test_a_reason_is_put_together_once() -> None:
    """What was measured, what follows for the limit, then what else to know; empty notes are left out."""
    reason = reasoned("drop 2 pp; limit 1 pp", "FAIL", None, "only 12 clusters")
    assert str(reason) == "drop 2 pp; limit 1 pp: the limit is broken; only 12 clusters"
    assert str(reason.noting("", "waived")) == f"drop 2 pp; limit 1 pp{BROKEN}; only 12 clusters; waived"
    assert str(reasoned("drop 0 pp; limit 1 pp", "PASS")) == "drop 0 pp; limit 1 pp"
    assert str(Reason(measured="no item could be asked")) == "no item could be asked"
