"""Softmax in blocks against torch's own over the whole vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from harness.engines.transformers.streaming_softmax import Blocks, Exponentials, Given, divergence, log_probs

VOCABULARY, POSITIONS, WIDTH = 517, 23, 16


@dataclass(frozen=True)
class Layer:
    """An output layer that notes which ranges were asked for."""

    weight: Any
    asked: list[tuple[int, int]]
    whole: bool = False
    width: int = VOCABULARY

    def block(self, hidden: Any, start: int, stop: int) -> Any:
        self.asked.append((start, stop))
        return (hidden @ self.weight.T)[:, start:stop]


SMALL = Blocks(positions=10, columns=100)


def drawn(seed: int, *shape: int, scale: float = 1.0) -> Any:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("whole", [False, True])
def test_log_probs_equal_the_whole_softmax(whole: bool) -> None:
    """Positions asked twice, in any order, and not at all; the arg-max tokens are found."""
    layer, hidden = Layer(drawn(0, VOCABULARY, WIDTH), [], whole), drawn(1, POSITIONS, WIDTH)
    expected = torch.log_softmax(hidden @ layer.weight.T, -1)
    top = expected.argmax(-1).tolist()
    targets = [(20, 3), (5, top[5]), (5, 516), (0, 0), (22, top[22]), (11, 250)]
    values, best = log_probs(hidden, targets, layer, SMALL)
    assert values == pytest.approx([float(expected[place, token]) for place, token in targets], abs=1e-5)
    assert best == [token == top[place] for place, token in targets]
    assert (0, VOCABULARY) in layer.asked if whole else max(stop - start for start, stop in layer.asked) == 100


def test_logits_that_are_there_already() -> None:
    logits = drawn(2, POSITIONS, VOCABULARY)
    values, _ = log_probs(logits, [(4, 7)], Given(width=VOCABULARY), SMALL)
    assert values == pytest.approx([float(torch.log_softmax(logits, -1)[4, 7])], abs=1e-5)


def test_divergence_equals_the_whole_softmax() -> None:
    """Logits up to 60 apart: nothing overflows, nothing cancels."""
    one, other = Layer(drawn(0, VOCABULARY, WIDTH), []), Layer(drawn(3, VOCABULARY, WIDTH), [])
    own, base = drawn(4, POSITIONS, WIDTH, scale=4.0), drawn(5, POSITIONS, WIDTH, scale=4.0)
    tokens = torch.arange(POSITIONS) * 22
    found = divergence(own, one, base, other, tokens, SMALL)
    log_q, log_p = torch.log_softmax(own @ one.weight.T, -1), torch.log_softmax(base @ other.weight.T, -1)
    kl = (log_p.double().exp() * (log_p.double() - log_q.double())).sum(-1)
    assert found.kl.tolist() == pytest.approx(kl.tolist(), rel=1e-4)
    assert found.agree.tolist() == (log_p.argmax(-1) == log_q.argmax(-1)).tolist()
    true_q, true_p = log_q.gather(-1, tokens[:, None])[:, 0], log_p.gather(-1, tokens[:, None])[:, 0]
    assert found.log_q.tolist() == pytest.approx(true_q.tolist(), abs=1e-4)
    assert found.delta_p.tolist() == pytest.approx((true_q.exp() - true_p.exp()).tolist(), abs=1e-6)
    ear = torch.minimum(log_p.double().exp(), log_q.double().exp()).sum(-1)
    assert found.ear.tolist() == pytest.approx(ear.tolist(), abs=1e-6)
    assert (found.base_top.tolist(), found.top.tolist()) == (log_p.argmax(-1).tolist(), log_q.argmax(-1).tolist())


@pytest.mark.parametrize("kept", [1, 8 * VOCABULARY, 5 * 8 * VOCABULARY, 8 * 8 * VOCABULARY - 1])
def test_however_few_exponentials_are_kept(kept: int) -> None:
    """In parts of one position or of several, in memory that a part before has used: the same but for rounding."""
    layer, other = Layer(drawn(0, VOCABULARY, WIDTH), []), Layer(drawn(3, VOCABULARY, WIDTH), [])
    own, base, memory = drawn(4, POSITIONS, WIDTH), drawn(5, POSITIONS, WIDTH), Exponentials()
    tokens = torch.arange(POSITIONS)
    blocks = Blocks(positions=10, columns=100, kept_bytes=kept)
    assert blocks.kept_positions(POSITIONS, VOCABULARY, own.device) <= max(1, kept // (8 * VOCABULARY))
    found = divergence(own, layer, base, other, tokens, blocks, memory)
    again = divergence(own[:4], layer, base[:4], other, tokens[:4], blocks, memory)
    log_p, log_q = torch.log_softmax(base @ other.weight.T, -1), torch.log_softmax(own @ layer.weight.T, -1)
    ear = torch.minimum(log_p.double().exp(), log_q.double().exp()).sum(-1).tolist()
    assert found.ear.tolist() == pytest.approx(ear, abs=1e-6)
    assert again.ear.tolist() == pytest.approx(ear[:4], abs=1e-6)
    kl = (log_p.double().exp() * (log_p.double() - log_q.double())).sum(-1).tolist()
    assert found.kl.tolist() == pytest.approx(kl, rel=1e-4)


def test_no_divergence_from_itself() -> None:
    layer, hidden = Layer(drawn(0, VOCABULARY, WIDTH), []), drawn(1, POSITIONS, WIDTH)
    found = divergence(hidden, layer, hidden, layer, torch.zeros(POSITIONS, dtype=torch.long), SMALL)
    assert max(found.kl.tolist()) < 1e-6
    assert all(found.agree.tolist())
    assert found.ear.tolist() == pytest.approx([1.0] * POSITIONS, abs=1e-6)
    assert max(found.ear.tolist()) <= 1.0


def test_what_itself_has_in_common_with_itself_is_everything() -> None:
    """Over a vocabulary as large as they get and logits in the hundreds, EAR is 1 within 1e-6."""
    logits = 400 + 3 * drawn(8, 4, 150_000)
    width = Given(width=150_000)
    found = divergence(logits, width, logits, width, torch.zeros(4, dtype=torch.long))
    assert found.ear.tolist() == pytest.approx([1.0] * 4, abs=1e-6)


def test_not_a_number_stays_one() -> None:
    """A NaN or an infinity anywhere in a position's logits is never turned into a probability."""
    logits = drawn(6, POSITIONS, VOCABULARY)
    logits[3, 400] = float("nan")
    logits[4, 5] = float("inf")
    values, _ = log_probs(logits, [(3, 7), (4, 7), (5, 7)], Given(width=VOCABULARY), SMALL)
    assert values[0] != values[0]
    assert values[1] != values[1] or values[1] == float("-inf")
    assert values[2] == values[2]
    found = divergence(logits, Given(width=VOCABULARY), drawn(9, POSITIONS, VOCABULARY), Given(width=VOCABULARY),
                       torch.zeros(POSITIONS, dtype=torch.long), SMALL)  # fmt: skip
    ear = found.ear.tolist()
    assert ear[3] != ear[3]
    assert ear[4] != ear[4]
    assert 0 < ear[5] < 1


def test_ruled_out_tokens() -> None:
    """A vocabulary padded with minus infinity, whole blocks of it."""
    logits = drawn(7, POSITIONS, VOCABULARY)
    logits[:, :220] = float("-inf")
    values, _ = log_probs(logits, [(3, 400), (3, 1)], Given(width=VOCABULARY), SMALL)
    assert values == pytest.approx([float(torch.log_softmax(logits, -1)[3, 400]), float("-inf")], abs=1e-5)


def test_a_divergence_computed_by_hand() -> None:
    """KL(P_base ‖ P_q) of two distributions over five tokens, in nats, and what they have in common."""
    base, own = torch.tensor([0.5, 0.3, 0.1, 0.06, 0.04]), torch.tensor([0.4, 0.35, 0.12, 0.05, 0.08])
    width = Given(width=5)
    found = divergence(own.log()[None], width, base.log()[None], width, torch.tensor([0]), SMALL)
    assert found.kl.tolist() == pytest.approx([0.0303078], abs=1e-6)
    assert found.delta_p.tolist() == pytest.approx([-0.1], abs=1e-6)
    assert found.ear.tolist() == pytest.approx([0.4 + 0.3 + 0.1 + 0.05 + 0.04], abs=1e-6)
