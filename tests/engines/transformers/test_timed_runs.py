"""A timed shape is one prefill and one-token steps, whatever a model calls the states it hands on."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engines.protocol import Workload
from harness.engines.transformers.timed_runs import time_workload
from tests.engines.tiny import Build, plain_model

SHAPE = Workload(batch=2, prompt_tokens=16, new_tokens=5)


def timed(model: Any) -> list[int]:
    """Tokens of each row that every call of the model was given."""
    widths: list[int] = []
    handle = model.register_forward_pre_hook(
        lambda _, __, keywords: widths.append(keywords["input_ids"].shape[1]), with_kwargs=True
    )
    timing = time_workload(model, SHAPE)
    handle.remove()
    assert len(timing.inter_token_s) == SHAPE.new_tokens - 1
    assert timing.end_to_end_s == pytest.approx(timing.ttft_s + sum(timing.inter_token_s))
    return widths


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "mamba"])
def test_a_step_reads_one_token(family: str, build: Build) -> None:
    """Attention's states and Mamba's are handed on."""
    assert timed(plain_model(build(family))) == [16, 1, 1, 1, 1]


def test_a_model_that_keeps_nothing_reads_everything_anew(build: Build) -> None:
    """And one that cannot be told to compute the last position's logits only is not told so."""
    model = plain_model(build("llama"))
    forward = model.forward

    def older(input_ids: Any, use_cache: bool) -> Any:
        del use_cache
        return forward(input_ids=input_ids, use_cache=False)

    model.forward = older
    assert timed(model) == [16, 17, 18, 19, 20]
