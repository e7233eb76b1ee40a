"""Softmax over the vocabulary in blocks of columns, so that memory does not grow with what is scored.

The running maximum and sum are those of the online softmax (Milakov and Gimelshein, 2018, arXiv:1805.02867). Blocks
that stay in the processor's cache are also what makes it fast: logits are never written out to memory as a whole. Only
what two distributions have in common, Σ min(p, q), needs the exponentials of both once more when their sums are known:
they are kept for as many positions as a fixed number of bytes holds, and the output layers compute nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

POSITIONS = 512
"""Positions whose logits are held at once."""
COLUMNS = 2048
"""Columns of a block on a processor."""
DEVICE_COLUMNS = 16384
"""The same on an accelerator, where fewer and larger products are faster."""
KEPT_BYTES = 128 * 2**20
"""Of exponentials of both sides that are kept, on a processor: more do not make it faster."""
DEVICE_KEPT_BYTES = 2**30
"""The same on an accelerator."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How much is computed at once."""

    positions: int = POSITIONS
    columns: int | None = None
    """None goes by the device."""
    kept_bytes: int | None = None
    """At most so many of exponentials; None goes by the device alone."""

    def kept_positions(self, count: int, width: int, device: Any) -> int:
        """Positions of which the exponentials of both sides are kept at once, so that all parts are of like size."""
        usual = KEPT_BYTES if device.type == "cpu" else DEVICE_KEPT_BYTES
        allowed = usual if self.kept_bytes is None else min(usual, self.kept_bytes)
        most = max(1, min(self.positions, allowed // (2 * 4 * width)))
        return max(1, math.ceil(count / max(1, math.ceil(count / most))))

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

        self.most = torch.full((positions,), torch.finfo(torch.float32).min, device=device)
        self.sum = torch.zeros(positions, device=device)
        self.top = torch.zeros(positions, dtype=torch.long, device=device)

    def add(self, logits: Any, start: int, out: Any = None) -> tuple[Any, Any]:
        """Take in a block. Returns exp(logits - maximum), in `out` where that is given, and what earlier sums have to
        be multiplied with."""
        import torch

        most, place = logits.max(-1)
        self.top = torch.where(most > self.most, place + start, self.top)
        most = torch.maximum(most, self.most)
        scale = torch.exp(self.most - most)
        powers = torch.sub(logits, most[:, None], out=out).exp_()
        self.sum = self.sum * scale + powers.sum(-1)
        self.most = most
        return powers, scale

    def share(self, most: Any) -> Any:
        """What exp(logits - most) has to be multiplied with to be a probability."""
        import torch

        return torch.exp(most - self.most) / self.sum

    @property
    def normaliser(self) -> Any:
        """Natural logarithm of the sum of all exponentials."""
        return self.most + self.sum.log()

    def extended(self, projection: Projection, hidden: Any, start: int, blocks: Blocks) -> _Softmax:
        """The softmax over the whole width of a projection, of which this one has seen the columns before `start`."""
        if start == projection.width:
            return self
        whole = _Softmax(0, hidden.device)
        whole.most, whole.sum, whole.top = self.most, self.sum, self.top
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
    ear: Any
    """Sum over the ids that both have of the smaller of the two probabilities, each over its own vocabulary."""
    base_top: Any
    top: Any
    """The most likely token of either, each over its own vocabulary."""
    delta_p: Any
    """The variant's probability of the true token less the baseline's."""

    @property
    def agree(self) -> Any:
        """Both have the same most likely token."""
        return self.top == self.base_top


class Exponentials:
    """Exponentials of both sides, [positions, width] each, block by block, until their sums are known.

    Its memory is used again by whatever part comes next."""

    def __init__(self) -> None:
        self._memory: Any = None
        self._blocks: list[tuple[Any, Any, Any, Any]] = []

    def begin(self, positions: int, width: int, device: Any) -> None:
        """Room for so many, and nothing in it."""
        import torch

        self._blocks.clear()
        wanted = 2 * positions * width
        if self._memory is None or self._memory.numel() < wanted or self._memory.device != device:
            self._memory = None
            self._memory = torch.empty(wanted, device=device)
        self._used = 0

    def room(self, logits: Any) -> Any:
        """Where the exponentials of a block go."""
        start = self._used
        self._used += logits.numel()
        return self._memory[start : self._used].view(logits.shape)

    def add(self, powers: Any, most: Any, other: Any, other_most: Any) -> None:
        """A block of both sides, with the maxima that were taken off."""
        self._blocks.append((powers, most, other, other_most))

    def common(self, p: _Softmax, q: _Softmax) -> Any:
        """Sum of the smaller of the two probabilities, [positions]. Writes over what is kept."""
        import torch

        found = torch.zeros_like(p.sum)
        for powers, most, other, other_most in self._blocks:
            share = p.share(most)
            other.mul_((q.share(other_most) / share)[:, None])
            found += torch.minimum(powers, other, out=other).sum(-1) * share
        self._blocks.clear()
        return found.clamp_max(1.0)


def divergence(
    own: Any,
    projection: Projection,
    base: Any,
    base_projection: Projection,
    tokens: Any,
    blocks: Blocks = USUAL,
    kept: Exponentials | None = None,
) -> Divergence:
    """The variant against the baseline at some positions. `tokens`: the true ones, [positions].

    `kept`: memory that calls have in common. With p and q the softmax of the logits x and y: KL(p || q) =
    sum p (x - y) - logsumexp(x) + logsumexp(y), all over the ids that both have. Where one has more, that is p and q
    given that the token is one of those; every other probability is over the own vocabulary of each all the same.
    """
    import torch

    common, kept = min(projection.width, base_projection.width), kept or Exponentials()
    step = blocks.kept_positions(len(tokens), common, tokens.device)
    parts = [
        _divergence(own[at : at + step], projection, base[at : at + step], base_projection, tokens[at : at + step],
                    blocks, kept)
        for at in range(0, len(tokens), step)
    ]  # fmt: skip
    if len(parts) == 1:
        return parts[0]
    return Divergence(**{
        each.name: torch.cat([getattr(part, each.name) for part in parts]) for each in fields(Divergence)
    })  # fmt: skip


def _divergence(
    own: Any,
    projection: Projection,
    base: Any,
    base_projection: Projection,
    tokens: Any,
    blocks: Blocks,
    kept: Exponentials,
) -> Divergence:
    """As `divergence`, of positions whose exponentials fit."""
    import torch

    everywhere = torch.arange(len(tokens), device=tokens.device)
    p, q = _Softmax(len(tokens), tokens.device), _Softmax(len(tokens), tokens.device)
    true_p, true_q = _Picked(everywhere, tokens), _Picked(everywhere, tokens)
    gap = torch.zeros(len(tokens), device=tokens.device)
    common = min(projection.width, base_projection.width)
    kept.begin(len(tokens), common, tokens.device)
    for start, stop in blocks.ranges(0, common, projection.whole or base_projection.whole, tokens.device):
        x, y = _columns(base_projection, base, start, stop), _columns(projection, own, start, stop)
        true_p.add(x, start)
        true_q.add(y, start)
        powers, scale = p.add(x, start, kept.room(x))
        others, _ = q.add(y, start, kept.room(y))
        kept.add(powers, p.most, others, q.most)
        gap = gap * scale + (x - y).mul_(powers).sum(-1)
    whole_p, whole_q = p.extended(base_projection, base, common, blocks), q.extended(projection, own, common, blocks)
    log_p, log_q = true_p.logits - whole_p.normaliser, true_q.logits - whole_q.normaliser
    return Divergence(
        log_q=log_q,
        kl=(gap / p.sum - p.normaliser + q.normaliser).clamp_min(0.0),
        ear=kept.common(whole_p, whole_q),
        base_top=whole_p.top,
        top=whole_q.top,
        delta_p=log_q.exp() - log_p.exp(),
    )


def columns_of(projection: Projection, device: Any) -> int:
    """Columns of a block."""
    return USUAL.step(projection.width, projection.whole, device)


def _columns(projection: Projection, hidden: Any, start: int, stop: int) -> Any:
    """Logits of a range, also of a layer that computes its whole width at once."""
    found = projection.block(hidden, start, stop)
    return found[:, start:stop] if projection.whole and found.shape[-1] != stop - start else found
