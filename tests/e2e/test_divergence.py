"""Perplexity and divergence against plain loops over the whole vocabulary, on the real model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.engines.protocol import LoadSpec, Scalar, Window
from harness.planning.perplexity import document_record
from harness.planning.tokens import HfTokenizer, windows
from harness.records.items import PlannedItem
from harness.runner.divergent_tokens import tops_of
from harness.samples.divergent_tokens import highest
from harness.samples.documents import decode_values
from harness.worker.client import Worker

pytestmark = pytest.mark.model
WINDOW = 512


@pytest.fixture(scope="module")
def planned(model: Path, documents: list[str]) -> list[Window]:
    tokenizer = HfTokenizer(str(model))
    return [
        window
        for text in documents
        for window in windows(
            tokenizer.encode(text, add_special_tokens=False), tokenizer.prefix_token, window=WINDOW, stride=WINDOW
        )
    ]


def logits(model: Any, window: Window) -> Any:
    """float32 logits of the scored positions by the model's own forward pass."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([window.tokens[:-1]])
        return model(input_ids=ids).logits[0, window.scored_from - 1 :].float()


def plain_model(path: Path, **keywords: Any) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(path, **keywords).eval()


def test_perplexity_equals_a_plain_loop(model: Path, planned: list[Window], full: Worker) -> None:
    """Perplexity of WikiText-2 documents within 1e-4, relative."""
    import torch

    reference = plain_model(model, dtype=torch.float32)
    total, count = 0.0, 0
    for window in planned:
        log_p = torch.log_softmax(logits(reference, window), -1)
        wanted = torch.tensor(window.tokens[window.scored_from :])
        total -= float(log_p.gather(-1, wanted[:, None]).sum())
        count += len(wanted)
    scores = full.score_windows(planned)
    ours = -math.fsum(value for score in scores for value in score.log_probs)
    assert sum(len(score.log_probs) for score in scores) == count
    assert math.exp(ours / count) == pytest.approx(math.exp(total / count), rel=1e-4)


def test_divergence_from_itself_is_nothing(planned: list[Window], full: Worker, tmp_path: Path) -> None:
    """KL of the model against its own stored 16-bit states is below 1e-5 nats per token, and what it has in common
    with itself is all but what 16 bits round."""
    states = str(tmp_path / "states" / "0.npy")
    full.score_windows(planned[:3], states_out=states)
    scores = full.score_windows(planned[:3], states_in=states)
    values = [value for score in scores for value in score.kl or ()]
    assert sum(values) / len(values) < 1e-5
    agree = [same for score in scores for same in score.top1_agree or ()]
    assert sum(agree) / len(agree) > 0.999
    shared = [value for score in scores for value in score.ear or ()]
    assert 0.999 < sum(shared) / len(shared) <= 1


def test_divergence_of_nf4_equals_full_logits(model: Path, planned: list[Window], full: Worker, tmp_path: Path) -> None:
    """Mean KL, top-1 agreement, change of the true token's probability and its percentiles, EAR and the most divergent
    tokens against two whole forward passes. What is allowed covers the 16 bits of stored states, and kernels that
    compute in bfloat16 where a processor has AVX-512 for it."""
    import torch
    import transformers

    part = planned[:2]
    states = str(tmp_path / "states" / "0.npy")
    full.score_windows(part, states_out=states)
    with Worker("nf4", log=tmp_path / "nf4.log") as worker:
        block: dict[str, Scalar] = {"method": "bitsandbytes", "bits": 4, "type": "nf4"}
        spec = LoadSpec(variant="nf4", engine="transformers", path=str(model), dtype="float32", quantize=block)
        facts = worker.load(spec)
        scores = worker.score_windows(part, states_in=states)
    assert (facts.quantized_modules, facts.linear_modules) == (210, 210)
    assert facts.bits_per_weight is not None
    assert 4.0 < facts.bits_per_weight < 4.7
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
    quantized = plain_model(model, dtype=torch.float32, quantization_config=config, device_map={"": "cpu"})
    reference = plain_model(model, dtype=torch.float32)
    kl, agree, delta, ear = [], [], [], []
    tops: list[tuple[int, int]] = []
    for window in part:
        log_p = torch.log_softmax(logits(reference, window), -1)
        log_q = torch.log_softmax(logits(quantized, window), -1)
        wanted = torch.tensor(window.tokens[window.scored_from :])[:, None]
        kl.extend((log_p.exp() * (log_p - log_q)).sum(-1).tolist())
        agree.extend((log_p.argmax(-1) == log_q.argmax(-1)).tolist())
        delta.extend((log_q.gather(-1, wanted).exp() - log_p.gather(-1, wanted).exp())[:, 0].tolist())
        ear.extend(torch.minimum(log_p.exp(), log_q.exp()).sum(-1).tolist())
        tops.extend(zip(log_p.argmax(-1).tolist(), log_q.argmax(-1).tolist(), strict=True))
    ours = [value for score in scores for value in score.kl or ()]
    assert sum(ours) / len(ours) == pytest.approx(sum(kl) / len(kl), rel=0.01)
    same = [value for score in scores for value in score.top1_agree or ()]
    assert sum(same) / len(same) == pytest.approx(sum(agree) / len(agree), abs=0.005)
    moved = [value for score in scores for value in score.delta_p or ()]
    assert sum(moved) / len(moved) == pytest.approx(sum(delta) / len(delta), abs=1e-3)
    shared = [value for score in scores for value in score.ear or ()]
    assert sum(shared) / len(shared) == pytest.approx(sum(ear) / len(ear), abs=1e-3)
    document = document_record(PlannedItem(item="d", index=0, prompt_hash="h", prompt="d"), scores).document
    assert document is not None
    assert document.ear == pytest.approx(sum(ear), abs=1e-3 * len(ear))
    stored = decode_values(document.delta_p_values or "", "<f2")
    for percent in (1, 5, 10, 90, 95, 99):
        expected = np.quantile(delta, percent / 100)
        assert np.quantile(stored, percent / 100) == pytest.approx(expected, abs=5e-3)
    found, likeliest = highest(decode_values(document.kl_values or ""), 5).tolist(), tops_of(document)
    assert [kl[place] for place in found] == pytest.approx(sorted(kl, reverse=True)[:5], rel=0.02)
    assert [likeliest[place] for place in found] == [tops[place] for place in found]
