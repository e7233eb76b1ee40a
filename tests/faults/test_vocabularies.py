"""One vocabulary: a likelihood runs over a model's own width, a divergence over the ids that both models have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.engines.llamacpp.score import divergence as divergence_of_rows
from harness.engines.protocol import Window, WindowScore
from harness.engines.transformers.streaming_softmax import Given, divergence
from harness.errors import EngineError
from tests.engines.tiny import VOCABULARY, plain_model
from tests.faults.checkpoints import load, save_llama

WIDER = VOCABULARY + 56
WINDOW = Window(tokens=(1, *range(20, 60)), scored_from=1)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("narrow") / "m")


def padded(source: Path, folder: Path, rows: str) -> Path:
    """The same model with more rows: zeros, or the mean of the others as `resize_token_embeddings` makes them."""
    from tests.engines.tiny import save_tokenizer

    model = plain_model(source)
    model.resize_token_embeddings(WIDER, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight[VOCABULARY:] = 0.0 if rows == "zeros" else layer.weight[:VOCABULARY].mean(0)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def plain(folder: Path) -> Any:
    """Log-probabilities over the model's own width, [positions, width]."""
    with torch.no_grad():
        return torch.log_softmax(
            plain_model(folder)(input_ids=torch.tensor([WINDOW.tokens[:-1]])).logits[0].float(), -1
        )


def rolled(base: Path, variant: Path, scratch: Path) -> WindowScore:
    states = str(scratch / "states" / "0.npy")
    load(base).score_windows([WINDOW], states_out=states)
    return load(variant).score_windows([WINDOW], states_in=states)[0]


@pytest.mark.fault("M7", "a checkpoint has 56 more output rows than the baseline", "likelihood over its own width")
@pytest.mark.parametrize("rows", ["zeros", "mean"])
def test_padding_rows_take_probability(narrow: Path, rows: str, tmp_path: Path) -> None:
    """What padding takes from the text is in the likelihood; over the ids that both have nothing diverges."""
    wide = padded(narrow, tmp_path / "wide", rows)
    score = rolled(narrow, wide, tmp_path)
    true = torch.tensor(WINDOW.tokens[1:])[:, None]
    own, base = plain(wide).gather(-1, true)[:, 0], plain(narrow).gather(-1, true)[:, 0]
    assert score.log_probs == pytest.approx(own.tolist(), abs=1e-4)
    assert sum(score.log_probs) < float(base.sum()) - 0.1
    assert score.kl is not None
    assert score.delta_p is not None
    assert max(score.kl) < 1e-4
    assert score.delta_p == pytest.approx((own.exp() - base.exp()).tolist(), abs=1e-4)
    assert load(wide).facts().vocabulary == WIDER


@pytest.mark.fault("M8", "a checkpoint has fewer output rows than the baseline", "divergence over the common ids")
def test_a_narrower_variant_of_a_padded_baseline(narrow: Path, tmp_path: Path) -> None:
    """No crash: the rows that it lacks are padding."""
    wide = padded(narrow, tmp_path / "wide", "zeros")
    score = rolled(wide, narrow, tmp_path)
    true = torch.tensor(WINDOW.tokens[1:])[:, None]
    assert score.log_probs == pytest.approx(plain(narrow).gather(-1, true)[:, 0].tolist(), abs=1e-4)
    assert score.kl is not None
    assert max(score.kl) < 1e-4


@pytest.mark.fault("M8", "the ids that only one model has are tokens of its tokenizer", "refused in a sentence")
def test_tokens_that_only_one_model_has_are_refused(narrow: Path, tmp_path: Path) -> None:
    """A divergence over the others would leave out what the texts are made of."""
    wide = padded(narrow, tmp_path / "wide", "mean")
    words = json.loads((wide / "tokenizer.json").read_text())
    words["model"]["vocab"]["new"] = VOCABULARY
    (wide / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(
        EngineError, match=r"its output has 200 tokens, the baseline's 256, and token 200 of their texts"
    ):
        rolled(wide, narrow, tmp_path / "one")
    with pytest.raises(EngineError, match="its output has 256 tokens, the baseline's 200"):
        rolled(narrow, wide, tmp_path / "other")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    widths=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    positions=st.integers(1, 5),
    seed=st.integers(0, 2**20),
)
@pytest.mark.fault("kind: output layers of two widths", "any two widths", "the formula, by both engines")
def test_any_two_widths(widths: tuple[int, int], positions: int, seed: int) -> None:
    """Likelihoods and EAR over each own width; KL over common ids, given one of them; torch and numpy agree."""
    source = torch.Generator().manual_seed(seed)
    x, y = (3 * torch.randn(positions, width, generator=source) for width in widths)
    common = min(widths)
    tokens = torch.randint(0, common, (positions,), generator=source)
    found = divergence(y, Given(width=widths[1]), x, Given(width=widths[0]), tokens)
    log_p, log_q = torch.log_softmax(x.double(), -1), torch.log_softmax(y.double(), -1)
    true_p, true_q = (each.gather(-1, tokens[:, None])[:, 0] for each in (log_p, log_q))
    assert found.log_q.tolist() == pytest.approx(true_q.tolist(), abs=1e-4)
    assert found.delta_p.tolist() == pytest.approx((true_q.exp() - true_p.exp()).tolist(), abs=1e-5)
    assert found.agree.tolist() == (x.argmax(-1) == y.argmax(-1)).tolist()
    p, q = (torch.log_softmax(each.double()[:, :common], -1) for each in (x, y))
    expected = (p.exp() * (p - q)).sum(-1).tolist()
    assert found.kl.tolist() == pytest.approx(expected, abs=1e-4)
    rows = (np.asarray(each.numpy(), dtype=np.float32) for each in (log_p.float(), log_q.float()))
    kl, ear = divergence_of_rows(*rows)
    assert kl.tolist() == pytest.approx(expected, abs=1e-4)
    shared = torch.minimum(log_p.exp()[:, :common], log_q.exp()[:, :common]).sum(-1).tolist()
    assert found.ear.tolist() == pytest.approx(shared, abs=1e-6)
    assert ear.tolist() == pytest.approx(shared, abs=1e-6)
