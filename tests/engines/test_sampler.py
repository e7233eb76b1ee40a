"""The one sampler: transformers' warpers, a draw that depends on seed and position alone, common random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from harness.engines.protocol import GenerateRequest
from harness.engines.sampler import choose, gumbel, kept

ALL = np.arange(500)


def request(seed: int = 0, **settings: Any) -> GenerateRequest:
    return GenerateRequest(prompt=(1,), max_new_tokens=1, seed=seed, **{"temperature": 1.0, **settings})


def warped(row: np.ndarray[Any, Any], settings: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """The scores that transformers samples from."""
    torch: Any = pytest.importorskip("torch")
    theirs: Any = pytest.importorskip("transformers.generation.logits_process")
    scores = theirs.TemperatureLogitsWarper(settings["temperature"])(None, torch.tensor(row)[None])
    if settings["top_k"]:
        scores = theirs.TopKLogitsWarper(settings["top_k"])(None, scores)
    if settings["top_p"] < 1:
        scores = theirs.TopPLogitsWarper(settings["top_p"])(None, scores)
    if settings["min_p"]:
        scores = theirs.MinPLogitsWarper(settings["min_p"])(None, scores)
    found: np.ndarray[Any, Any] = scores[0].double().softmax(-1).numpy()
    return found


def test_the_same_tokens_are_left_as_by_transformers_warpers() -> None:
    """The mask of temperature, top-k, top-p and min-p together is theirs exactly; so are the probabilities, nearly."""
    source = np.random.default_rng(1)
    for _ in range(400):
        row = (source.normal(size=int(source.integers(5, 3000))) * source.uniform(0.3, 8)).astype(np.float32)
        settings: dict[str, Any] = {
            "temperature": float(source.uniform(0.2, 2)),
            "top_k": int(source.integers(0, 50)),
            "top_p": float(source.choice([1.0, 0.999, 0.95, 0.9, 0.5, 0.1])),
            "min_p": float(source.choice([0.0, 0.05, 0.3])),
        }
        scores, expected = kept(row, request(**settings)), warped(row, settings)
        assert ((scores > -np.inf) == (expected > 0)).all(), settings
        weights = np.exp(scores - scores.max())
        np.testing.assert_allclose(weights / weights.sum(), expected, rtol=2e-5, atol=1e-9)


def test_the_noise_depends_on_seed_position_and_token_alone() -> None:
    """The same whichever other tokens are looked at; never the same for another seed or position. The first numbers
    are written down: they must be the same on every machine and under every numpy."""
    some = np.array([3, 77, 499])
    assert (gumbel(5, 9, some) == gumbel(5, 9, ALL)[some]).all()
    drawn = [gumbel(seed, position, ALL) for seed in (1, 2, 2**62) for position in (0, 1, 2**40)]
    assert len(np.unique(np.concatenate(drawn))) == len(drawn) * ALL.size
    np.testing.assert_allclose(gumbel(7, 2, np.arange(3)), PINNED, rtol=1e-14)
    every = np.concatenate(drawn)
    assert every.mean() == pytest.approx(np.euler_gamma, abs=4 * np.pi / np.sqrt(6 * every.size))


PINNED = (2.97281931975608, 2.5077094044671937, 2.4820507008935158)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.6, "top_k": 4}, {"top_p": 0.8}, {"min_p": 0.2}])
def test_draws_have_the_probabilities_of_what_is_left(settings: dict[str, Any]) -> None:
    """Chi-square over 4,000 seeds, at a level of one in ten thousand."""
    from scipy.stats import chisquare

    row = np.array([2.0, 1.5, 1.0, 0.8, 0.0, -0.5, -1.0, -4.0], dtype=np.float32)
    scores = kept(row, request(**settings))
    left = scores > -np.inf
    weights = np.exp(scores[left])
    drawn = np.bincount([choose(row, request(seed, **settings), 3) for seed in range(4000)], minlength=row.size)
    assert (drawn[~left] == 0).all()
    assert chisquare(drawn[left], 4000 * weights / weights.sum()).pvalue > 1e-4


def test_common_random_numbers_choose_the_same_token_more_often_than_not() -> None:
    """At a total variation distance of d, at least a share of (1 - d) / (1 + d) of two models' draws agree."""
    source = np.random.default_rng(3)
    for distance in (0.1, 0.4, 1.0):
        one = source.normal(size=200) * 2
        other = one + source.normal(size=200) * distance
        first, second = (np.exp(each) / np.exp(each).sum() for each in (one, other))
        apart = 0.5 * np.abs(first - second).sum()
        same = np.mean([choose(one, request(seed), 0) == choose(other, request(seed), 0) for seed in range(3000)])
        assert same > (1 - apart) / (1 + apart) - 4 * np.sqrt(0.25 / 3000)
        assert same > (first * second).sum() + 0.1  # what independent draws would agree in


def test_without_a_temperature_it_is_greedy_and_a_nan_is_never_hidden() -> None:
    """Zero is the likeliest token; a row with a NaN gives it away as `argmax` does."""
    row = np.array([0.0, 3.0, np.nan, 1.0], dtype=np.float32)
    assert choose(np.nan_to_num(row), request(temperature=0.0), 0) == 1
    assert choose(row, request(), 0) == 2
    assert choose(np.array([-np.inf, 0.0, -np.inf]), request(), 0) == 1
