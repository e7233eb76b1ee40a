"""Decoding of many prompts at once: prompts of like length together, answers in one batch that shrinks.

A prefix that the prompts share is computed once, and so is a prompt that is asked several times. States go into a
buffer with room for the answers, and a row leaves the batch with its last token. transformers' own `generate` copies
the whole cache at every step and carries finished rows along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from harness.engines.protocol import GenerateRequest
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import input_device
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.prefix_cache import PrefixCache

Stopped = Callable[[Sequence[Sequence[int]]], Sequence[bool]]
"""Which of several answers so far have come to a stop string."""
SHRINK = 0.75
"""The batch is packed again once at most this share of its rows is still generating."""


@dataclass(kw_only=True)
class _Row:
    """A prompt that is being answered."""

    index: int
    request: GenerateRequest
    prompt: tuple[int, ...]
    """Its tokens after the shared prefix."""
    tokens: list[int] = field(default_factory=list)
    done: bool = False


class Decoder:
    """Decodes on one model. See the module's text for how."""

    def __init__(self, model: Any, head: LmHead, budget: MemoryBudget, prefixes: PrefixCache | None = None) -> None:
        """`prefixes`: what scoring holds of shared prefixes, so that both need not."""
        self._head, self._budget = head, budget
        self._prefixes = prefixes if prefixes is not None else PrefixCache(model, head.trunk, budget.prefix_tokens)
        self._device = input_device(model)

    def decode(self, requests: Sequence[GenerateRequest], ends: frozenset[int], stopped: Stopped) -> list[list[int]]:
        """New tokens of every request, end of text included. All requests share one prefix and
        one `root_prefix`.

        Raises `ValueError` for a model whose cache is not one column of keys and values per token.
        """
        import torch

        head = requests[0].prompt[: requests[0].shared]
        rows = [
            _Row(index=index, request=request, prompt=request.prompt[len(head) :])
            for index, request in enumerate(requests)
        ]
        rows.sort(key=lambda row: (-len(row.prompt), row.prompt))
        answers = {row.index: row.tokens for row in rows}
        with torch.no_grad():
            cache, logits = self._prefill(rows, head, requests[0].root_prefix)
            mask = _mask(rows, len(head)).to(self._device)
            while True:
                _take(rows, _chosen(rows, logits), ends, stopped)
                alive = [place for place, row in enumerate(rows) if not row.done]
                if not alive:
                    return [answers[index] for index in range(len(requests))]
                if len(alive) <= SHRINK * len(rows):
                    kept = torch.tensor(alive, device=self._device)
                    for layer in cache.layers:
                        layer.keep(kept)
                    rows, mask = [rows[place] for place in alive], mask[kept]
                mask = torch.nn.functional.pad(mask, (0, 1), value=1)
                logits = self._step(rows, len(head), mask, cache)

    def _prefill(self, rows: Sequence[_Row], head: tuple[int, ...], root_prefix: int) -> tuple[Any, Any]:
        """A cache with every prompt and the room for its answer, and the logits after each prompt, [rows, vocabulary].

        Prompts are padded on the left, in passes of prompts of like length, and equal ones stand next to each other.
        """
        import torch

        from harness.engines.transformers.kv_cache import joined

        copies = [len(list(alike)) for _, alike in groupby(rows, key=lambda row: row.prompt)]
        every, rows = rows, [next(alike) for _, alike in groupby(rows, key=lambda row: row.prompt)]
        caches, last, start = [], [], 0
        while start < len(rows):
            part = rows[start : start + self._budget.rows(len(rows[start].prompt), len(head))]
            longest = len(part[0].prompt)
            ids = torch.zeros((len(part), longest), dtype=torch.long)
            for number, row in enumerate(part):
                ids[number, longest - len(row.prompt) :] = torch.tensor(row.prompt)
            mask = _mask(part, len(head))
            before = (
                {"past_key_values": self._prefixes.before(head, root_prefix, len(part), extended=True)} if head else {}
            )
            output = self._head.trunk(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                position_ids=(mask.cumsum(-1) - 1).clamp_min(0)[:, len(head) :].to(self._device),
                use_cache=True,
                **before,
            )
            caches.append(output.past_key_values)
            last.append(output.last_hidden_state[:, -1])
            start += len(part)
        cache = joined(caches, len(head), len(rows[0].prompt), max(row.request.max_new_tokens for row in every))
        logits = self._head.logits(torch.cat(last))
        if len(rows) == len(every):
            return cache, logits
        kept: Any
        whose = torch.arange(len(rows)).repeat_interleave(torch.tensor(copies))
        for kept in cache.layers:
            kept.keep(whose)
        return cache, logits[whose.to(logits.device)]

    def _step(self, rows: Sequence[_Row], head: int, mask: Any, cache: Any) -> Any:
        """Logits after each row's newest token."""
        import torch

        places = [[head + len(row.prompt) + len(row.tokens) - 1] for row in rows]
        hidden = self._head.hidden(
            torch.tensor([row.tokens[-1:] for row in rows], device=self._device),
            attention_mask=mask,
            position_ids=torch.tensor(places, device=self._device),
            past_key_values=cache,
            use_cache=True,
        )
        return self._head.logits(hidden[:, -1])


def _chosen(rows: Sequence[_Row], logits: Any) -> list[int]:
    """The next token of every row."""
    if all(row.request.temperature <= 0 for row in rows):
        chosen: list[int] = logits.argmax(-1).tolist()
        return chosen
    from harness.engines.sampler import choose_each

    return choose_each(logits.float().cpu().numpy(), [row.request for row in rows], [len(row.tokens) for row in rows])


def _take(rows: Sequence[_Row], chosen: Sequence[int], ends: frozenset[int], stopped: Stopped) -> None:
    """Every living row gets its token, and is done with it where it ends the answer."""
    living = [(row, token) for row, token in zip(rows, chosen, strict=True) if not row.done]
    for row, token in living:
        row.tokens.append(token)
    for (row, token), stop in zip(living, stopped([row.tokens for row, _ in living]), strict=True):
        row.done = stop or token in ends or len(row.tokens) >= row.request.max_new_tokens


def _mask(rows: Sequence[_Row], head: int) -> Any:
    """1 for the head and every token, 0 for the padding on the left, [rows, head + longest]."""
    import torch

    longest = max(len(row.prompt) for row in rows)
    mask = torch.ones((len(rows), head + longest), dtype=torch.long)
    for number, row in enumerate(rows):
        mask[number, head : head + longest - len(row.prompt)] = 0
    return mask
