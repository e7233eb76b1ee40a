"""Softmax over the vocabulary in blocks of columns, so that memory does not grow with what is scored.

The running maximum and sum are those of the online softmax (Milakov and Gimelshein, 2018, arXiv:1805.02867). Blocks
that stay in the processor's cache are also what makes it fast: logits are never written out to memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

POSITIONS = 512
"""Positions whose logits are held at once."""
COLUMNS = 2048
"""Columns of a block on a processor."""
DEVICE_COLUMNS = 16384
"""The same on an accelerator, where fewer and larger products are faster."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How much is computed at once."""

    positions: int = POSITIONS
    columns: int | None = None
    """None goes by the device."""

    def step(self, width: int, whole: bool, device: Any) -> int:
        """Columns of a block."""
        if whole:
            return width
        return self.columns or (COLUMNS if device.type == "cpu" else DEVICE_COLUMNS)

    def ranges(self, first: int, last: int, whole: bool, device: Any) -> Iterator[tuple[int, int]]:
        step = self.step(last - first, whole, device)
        for start in range(first, last, step):
            yield start, min(start + step, last)


USUAL = Blocks()


class Projection(Protocol):
    """Hidden states into logits, a range of the vocabulary at a time."""

    @property
    def width(self) -> int:
        """Size of the vocabulary."""
        ...

    @property
    def whole(self) -> bool:
        """Only the whole range can be computed: a quantized output layer."""
        ...

    def block(self, hidden: Any, start: int, stop: int) -> Any:
        """float32 logits, [positions, stop - start]."""
        ...


@dataclass(frozen=True, kw_only=True)
class Given:
    """Logits that are there already, in the place of hidden states."""

    width: int
    whole: bool = False

    def block(self, hidden: Any, start: int, stop: int) -> Any:
        return hidden[:, start:stop].float()


class _Softmax:
    """Maximum, sum and most likely token of some positions, over the blocks seen so far."""

    def __init__(self, positions: int, device: Any) -> None:
        import torch

        self._most = torch.full((positions,), torch.finfo(torch.float32).min, device=device)
        self.sum = torch.zeros(positions, device=device)
        self.top = torch.zeros(positions, dtype=torch.long, device=device)

    def add(self, logits: Any, start: int) -> tuple[Any, Any]:
        """Take in a block. Returns exp(logits - maximum), and what earlier sums have to be multiplied with."""
        import torch

        most, place = logits.max(-1)
        self.top = torch.where(most > self._most, place + start, self.top)
        most = torch.maximum(most, self._most)
        scale = torch.exp(self._most - most)
        powers = torch.exp(logits - most[:, None])
        self.sum = self.sum * scale + powers.sum(-1)
        self._most = most
        return powers, scale

    @property
    def normaliser(self) -> Any:
        """Natural logarithm of the sum of all exponentials."""
        return self._most + self.sum.log()

    def extended(self, projection: Projection, hidden: Any, start: int, blocks: Blocks) -> _Softmax:
        """The softmax over the whole width of a projection, of which this one has seen the columns before `start`."""
        if start == projection.width:
            return self
        whole = _Softmax(0, hidden.device)
        whole._most, whole.sum, whole.top = self._most, self.sum, self.top
        for begin, end in blocks.ranges(start, projection.width, projection.whole, hidden.device):
            whole.add(_columns(projection, hidden, begin, end), begin)
        return whole


class _Picked:
    """Logits of single tokens, picked up block by block."""

    def __init__(self, places: Any, tokens: Any) -> None:
        import torch

        self._places, self._tokens = places, tokens
        self.logits = torch.full((len(tokens),), float("nan"), device=tokens.device)

    def add(self, logits: Any, start: int) -> None:
        inside = (self._tokens >= start) & (self._tokens < start + logits.shape[-1])
        self.logits[inside] = logits[self._places[inside], self._tokens[inside] - start]


def log_probs(
    hidden: Any, targets: Sequence[tuple[int, int]], projection: Projection, blocks: Blocks = USUAL
) -> tuple[list[float], list[bool]]:
    """Log-probability in nats of every target, and whether it is the most likely token there.

    `hidden`: [positions, ...], as the projection takes them; `targets`: (position, token) pairs.
    """
    import torch

    order = sorted(range(len(targets)), key=lambda index: targets[index][0])
    values, best = [0.0] * len(targets), [False] * len(targets)
    cursor = 0
    for first in range(0, len(hidden), blocks.positions):
        part = hidden[first : first + blocks.positions]
        begin = cursor
        while cursor < len(order) and targets[order[cursor]][0] < first + blocks.positions:
            cursor += 1
        own = order[begin:cursor]
        places = torch.tensor([targets[index][0] - first for index in own], dtype=torch.long, device=part.device)
        tokens = torch.tensor([targets[index][1] for index in own], dtype=torch.long, device=part.device)
        softmax, picked = _Softmax(len(part), part.device), _Picked(places, tokens)
        for start, stop in blocks.ranges(0, projection.width, projection.whole, part.device):
            logits = projection.block(part, start, stop)
            softmax.add(logits, start)
            picked.add(logits, start)
        found = (picked.logits - softmax.normaliser[places]).tolist()
        likely = (softmax.top[places] == tokens).tolist()
        for index, value, is_best in zip(own, found, likely, strict=True):
            values[index], best[index] = value, is_best
    return values, best


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Values at every position, [positions]."""

    log_q: Any
    """The variant's log-probability of the true token, in nats."""
    kl: Any
    """KL(baseline || variant) over the ids that both have, in nats."""
    agree: Any
    """Both have the same most likely token, each over its own vocabulary."""
    delta_p: Any
    """The variant's probability of the true token less the baseline's."""


def divergence(
    own: Any, projection: Projection, base: Any, base_projection: Projection, tokens: Any, blocks: Blocks = USUAL
) -> Divergence:
    """The variant against the baseline at some positions. `tokens`: the true ones, [positions].

    With p and q the softmax of the logits x and y: KL(p || q) = sum p (x - y) - logsumexp(x) + logsumexp(y), all over
    the ids that both have. Where one has more, that is p and q given that the token is one of those; probabilities of
    true tokens are over the own vocabulary of each all the same.
    """
    import torch

    everywhere = torch.arange(len(tokens), device=tokens.device)
    p, q = _Softmax(len(tokens), tokens.device), _Softmax(len(tokens), tokens.device)
    true_p, true_q = _Picked(everywhere, tokens), _Picked(everywhere, tokens)
    gap = torch.zeros(len(tokens), device=tokens.device)
    common = min(projection.width, base_projection.width)
    for start, stop in blocks.ranges(0, common, projection.whole or base_projection.whole, tokens.device):
        x, y = _columns(base_projection, base, start, stop), _columns(projection, own, start, stop)
        true_p.add(x, start)
        true_q.add(y, start)
        powers, scale = p.add(x, start)
        q.add(y, start)
        gap = gap * scale + powers.mul_(x - y).sum(-1)
    whole_p, whole_q = p.extended(base_projection, base, common, blocks), q.extended(projection, own, common, blocks)
    log_p, log_q = true_p.logits - whole_p.normaliser, true_q.logits - whole_q.normaliser
    return Divergence(
        log_q=log_q,
        kl=(gap / p.sum - p.normaliser + q.normaliser).clamp_min(0.0),
        agree=whole_p.top == whole_q.top,
        delta_p=log_q.exp() - log_p.exp(),
    )


def columns_of(projection: Projection, device: Any) -> int:
    """Columns of a block."""
    return USUAL.step(projection.width, projection.whole, device)


def _columns(projection: Projection, hidden: Any, start: int, stop: int) -> Any:
    """Logits of a range, also of a layer that computes its whole width at once."""
    found = projection.block(hidden, start, stop)
    return found[:, start:stop] if projection.whole and found.shape[-1] != stop - start else found
