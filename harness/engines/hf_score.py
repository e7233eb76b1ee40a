"""Log-likelihoods of continuations. Two ways with one answer: a shared pass per item, and one pass per option.

`tree`: a row is the context once with all continuations behind it; each continuation sees the context and itself
through a 4-D mask, with positions that go on from the context. `plain`: a row per continuation, padded on the right,
as lm-eval does it. Which one a model can take is tried at load; rows beyond a sliding window go the plain way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.engines.hf_head import Head
from harness.engines.hf_load import core_of, input_device
from harness.engines.seam import ContinuationScore, ScoreRequest

AGREES_FLOAT32 = 1e-3
AGREES_OTHER = 0.25
"""Largest difference in nats between both ways on the trial, in float32 and in coarser number formats."""
SPREAD = 2.0
"""How much more the shared pass may differ than the plain way differs from itself in another batch."""
TRIALS = 3
PLAIN_TOKENS = 4096
"""Padded tokens per forward pass of the plain way."""
POSITIONS = 256
"""Positions whose logits are held at once."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One row of a batch: what goes in, and which position predicts which token of which continuation."""

    tokens: list[int]
    positions: list[int]
    branch: list[int]
    """0 is the context; continuation k is k + 1."""
    targets: list[tuple[int, int, int]]
    """(position in the row, token it predicts, continuation)."""


class Scorer:
    """Scores requests on one model in the way that was found to be right for it."""

    def __init__(self, model: Any, head: Head, *, tree: bool, reason: str) -> None:
        self._model, self._head = model, head
        self.path = "tree" if tree else "plain"
        self.reason = reason
        self._window = _sliding_window(model)

    @classmethod
    def choose(cls, model: Any, head: Head, quantized: bool) -> Scorer:
        """Try both ways on random requests and keep the faster one where they agree.

        What agreement means depends on the model. LLM.int8 picks its outlier columns over a whole batch, so one
        sequence scored alone and in company differs by up to a nat; the shared pass cannot be held to less.
        """
        import torch

        plain = cls(model, head, tree=False, reason="")
        if head.trunk is None:
            return cls(model, head, tree=False, reason=head.why_not or "")
        trials = _trials(int(core_of(model).config.get_text_config().vocab_size))
        tree = cls(model, head, tree=True, reason="")
        try:
            expected, got = plain.score(trials), tree.score(trials)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            return cls(model, head, tree=False, reason=f"no 4-D attention mask: {first[:120]}")
        difference = _difference(expected, got)
        if core_of(model).dtype == torch.float32 and not quantized:
            allowed = AGREES_FLOAT32
        else:
            alone = [plain.score([trial])[0] for trial in trials]
            allowed = max(AGREES_OTHER, SPREAD * _difference(expected, alone))
        if difference <= allowed:
            return tree
        return cls(model, head, tree=False, reason=f"a shared pass differs by {difference:.2g} nats")

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        """One tuple of scores per request, in order."""
        shared = [index for index, each in enumerate(requests) if self._shares(each)]
        alone = [index for index in range(len(requests)) if index not in set(shared)]
        answers: dict[int, tuple[ContinuationScore, ...]] = {}
        if shared:
            rows = [_tree_row(requests[index]) for index in shared]
            found = self._batch(rows, tree=True)
            answers = {
                index: _collect(scores, len(requests[index].continuations))
                for index, scores in zip(shared, found, strict=True)
            }
        answers.update(self._alone(requests, alone))
        return [answers[index] for index in range(len(requests))]

    def _shares(self, request: ScoreRequest) -> bool:
        if self.path != "tree":
            return False
        longest = len(request.context) + max(map(len, request.continuations))
        return self._window is None or longest <= self._window

    def _alone(
        self, requests: Sequence[ScoreRequest], indices: Sequence[int]
    ) -> list[tuple[int, tuple[ContinuationScore, ...]]]:
        """One row per continuation, in batches of about equal padded size."""
        rows = [
            (
                index,
                number,
                _tree_row(ScoreRequest(context=requests[index].context, continuations=(continuation,))),
            )
            for index in indices
            for number, continuation in enumerate(requests[index].continuations)
        ]
        rows.sort(key=lambda row: -len(row[2].tokens))
        found: dict[tuple[int, int], ContinuationScore] = {}
        start = 0
        while start < len(rows):
            width = max(1, PLAIN_TOKENS // max(1, len(rows[start][2].tokens)))
            part = rows[start : start + width]
            for (index, number, _), scores in zip(
                part, self._batch([row for _, _, row in part], tree=False), strict=True
            ):
                found[index, number] = _collect(scores, 1)[0]
            start += width
        return [
            (index, tuple(found[index, number] for number in range(len(requests[index].continuations))))
            for index in indices
        ]

    def _batch(self, rows: Sequence[_Row], *, tree: bool) -> list[list[tuple[int, float, bool]]]:
        """One forward pass; per row (continuation, log-probability, arg-max) of every target in order."""
        import torch

        device = input_device(self._model)
        longest = max(len(row.tokens) for row in rows)
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row.tokens)] = torch.tensor(row.tokens)
        with torch.no_grad():
            keywords = self._tree_inputs(rows, longest) if tree else _plain_inputs(rows, longest)
            keywords = {name: value.to(device) for name, value in keywords.items()}
            picks = [(number, position) for number, row in enumerate(rows) for position, _, _ in row.targets]
            index = torch.tensor(picks, device=device)
            if self._head.trunk is None:
                logits = self._model(input_ids=ids.to(device), use_cache=False, **keywords).logits
                chosen, project = logits[index[:, 0], index[:, 1]], None
            else:
                hidden = self._head.hidden(ids.to(device), **keywords)
                chosen = hidden[index[:, 0].to(hidden.device), index[:, 1].to(hidden.device)]
                project = self._head.logits
            tokens = torch.tensor([token for row in rows for _, token, _ in row.targets])
            values, best = _log_probs(chosen, tokens, project)
        answers, cursor = [], 0
        for row in rows:
            answers.append(
                [(branch, values[cursor + n], best[cursor + n]) for n, (_, _, branch) in enumerate(row.targets)]
            )
            cursor += len(row.targets)
        return answers

    def _tree_inputs(self, rows: Sequence[_Row], longest: int) -> dict[str, Any]:
        """Position ids and an additive 4-D mask: a token sees its own branch and the context, up to itself."""
        import torch

        dtype = core_of(self._model).dtype
        positions = torch.zeros((len(rows), longest), dtype=torch.long)
        branches = torch.full((len(rows), longest), -1, dtype=torch.long)
        for number, row in enumerate(rows):
            positions[number, : len(row.tokens)] = torch.tensor(row.positions)
            branches[number, : len(row.tokens)] = torch.tensor(row.branch)
        causal = torch.ones((longest, longest), dtype=torch.bool).tril()
        same = branches[:, :, None] == branches[:, None, :]
        context = (branches == 0)[:, None, :] & (branches >= 0)[:, :, None]
        visible = causal & (same | context)
        mask = torch.zeros(visible.shape, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
        return {"position_ids": positions, "attention_mask": mask[:, None]}


def _trials(vocabulary: int) -> list[ScoreRequest]:
    """Random requests with three continuations each."""
    import torch

    drawn = torch.randint(0, vocabulary, (TRIALS, 15), generator=torch.Generator().manual_seed(1)).tolist()
    return [
        ScoreRequest(context=tuple(ids[:6]), continuations=(tuple(ids[6:9]), tuple(ids[9:14]), (ids[14],)))
        for ids in drawn
    ]


def _difference(one: Sequence[Sequence[ContinuationScore]], other: Sequence[Sequence[ContinuationScore]]) -> float:
    """Largest difference of a token's log-probability, in nats; NaN counts as infinite."""
    pairs = [
        (left, right)
        for first, second in zip(one, other, strict=True)
        for a, b in zip(first, second, strict=True)
        for left, right in zip(a.log_probs, b.log_probs, strict=True)
    ]
    return max(abs(left - right) if left - right == left - right else float("inf") for left, right in pairs)


def _plain_inputs(rows: Sequence[_Row], longest: int) -> dict[str, Any]:
    import torch

    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        mask[number, : len(row.tokens)] = 1
    return {"attention_mask": mask}


def _tree_row(request: ScoreRequest) -> _Row:
    """The context, then every continuation without its last token, which predicts nothing."""
    size = len(request.context)
    tokens, positions = list(request.context), list(range(size))
    branch = [0] * size
    targets = []
    for number, continuation in enumerate(request.continuations):
        targets.append((size - 1, continuation[0], number))
        for offset, token in enumerate(continuation[:-1]):
            targets.append((len(tokens), continuation[offset + 1], number))
            tokens.append(token)
            positions.append(size + offset)
            branch.append(number + 1)
    return _Row(tokens=tokens, positions=positions, branch=branch, targets=targets)


def _log_probs(chosen: Any, tokens: Any, project: Any) -> tuple[list[float], list[bool]]:
    """Log-probability of each token and whether it is the most likely one, a few positions at a time."""
    import torch

    values, best = [], []
    for start in range(0, len(tokens), POSITIONS):
        part = chosen[start : start + POSITIONS]
        logits = (part if project is None else project(part)).float()
        wanted = tokens[start : start + POSITIONS].to(logits.device)
        picked = logits.gather(-1, wanted[:, None])[:, 0]
        values.extend((picked - torch.logsumexp(logits, -1)).tolist())
        best.extend((logits.argmax(-1) == wanted).tolist())
    return values, best


def _collect(found: Sequence[tuple[int, float, bool]], count: int) -> tuple[ContinuationScore, ...]:
    """Targets back into continuations."""
    scores = []
    for number in range(count):
        own = [(value, best) for branch, value, best in found if branch == number]
        scores.append(
            ContinuationScore(log_probs=tuple(value for value, _ in own), greedy=all(best for _, best in own))
        )
    return tuple(scores)


def _sliding_window(model: Any) -> int | None:
    """The shortest attention window of any layer; None where every layer sees everything."""
    config = core_of(model).config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is None or getattr(config, "use_sliding_window", True) is False:
        return None
    return int(window)
