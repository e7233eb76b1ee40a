"""Log-likelihoods of continuations. Two ways with one answer: a shared pass per item, and one pass per option.

`tree`: a row is the context once with all continuations behind it as a prefix tree, each token seeing only what leads
to it; a prefix that several requests share is computed once for all of them. `plain`: a row per continuation,
padded on the right, as lm-eval does it. Which one a model can take is tried at load; rows beyond its limits
(`context_limits`: an attention window, say) go the plain way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.engines.protocol import ContinuationScore, ScoreRequest
from harness.engines.transformers.attention import attends_apart, attention_apart
from harness.engines.transformers.context_limits import OWN_CODE, ContextLimits
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import core_of, input_device
from harness.engines.transformers.memory_budget import MemoryBudget
from harness.engines.transformers.prefix_cache import PrefixCache
from harness.engines.transformers.prefix_tree import Row, collect, padded_ids, plain_inputs, tree_inputs, tree_row
from harness.engines.transformers.streaming_softmax import Given, Projection, log_probs

AGREES_FLOAT32 = 1e-3
AGREES_OTHER = 0.25
"""Largest difference in nats between both ways on the trial, in float32 and in coarser number formats."""
SPREAD = 2.0
"""How much more the shared pass may differ than the plain way differs from itself in another batch."""
TRIALS = 3
TRIAL_HEAD, TRIAL_STEM = 4, 2
"""Tokens that the trial's contexts begin with alike, and how many of them are computed apart."""
LONG_TRIAL, LONG_TRIAL_OTHERS = 160, 1088
"""Tokens of the trial's long row, which finds windows that no setting names: for the models of transformers itself,
and for those that bring their own code."""
LONG_TARGETS, FEWEST_LONG = 9, 4
"""Tokens of each of its continuations, and how long it has to be for there to be anything to try."""
STRATEGIES = (
    (True, True, "attention to shared prefixes where they lie"),
    (False, True, "states of shared prefixes"),
    (False, False, "a 4-D attention mask"),
)
"""Strategies of a shared pass, the fastest first: whether it attends apart, whether it keeps prefixes, and its name."""
CANNOT = (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError)
"""What a model raises that does not take a pass of some kind."""


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A row, what is computed before it, and which continuations of which request it answers."""

    request: int
    numbers: tuple[int, ...]
    row: Row
    head: tuple[int, ...]
    root_prefix: int
    tree: bool
    rope_group: int = 0
    """Only rows of one group go into one pass."""

    @property
    def kind(self) -> tuple[bool, int, tuple[int, ...], int]:
        return self.tree, self.rope_group, self.head, self.root_prefix


class Scorer:
    """Scores requests on one model in the way that was found to be right for it."""

    def __init__(
        self,
        model: Any,
        head: LmHead,
        budget: MemoryBudget,
        *,
        path: str,
        reason: str,
        keeps_prefixes: bool = False,
        apart: bool = False,
    ) -> None:
        self._model, self._head, self.budget = model, head, budget
        self.path = path
        self.reason = reason
        """Why a faster way was not taken; empty where it was."""
        self.tolerance = AGREES_FLOAT32
        """Largest difference in nats by which ways, batches and caches may differ on this model."""
        self.prefixes = PrefixCache(model, head.trunk, budget.prefix_tokens) if keeps_prefixes else None
        """What is computed before the rows of many requests; None for a model that cannot have it."""
        self._apart = apart
        """Whether rows attend to such states where they lie."""
        self.limits = ContextLimits.of(model)

    @classmethod
    def choose(cls, model: Any, head: LmHead, budget: MemoryBudget, *, quantized: bool) -> Scorer:
        """Try the ways on random requests and keep the fastest one that agrees with the plain one.

        What agreement means depends on the model. LLM.int8 picks its outlier columns over a whole batch, so one
        sequence scored alone and in a batch differs by up to a nat; the shared pass cannot be held to less.
        """
        import torch

        plain = cls(model, head, budget, path="plain", reason="")
        if head.trunk is None:
            return cls(model, head, budget, path="plain", reason=head.why_not or "")
        trials = _trials(int(core_of(model).config.get_text_config().vocab_size))
        expected = plain.score(trials)
        coarse = core_of(model).dtype != torch.float32 or quantized
        if coarse:
            alone = [plain.score([trial])[0] for trial in trials]
            plain.tolerance = max(AGREES_OTHER, SPREAD * _difference(expected, alone))
        reasons: list[str] = []
        for apart, keeps_prefixes, way in STRATEGIES if attends_apart(model) else STRATEGIES[1:]:
            name = way
            tree = cls(
                model, head, budget, path="tree", reason="; ".join(reasons), keeps_prefixes=keeps_prefixes, apart=apart
            )
            tree.tolerance = plain.tolerance
            try:
                difference = _difference(expected, tree.score(trials))
                if difference <= plain.tolerance:
                    length, difference = tree._long_difference(plain, coarse=coarse)
                    name = f"{way}, in a row of {length} tokens"
                    tree.limits = tree.limits.as_tried(model, length)
            except CANNOT as error:
                first = (str(error).splitlines() or [type(error).__name__])[0]
                reasons.append(f"{name}: not possible ({first[:120]})")
                continue
            if tree.prefixes is not None:
                tree.prefixes.forget()
            if difference <= plain.tolerance:
                return tree
            reasons.append(f"{name}: differs by {difference:.2g} nats")
        plain.reason = "; ".join(reasons)
        return plain

    def _long_difference(self, plain: Scorer, *, coarse: bool) -> tuple[int, float]:
        """Tokens of one long row, and by how much its scores differ from the plain way's, in nats.

        In coarse number formats, less what the plain way itself differs by among longer rows.
        """
        config = core_of(self._model).config.get_text_config()
        own = type(core_of(self._model)).__module__.startswith(OWN_CODE)
        limits = (self.limits.shared, getattr(config, "max_position_embeddings", None))
        length = min((LONG_TRIAL if own else LONG_TRIAL_OTHERS, *(each for each in limits if each)))
        if length < FEWEST_LONG:
            return length, 0.0
        last = min(LONG_TARGETS, length // 2)
        drawn = _draw(int(config.vocab_size), length + last, seed=3)
        context = tuple(drawn[: length - last])
        # Two of them, since a window counted along the row is wrong only where one follows the other.
        options = tuple(drawn[length - last : length]), tuple(drawn[length:])
        row = ScoreRequest(context=context, continuations=options, shared=len(context) // 2)
        expected = plain.score([row])
        difference = _difference(expected, self.score([row]))
        if coarse and difference > plain.tolerance:
            other = ScoreRequest(context=tuple(drawn[:length]), continuations=(tuple(drawn[:1]),))
            difference -= SPREAD * _difference(expected, plain.score([row, other])[:1])
        return length, difference

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        """One tuple of scores per request, in order."""
        parts = [part for index, request in enumerate(requests) for part in self._parts(index, request)]
        parts.sort(key=lambda part: (*part.kind, -len(part.row.tokens)))
        found: dict[tuple[int, int], ContinuationScore] = {}
        for _, group in groupby(parts, key=lambda part: part.kind):
            for batch in _passes(list(group), self.budget):
                for part, scores in zip(batch, self._pass(batch), strict=True):
                    own = zip(part.numbers, collect(scores, len(part.numbers)), strict=True)
                    found.update(((part.request, number), score) for number, score in own)
        return [
            tuple(found[index, number] for number in range(len(request.continuations)))
            for index, request in enumerate(requests)
        ]

    def _parts(self, index: int, request: ScoreRequest) -> Iterator[_Part]:
        """One row for the whole request, or one for each continuation."""
        every = range(len(request.continuations))
        longest = len(request.context) + max(map(len, request.continuations))
        if self.path == "tree" and self.limits.within(longest):
            head = request.context[: request.shared] if self.prefixes is not None else ()
            row, root_prefix = tree_row(request, len(head)), request.root_prefix if head else 0
            yield _Part(request=index, numbers=tuple(every), row=row, head=head, root_prefix=root_prefix, tree=True)
            return
        for number in every:
            alone = ScoreRequest(context=request.context, continuations=(request.continuations[number],))
            row = tree_row(alone)
            rope_group = self.limits.rope_group(len(row.tokens))
            yield _Part(
                request=index, numbers=(number,), row=row, head=(), root_prefix=0, tree=False, rope_group=rope_group
            )

    def _pass(self, batch: Sequence[_Part]) -> list[list[tuple[int, float, bool]]]:
        """One forward pass; per row (continuation, log-probability, arg-max) of every target in order."""
        import torch

        device = input_device(self._model)
        rows, head, dtype = [part.row for part in batch], batch[0].head, core_of(self._model).dtype
        projection: Projection
        spots = sorted({(number, spot) for number, row in enumerate(rows) for spot, _, _ in row.targets})
        where = {spot: place for place, spot in enumerate(spots)}
        self.limits.fresh()
        apart = self._apart and batch[0].tree
        with torch.no_grad(), attention_apart() if apart else nullcontext():
            before = 0 if apart else len(head)
            inputs = tree_inputs(rows, before, dtype) if batch[0].tree else plain_inputs(rows)
            inputs = {"input_ids": padded_ids(rows), **inputs}
            inputs = {name: value.to(device) for name, value in inputs.items()}
            if head:
                assert self.prefixes is not None
                states = self.prefixes.before(head, batch[0].root_prefix, len(rows), apart=apart)
                inputs |= {"past_key_values": states, "use_cache": True}
            index = torch.tensor(spots)
            if self._head.trunk is None:
                logits = self._model(use_cache=False, **inputs).logits
                chosen, projection = logits[index[:, 0], index[:, 1]], Given(width=logits.shape[-1])
            else:
                hidden = self._head.hidden(**inputs)
                chosen, projection = hidden[index[:, 0], index[:, 1]], self._head
            targets = [
                (where[number, spot], token) for number, row in enumerate(rows) for spot, token, _ in row.targets
            ]
            answers = iter(zip(*log_probs(chosen, targets, projection), strict=True))
        return [[(branch, *next(answers)) for _, _, branch in row.targets] for row in rows]


def _passes(parts: Sequence[_Part], budget: MemoryBudget) -> Iterator[list[_Part]]:
    """Parts of one kind, longest first, in batches that fit."""
    start = 0
    while start < len(parts):
        width = budget.rows(len(parts[start].row.tokens), len(parts[start].head))
        yield list(parts[start : start + width])
        start += width


def _trials(vocabulary: int) -> list[ScoreRequest]:
    """Random requests with three continuations each. Two of them share a prefix."""
    tokens = _draw(vocabulary, TRIALS * 15, seed=1)
    drawn = [tokens[15 * number : 15 * (number + 1)] for number in range(TRIALS)]
    drawn[1][:TRIAL_HEAD] = drawn[0][:TRIAL_HEAD]
    return [
        ScoreRequest(
            context=tuple(ids[:6]),
            continuations=(tuple(ids[6:9]), tuple(ids[9:14]), (ids[14],)),
            shared=TRIAL_HEAD if number < TRIALS - 1 else 0,
            root_prefix=TRIAL_STEM if number == 0 else 0,
        )
        for number, ids in enumerate(drawn)
    ]


def _draw(vocabulary: int, count: int, *, seed: int) -> list[int]:
    """Random token ids, always the same."""
    import torch

    return [int(each) for each in torch.randint(0, vocabulary, (count,), generator=torch.Generator().manual_seed(seed))]


def _difference(one: Sequence[Sequence[ContinuationScore]], other: Sequence[Sequence[ContinuationScore]]) -> float:
    """Largest difference of a token's log-probability, in nats; NaN counts as infinite."""
    pairs = [
        (left, right)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
        for left, right in zip(a.log_probs, b.log_probs, strict=True)
    ]
    return max(abs(left - right) if left - right == left - right else float("inf") for left, right in pairs)
