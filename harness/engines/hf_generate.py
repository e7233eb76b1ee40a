"""Greedy generation in left-padded batches, and exact-length timing runs."""

from __future__ import annotations

import copy
import time as clock
from collections.abc import Sequence
from typing import Any

from harness.engines.hf_load import core_of, input_device
from harness.engines.seam import GenerateRequest, Generation, Timing, Workload

LOOK_BACK = 16
"""Tokens decoded after every step to look for a stop string, beyond the longest stop string's characters."""


def generate(model: Any, tokenizer: Any, requests: Sequence[GenerateRequest]) -> list[Generation]:
    """One batch per group of equal settings; answers in the order of the requests."""
    groups: dict[tuple[int, tuple[str, ...], float, int], list[int]] = {}
    for index, request in enumerate(requests):
        key = (request.max_new_tokens, request.until, request.temperature, request.seed)
        groups.setdefault(key, []).append(index)
    answers: dict[int, Generation] = {}
    for indices in groups.values():
        found = _group(model, tokenizer, [requests[index] for index in indices])
        answers.update(zip(indices, found, strict=True))
    return [answers[index] for index in range(len(requests))]


def _group(model: Any, tokenizer: Any, requests: Sequence[GenerateRequest]) -> list[Generation]:
    import torch
    import transformers

    first = requests[0]
    longest = max(len(request.prompt) for request in requests)
    config = _config(model, tokenizer, first)
    ids = torch.full((len(requests), longest), int(config.pad_token_id), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, request in enumerate(requests):
        ids[row, longest - len(request.prompt) :] = torch.tensor(request.prompt)
        mask[row, longest - len(request.prompt) :] = 1
    device = input_device(model)
    criteria = transformers.StoppingCriteriaList([_StopStrings(tokenizer, first.until, longest)])
    if first.temperature > 0:
        torch.manual_seed(first.seed)
    with torch.no_grad():
        output = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            stopping_criteria=criteria,
        )
    ends = _ends(config.eos_token_id)
    return [
        _answer(tokenizer, row[longest:], request, ends) for row, request in zip(output.tolist(), requests, strict=True)
    ]


def _ends(eos: Any) -> frozenset[int]:
    if eos is None:
        return frozenset()
    return frozenset(eos) if isinstance(eos, list) else frozenset([int(eos)])


def _config(model: Any, tokenizer: Any, request: GenerateRequest) -> Any:
    """The model's own generation settings (such as a repetition penalty) with sampling switched off."""
    config = copy.deepcopy(core_of(model).generation_config)
    config.max_length = None
    config.max_new_tokens = request.max_new_tokens
    config.do_sample = request.temperature > 0
    config.num_beams = 1
    config.num_return_sequences = 1
    config.temperature = request.temperature if request.temperature > 0 else 1.0
    config.top_p, config.top_k = 1.0, 50
    config.min_p = None
    if config.eos_token_id is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:
        ends = sorted(_ends(config.eos_token_id))
        config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    return config


class _StopStrings:
    """A row is done once a stop string stands in its newest text. transformers calls it after every token."""

    def __init__(self, tokenizer: Any, until: Sequence[str], prompt: int) -> None:
        self._tokenizer, self._until, self._prompt = tokenizer, [text for text in until if text], prompt
        self._back = LOOK_BACK + max((len(text) for text in self._until), default=0)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        import torch

        del scores
        if not self._until:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        recent = input_ids[:, max(self._prompt, input_ids.shape[1] - self._back) :]
        texts = self._tokenizer.batch_decode(recent, skip_special_tokens=False)
        done = [any(stop in text for stop in self._until) for text in texts]
        return torch.tensor(done, dtype=torch.bool, device=input_ids.device)


def _answer(tokenizer: Any, generated: Sequence[int], request: GenerateRequest, ends: frozenset[int]) -> Generation:
    """Tokens up to the end of text, and the text up to the first stop string (as lm-eval cuts it)."""
    cut = next((place for place, token in enumerate(generated) if token in ends), len(generated))
    tokens = tuple(generated[:cut])
    text = whole = str(tokenizer.decode(tokens, skip_special_tokens=True))
    for stop in request.until:
        if stop:
            text = text.split(stop)[0]
    stopped = cut < len(generated) or text != whole or len(tokens) < request.max_new_tokens
    return Generation(tokens=tokens, text=text, finish="stop" if stopped else "length")


def time_workload(model: Any, workload: Workload) -> Timing:
    """Prefill and one-token steps with a key-value cache over random tokens; end of text is ignored."""
    import torch

    core = core_of(model)
    vocabulary = int(core.config.get_text_config().vocab_size)
    source = torch.Generator().manual_seed(workload.seed)
    ids = torch.randint(0, vocabulary, (workload.batch, workload.prompt_tokens), generator=source)
    device = input_device(model)
    ids = ids.to(device)
    with torch.no_grad():
        _wait(device)
        started = clock.perf_counter()
        output = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        token = output.logits[:, -1].argmax(-1, keepdim=True).to(device)
        _wait(device)
        first = last = clock.perf_counter()
        gaps = []
        for _ in range(workload.new_tokens - 1):
            output = model(input_ids=token, past_key_values=output.past_key_values, use_cache=True, logits_to_keep=1)
            token = output.logits[:, -1].argmax(-1, keepdim=True).to(device)
            _wait(device)
            now = clock.perf_counter()
            gaps.append(now - last)
            last = now
    return Timing(ttft_s=first - started, end_to_end_s=last - started, inter_token_s=tuple(gaps))


def _wait(device: Any) -> None:
    """Until the device has done what it was told; CUDA runs behind the clock otherwise."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()
