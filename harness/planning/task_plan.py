"""A planned task: items, token ids, chunks, and how an answer becomes a record. Plans nothing itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from harness.engines.protocol import (
    ContinuationScore,
    GenerateRequest,
    Generation,
    ScoreRequest,
    Window,
    WindowScore,
)
from harness.planning.batching import ANSWERED_TOKENS, BATCHING, PADDED_TOKENS, PADDING, Order, in_blocks, in_one
from harness.planning.token_texts import TokenTexts
from harness.planning.tokens import Encoded
from harness.records.items import Failed, ItemRecord, PlannedItem
from harness.records.run_manifest import Leak

Request = ScoreRequest | GenerateRequest | Window
Answer = tuple[ContinuationScore, ...] | Generation | WindowScore


class Scorer(Protocol):
    """Turns the answers to one item's requests into its record."""

    def __call__(self, index: int, answers: Sequence[Answer]) -> ItemRecord: ...


@dataclass(frozen=True, kw_only=True)
class TaskPlan:
    """One task, tokenised: the requests for every variant, their batches, and how answers are scored."""

    name: str
    kind: Literal["choice", "generate", "perplexity"]
    items: tuple[PlannedItem, ...]
    requests: tuple[tuple[Request, ...], ...]
    """Per item; empty for an item that is too long."""
    texts: tuple[Encoded, ...]
    """Every encoded text with its ids, for checking a variant's own tokenizer."""
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    whole: tuple[str, ...] = ()
    """Metrics of the whole."""
    scorer: Scorer
    source: str
    settings: str
    """Everything besides the token ids that determines a score, as canonical JSON."""
    divergence: bool = False
    words: tuple[int, ...] = ()
    """Of each document; empty for items. They determine no answer, so they are no part of the plan's hash."""
    data_file: str | None = None
    data_hash: str | None = None
    notes: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    """How the data was read, in words: lines and rows, what `answer` means."""
    leak: Leak | None = None
    """References that occur in their own prompts, where the suite does not say that they belong there."""
    batching: str = BATCHING
    token_texts: TokenTexts | None = field(default=None, compare=False, repr=False)
    """Where a divergence is measured: what the tokens of `texts` stand for, a text an item."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 over items, requests and settings: the identity of the plan."""
        digest = hashlib.sha256(self.settings.encode())
        for item in self.items:
            digest.update(item.model_dump_json().encode())
        return digest.hexdigest()

    @cached_property
    def order(self) -> Order:
        """The one order of the items: the same for every variant, whether or not it may be stopped."""
        prefixes = [self._shared_prefix(index) for index in range(len(self.items))]
        lengths = [self.length(index) for index in range(len(self.items))]
        if self.kind == "perplexity":
            return in_one(prefixes, lengths)
        clusters = [item.cluster for item in self.items]
        padding = PADDING if self.kind == "choice" else None
        return in_blocks(prefixes, lengths, clusters, seed=self.hash, tokens=self.batch_tokens, padding=padding)

    @property
    def batch_tokens(self) -> int:
        """The most tokens in a batch, padding included."""
        return ANSWERED_TOKENS if self.kind == "generate" else PADDED_TOKENS

    @cached_property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """Item indices, batch by batch."""
        return self.order.chunks

    def _shared_prefix(self, index: int) -> tuple[int, ...]:
        """The prefix that an item's first request shares with others."""
        first = next(iter(self.requests[index]), None)
        if isinstance(first, ScoreRequest):
            return first.context[: first.shared]
        return first.prompt[: first.shared] if isinstance(first, GenerateRequest) else ()

    def length(self, index: int) -> int:
        """Tokens an item puts into a batch, without the prefixes that it shares."""
        total = 0
        for request in self.requests[index]:
            if isinstance(request, ScoreRequest):
                total += len(request.context) + sum(len(each) for each in request.continuations) - request.shared
            elif isinstance(request, GenerateRequest):
                total += len(request.prompt) + request.max_new_tokens - request.shared
            else:
                total += len(request.tokens)
        return total

    def score(self, index: int, answers: Sequence[Answer]) -> ItemRecord:
        """The record of item `index` given the answers to its requests, in order."""
        item = self.items[index]
        if item.too_long is not None:
            failed = Failed(stage="too_long", error=item.too_long)
            return ItemRecord(item=item.item, prompt_hash=item.prompt_hash, metrics=dict.fromkeys(self.metrics, failed))
        return self.scorer(index, answers)


def plan_texts(plan: TaskPlan) -> tuple[Encoded, ...]:
    """Every distinct encoded text of a plan."""
    distinct = {(each.text, each.add_special_tokens): each for each in plan.texts}
    return tuple(distinct.values())


def prompt_hash(requests: Sequence[Request], *, repeats: int = 1) -> str:
    """SHA-256 over every token id, stop string, limit and sampling setting of an item's requests. `repeats`: how many
    answers to each."""
    parts: list[object] = [] if repeats == 1 else [["repeats", repeats]]
    for request in requests:
        if isinstance(request, ScoreRequest):
            parts.append([request.context, request.continuations])
        elif isinstance(request, GenerateRequest):
            parts.append([request.prompt, request.max_new_tokens, request.until, request.temperature])
            if request.temperature > 0 and (request.top_p, request.top_k, request.min_p) != (1.0, 0, 0.0):
                parts.append([request.top_p, request.top_k, request.min_p])
            if request.decoding is not None and not request.decoding.is_plain:
                parts.append(request.decoding.rules())
        else:
            parts.append([request.tokens, request.scored_from])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def sample(count: int, limit: int | None, seed: int, name: str) -> list[int]:
    """Indices of a seeded sample in their original order: the same for every variant and every run."""
    import random

    if limit is None or limit >= count:
        return list(range(count))
    return sorted(random.Random(f"{seed}/{name}").sample(range(count), limit))
