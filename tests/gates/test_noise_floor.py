"""Which gates are tighter than the baseline's own noise, at the limit exactly and in words."""

from __future__ import annotations

import math

import pytest

from harness.gates.noise_floor import noise_checks, tight_gates
from harness.records.measures import Noise, NoiseMeasure, NoiseSpeed
from harness.suite.models import Suite


def measure(kind: str, metric: str, value: float, **more: object) -> NoiseMeasure:
    return NoiseMeasure.model_validate(
        {"task": "t", "metric": metric, "kind": kind, "unit": "", "n": 200, "value": value, **more}
    )


FLOOR = Noise(
    measures=(
        measure("binary", "acc", 0.015, flips=3, upper=0.035),
        measure("graded", "f1", 0.004),
        measure("perplexity", "perplexity", 0.0002),
        measure("divergence", "kl_mean", 4e-7, unit="nats"),
        measure("divergence", "top1_agreement", 0.999, unit="fraction"),
    ),
    likelihoods={},
    speed=(NoiseSpeed(workload="1x512+128", metric="decode_tokens_per_s", pairs=9, spread=0.02),),
)


def suite(*gates: dict[str, object], pairs: int = 16) -> Suite:
    return Suite.model_validate(
        {
            "suite": "s",
            "model": "m",
            "variants": {"full": {"baseline": True}, "small": {}},
            "tasks": {"t": {"lm_eval": "x"}},
            "speed": {"workloads": [{}], "pairs": pairs},
            "gates": list(gates),
        }
    )


@pytest.mark.parametrize(
    ("gate", "tight"),
    [
        ({"metric": "acc", "max_drop": 0.014}, True),
        ({"metric": "acc", "max_drop": 0.015}, False),
        ({"metric": "acc", "max_relative_drop": 0.029}, True),  # of a level of 50 %: 1.45 points
        ({"metric": "acc", "max_relative_drop": 0.031}, False),
        ({"metric": "acc", "min_recovery": 0.971}, True),
        ({"metric": "acc", "min_recovery": 0.969}, False),
        ({"metric": "acc", "min": 0.9}, False),
        ({"metric": "f1", "max_drop": 0.0039}, True),
        ({"metric": "f1", "max_drop": 0.0041}, False),
        ({"metric": "perplexity", "max_increase": 0.0001}, True),
        ({"metric": "perplexity", "max_increase": 0.0003}, False),
        ({"metric": "kl_mean", "max": 3e-7}, True),
        ({"metric": "kl_mean", "max": 5e-7}, False),
        ({"metric": "top1_agreement", "min": 0.9995}, True),
        ({"metric": "top1_agreement", "min": 0.99}, False),
        ({"metric": "exact_match", "max_drop": 0.001}, False),  # not in the floor
    ],
)
def test_a_limit_below_the_floor_is_named(gate: dict[str, object], tight: bool) -> None:
    """Every form in its own terms; the floor itself is not tighter than the floor."""
    found = tight_gates(suite({"task": "t", **gate}), FLOOR, {"t/acc": 0.5})
    assert [each.gate for each in found] == (["gates[0]"] if tight else [])


def test_the_words_hold_the_numbers() -> None:
    """Limit, flips and how many were asked twice."""
    gates = {"task": "t", "metric": "acc", "max_drop": 0.005}, {"task": "t", "metric": "kl_mean", "max": 1e-7}
    assert [each.says for each in tight_gates(suite(*gates), FLOOR, {})] == [
        "t acc: the limit of 0.50 pp is tighter than the baseline's own noise, 3 of 200 answers flip between two "
        "passes",
        "t kl_mean: the limit of 1e-07 nats is tighter than the baseline's own noise, 4e-07 nats between two passes "
        "(200 documents)",
    ]


@pytest.mark.parametrize(
    ("metric", "share", "gain", "tight"),
    [
        ("acc", 0.9, 0.149, True),  # a tenth of 14.9 points is less than the 1.5 that flip
        ("acc", 0.9, 0.151, False),
        ("acc", 0.9, -0.01, False),  # nothing gained: the gate itself says so
        ("f1", 0.95, 0.079, True),
        ("f1", 0.95, 0.081, False),
        ("perplexity", 0.999, 0.19, True),  # a thousandth of 0.19 nats; the floor is log(1.0002)
        ("perplexity", 0.999, 0.21, False),
    ],
)
def test_a_share_of_the_gain_is_held_against_the_floor_by_the_gains_upper_bound(
    metric: str, share: float, gain: float, tight: bool
) -> None:
    """What the share allows to be lost at the largest gain that the items leave possible; a slice has another gain."""
    gate = {"task": "t", "metric": metric, "min_retained": share}
    found = tight_gates(suite(gate), FLOOR, {"t/acc": 0.5}, {f"t/{metric}": gain})
    assert bool(found) is tight
    assert tight_gates(suite(gate), FLOOR, {}, {}) == ()
    assert tight_gates(suite({**gate, "slice": "topic=a"}), FLOOR, {}, {f"t/{metric}": gain}) == ()


def test_the_words_of_a_share_of_the_gain() -> None:
    """Share, gain, what it allows, and the floor, so that a reader can redo the sum."""
    gate = {"task": "t", "metric": "acc", "min_retained": 0.95}
    (found,) = tight_gates(suite(gate), FLOOR, {}, {"t/acc": 0.12})
    assert found.says == (
        "t acc: keeping 95.0 % of a gain of at most 12.00 pp, its upper bound, allows a loss of 0.60 pp: tighter than "
        "the baseline's own noise, 3 of 200 answers flip between two passes"
    )
    (found,) = tight_gates(suite({**gate, "metric": "f1"}), FLOOR, {}, {"t/f1": 0.02})
    assert "allows a loss of 0.001: tighter than the baseline's own noise, an item moves by 0.004" in found.says


@pytest.mark.parametrize(("ratio", "pairs", "tight"), [(0.995, 16, True), (0.99, 16, False), (0.995, 100, False)])
def test_speed_noise_shrinks_with_the_pairs(ratio: float, pairs: int, tight: bool) -> None:
    """2 % from run to run leave 1.645 x 2 % / 4 = 0.82 % over 16 pairs and 0.33 % over 100."""
    assert math.isclose(1.645 * 0.02 / 4, 0.0082, rel_tol=0.01)
    gate = {"metric": "decode_tokens_per_s", "min_ratio": ratio}
    assert bool(tight_gates(suite(gate, pairs=pairs), FLOOR, {})) is tight


def test_the_floor_never_blocks() -> None:
    """A note each, one check that held where there is none, nothing where nothing was measured."""
    tight = noise_checks(suite({"task": "t", "metric": "acc", "max_drop": 0.001}), FLOOR, {})
    assert [(check.held, check.blocks) for check in tight] == [(False, False)]
    loose = noise_checks(suite({"task": "t", "metric": "acc", "max_drop": 0.1}), FLOOR, {})
    assert [(check.held, check.blocks) for check in loose] == [(True, False)]
    assert noise_checks(suite(), None, {}) == ()
