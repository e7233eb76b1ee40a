"""Greedy answers of every family against transformers' own `generate`, one prompt at a time."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import GenerateRequest
from harness.engines.transformers.decoder import Decoder
from harness.engines.transformers.transformers_engine import TransformersEngine, load
from tests.engines.tiny import Build, Spec, plain_model

HEAD = tuple(range(30, 42))
OURS = {"llama": True, "gpt2": True, "cohere": True, "granite": True, "bloom": True, "mamba": False}


def prompts(count: int = 9) -> list[tuple[int, ...]]:
    source = random.Random(4)
    return [tuple(source.randrange(3, 200) for _ in range(source.randint(1, 14))) for _ in range(count)]


def one_by_one(folder: Path, asked: list[GenerateRequest]) -> list[list[int]]:
    """New tokens up to the end of text, by transformers alone."""
    import torch

    model, found = plain_model(folder), []
    for request in asked:
        ids = torch.tensor([request.prompt])
        settings: dict[str, Any] = {"do_sample": False, "max_new_tokens": request.max_new_tokens, "pad_token_id": 0}
        with torch.no_grad():
            tokens = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[0].tolist()
        tokens = tokens[len(request.prompt) :]
        found.append(tokens[: tokens.index(2)] if 2 in tokens else tokens)
    return found


def own_loop(engine: TransformersEngine) -> bool:
    return engine._generator.reason == ""


@pytest.mark.parametrize(("family", "ours"), OURS.items())
def test_answers_equal_one_by_one(family: str, ours: bool, build: Build, spec: Spec) -> None:
    """Mixed lengths, some behind a shared prefix; state-space models are found out and take the other loop."""
    folder = build(family)
    engine = load(spec(folder))
    asked = [GenerateRequest(prompt=prompt, max_new_tokens=9) for prompt in prompts()]
    asked += [GenerateRequest(prompt=(*HEAD, *each), max_new_tokens=7, shared=len(HEAD)) for each in prompts(5)]
    assert [list(answer.tokens) for answer in engine.generate(asked)] == one_by_one(folder, asked)
    told = [note for note in engine.facts().notes if note.startswith("answers by transformers' own loop")]
    assert own_loop(engine) == ours == (not told), engine._generator.reason


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gptneo", "gptoss"])
def test_a_window_of_attention(family: str, build: Build, spec: Spec) -> None:
    """Short answers take our loop; what goes beyond the window takes transformers' own."""
    folder = build(family)
    engine = load(spec(folder))
    for longest in (3, 30):
        asked = [GenerateRequest(prompt=prompt[:8], max_new_tokens=longest) for prompt in prompts()]
        assert [list(answer.tokens) for answer in engine.generate(asked)] == one_by_one(folder, asked)


@pytest.mark.parametrize("family", ["longrope", "dynamic"])
def test_frequencies_that_go_by_length(family: str, build: Build, spec: Spec) -> None:
    """Prompts and answers within, across and beyond the original length of 32, each as it is answered alone."""
    folder, source = build(family), random.Random(6)
    sizes = (6, 11, 16, 21, 26, 31, 32, 33, 40, 60)
    drawn = [tuple(source.randrange(3, 200) for _ in range(size)) for size in sizes]
    asked = [GenerateRequest(prompt=prompt, max_new_tokens=10) for prompt in drawn]
    engine = load(spec(folder))
    assert own_loop(engine)
    expected = [one_by_one(folder, [request])[0] for request in asked]
    for order in (range(len(asked)), range(len(asked) - 1, -1, -1)):
        answers = engine.generate([asked[index] for index in order])
        assert [list(answer.tokens) for answer in answers] == [expected[index] for index in order]


def test_rows_that_end_leave_the_batch(build: Build, spec: Spec) -> None:
    """Stop strings after 1, 2, 3 … tokens: the others' answers stay what they are."""
    engine = load(spec(build("llama")))
    free = engine.generate([GenerateRequest(prompt=prompt, max_new_tokens=10) for prompt in prompts()])
    words = [answer.text.split() for answer in free]
    stops = [own[min(place, len(own) - 1)] for place, own in enumerate(words) if own]
    asked = [GenerateRequest(prompt=prompt, max_new_tokens=10, until=tuple(stops)) for prompt in prompts()]
    together = engine.generate(asked)
    assert together == [engine.generate([request])[0] for request in asked]
    assert len({len(answer.tokens) for answer in together}) > 1


def test_a_small_budget_makes_small_batches(build: Build, spec: Spec) -> None:
    """The same answers and scores with room for one token, and with plenty."""
    folder = build("llama")
    asked = [GenerateRequest(prompt=prompt, max_new_tokens=5) for prompt in prompts()]
    wide, narrow = load(spec(folder)), load(spec(folder, memory_budget=1))
    assert narrow._generator._budget.cache_tokens < 10 < wide._generator._budget.cache_tokens
    assert narrow.generate(asked) == wide.generate(asked)


class NotingDecoder(Decoder):
    """Notes how many requests each batch has."""

    sizes: tuple[int, ...] = ()

    def decode(self, requests: Sequence[GenerateRequest], *rest: Any) -> list[list[int]]:
        self.sizes += (len(requests),)
        return super().decode(requests, *rest)


def test_a_shared_prefix_takes_its_part_of_the_budget(build: Build, spec: Spec) -> None:
    """Memory for 50 tokens: 12 in front of all, and two rows of 12 + 4 in each batch."""
    engine = load(spec(build("llama")))
    engine._generator._budget = dataclasses.replace(engine._generator._budget, cache_tokens=50)
    engine._generator._decoder = decoder = NotingDecoder(engine._loaded.model, engine._head, engine._generator._budget)
    engine.generate([GenerateRequest(prompt=(*HEAD, 5), max_new_tokens=3, shared=len(HEAD)) for _ in range(7)])
    assert decoder.sizes == (2, 2, 2, 1)


def test_prompts_of_several_passes_go_on_together(build: Build, spec: Spec) -> None:
    """Prefill in passes of unlike width, one batch of answers: 70 and 3 tokens, then what follows both."""
    folder = build("llama")
    engine = load(spec(folder))
    source = random.Random(9)
    long = [tuple(source.randrange(3, 200) for _ in range(size)) for size in (70, 64, 20, 3, 1)]
    asked = [GenerateRequest(prompt=(*HEAD, *each), max_new_tokens=8, shared=len(HEAD)) for each in long]
    budget = dataclasses.replace(engine._scorer.budget, pass_tokens=70)
    assert engine._generator._decoder is not None
    engine._generator._decoder = Decoder(engine._loaded.model, engine._head, budget)
    assert [list(answer.tokens) for answer in engine.generate(asked)] == one_by_one(folder, asked)


def test_answers_behind_a_system_prompt_and_documents(build: Build, spec: Spec) -> None:
    """The states of a document are computed on top of the system prompt's."""
    folder = build("llama")
    documents = [(*HEAD, *prompt) for prompt in prompts(3)]
    asked = [
        GenerateRequest(prompt=(*head, 5 + number, 9), max_new_tokens=7, shared=len(head), root_prefix=len(HEAD))
        for number in range(3)
        for head in documents
    ]
    engine = load(spec(folder))
    assert engine._generator._decoder is not None
    assert [list(answer.tokens) for answer in engine.generate(asked)] == one_by_one(folder, asked)


def test_other_generation_settings_are_followed(build: Build, spec: Spec, tmp_path: Path) -> None:
    """A repetition penalty in the model's own settings changes greedy answers; our loop does not know it."""
    import transformers

    folder = Path(shutil.copytree(build("llama"), tmp_path / "model"))
    transformers.GenerationConfig(
        bos_token_id=1, eos_token_id=2, pad_token_id=0, repetition_penalty=1.7
    ).save_pretrained(folder)
    engine = load(spec(folder))
    asked = [GenerateRequest(prompt=prompt, max_new_tokens=12) for prompt in prompts(3)]
    assert [list(answer.tokens) for answer in engine.generate(asked)] == one_by_one(folder, asked)
    assert engine._generator.reason == "its generation settings name repetition_penalty"
