"""Sampling settings as each kind of server takes them, and what one cannot be told."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engines.protocol import GenerateRequest
from harness.engines.served.sampling import LLAMACPP, OPENAI, SGLANG, TGI, VLLM, Words, sampling
from harness.errors import EngineError

ALL = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.05}


def sent(words: Words, **settings: Any) -> dict[str, object]:
    return sampling(words, GenerateRequest(prompt=(1,), max_new_tokens=1, seed=2**33 + 5, **settings), "http://here")


def test_every_setting_goes_out_and_is_never_left_to_the_servers_own_default() -> None:
    """llama.cpp's server would take min_p 0.05 and top_k 40 by itself, and the temperature last."""
    for words in (VLLM, LLAMACPP):
        assert {name: sent(words, **ALL)[name] for name in ALL} == ALL
        plain = sent(words, temperature=1.0)
        assert (plain["top_p"], plain["top_k"], plain["min_p"], plain["seed"]) == (1.0, 0, 0.0, 5)
    samplers = sent(LLAMACPP, temperature=1.0)["samplers"]
    assert samplers == ["penalties", "temperature", "top_k", "top_p", "min_p"]
    assert sent(SGLANG, **ALL) == ALL
    assert sent(SGLANG, temperature=1.0)["top_k"] == -1
    assert sent(OPENAI, temperature=0.5) == {"temperature": 0.5, "top_p": 1.0, "seed": 5}
    assert sent(TGI, temperature=0.5) == {"do_sample": True, "temperature": 0.5, "seed": 5}
    assert sent(TGI, temperature=0.5, top_k=3, top_p=0.9)["top_k"] == 3


def test_greedy_answers_are_asked_for_as_before() -> None:
    """No word of sampling goes out at temperature 0."""
    assert [sent(words) for words in (OPENAI, VLLM, LLAMACPP, SGLANG)] == [{"temperature": 0}] * 4
    assert sent(TGI) == {}


def test_what_a_server_has_no_word_for_is_refused_by_name() -> None:
    """min_p by TGI; top_k and min_p by a server that is only OpenAI-style."""
    with pytest.raises(EngineError, match=r"http://here: .*min_p 0\.05, which TGI does not take"):
        sent(TGI, **ALL)
    with pytest.raises(EngineError, match=r"top_k 20, min_p 0\.05, which an OpenAI-style server does not"):
        sent(OPENAI, **ALL)
