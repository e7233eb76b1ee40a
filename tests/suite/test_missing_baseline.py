"""Gates against the last promoted version that nothing fixed stands beside are named, and no others."""

from __future__ import annotations

import pytest

from harness.suite.crosscheck import missing_baseline_warnings
from harness.suite.models import Suite

STEP = {"task": "t", "metric": "acc", "max_drop": 0.01, "against": "reference"}
TOTAL = {"task": "t", "metric": "acc", "max_drop": 0.03}


def warned(*gates: dict[str, object]) -> list[tuple[object, str]]:
    suite = Suite.model_validate(
        {
            "suite": "s",
            "model": "m",
            "variants": {"full": {"baseline": True}, "a": {}, "b": {}},
            "tasks": {"t": {"lm_eval": "x"}, "u": {"lm_eval": "x"}},
            "gates": list(gates),
        }
    )
    return [(where[-1], says) for where, says in missing_baseline_warnings(suite)]


def test_a_step_alone_lets_the_loss_creep() -> None:
    """Named with its place and with what to do."""
    assert warned(TOTAL, STEP | {"task": "u"}) == [
        (
            1,
            "u acc is held against the last promoted version, and nothing limits its loss since the full-precision "
            "model: small steps add up unseen; add a gate on it without `against`",
        )
    ]


@pytest.mark.parametrize(
    "beside",
    [
        TOTAL,
        {"task": "t", "metric": "acc", "min_recovery": 0.97},
        {"task": "t", "metric": "acc", "min_retained": 0.9},
        {"task": "t", "metric": "acc", "min": 0.8},
        {**TOTAL, "variants": ["a", "b"]},
    ],
)
def test_a_limit_that_no_promotion_moves_stops_it(beside: dict[str, object]) -> None:
    """Whatever its form, a fixed floor too."""
    assert warned(STEP, beside) == []


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({**TOTAL, "task": "u"}, "without `against`"),
        ({**TOTAL, "metric": "acc_norm"}, "without `against`"),
        ({**TOTAL, "slice": "lang=de"}, "without `against`"),
        ({"task": "t", "metric": "acc", "min": 0.8, "on": "baseline"}, "without `against`"),
        ({**TOTAL, "severity": "warn"}, "the gate that sees it only warns"),
        ({**TOTAL, "variants": ["a"]}, "for b; add a gate on it without `against` for every variant"),
    ],
)
def test_a_limit_on_something_else_does_not(beside: dict[str, object], words: str) -> None:
    """Another task, metric or slice, the baseline's own level, a mere warning, another variant."""
    ((place, says),) = warned(STEP, beside)
    assert place == 0
    assert words in says


def test_slices() -> None:
    """A step on one slice is anchored by a gate on that slice or on each; not by one on the whole task."""
    step = {**STEP, "slice": "lang=de"}
    assert warned(step, {**TOTAL, "slice": "each"}) == []
    assert warned(step, {**TOTAL, "slice": "lang=de"}) == []
    assert "t acc on lang=de is held" in warned(step, TOTAL)[0][1]
    assert "t acc on each slice is held" in warned({**STEP, "slice": "each"}, TOTAL)[0][1]


def test_a_step_that_only_warns_asks_for_no_more_than_a_warning() -> None:
    """As strict as the gate itself, no stricter."""
    assert warned({**STEP, "severity": "warn"}, {**TOTAL, "severity": "warn"}) == []
