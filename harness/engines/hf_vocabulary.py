"""Softmax over the vocabulary, a few positions at a time, so that memory does not grow with what is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

POSITIONS = 256
"""Positions whose logits are held at once."""


def log_probs(
    chosen: Any, targets: Sequence[tuple[int, int]], project: Callable[[Any], Any] | None
) -> tuple[list[float], list[bool]]:
    """Log-probability in nats of every target, and whether it is the most likely token there.

    `chosen`: hidden states (or logits, without `project`), [positions, ...]; `targets`: (position, token) pairs.
    """
    import torch

    order = sorted(range(len(targets)), key=lambda index: targets[index][0])
    values, best = [0.0] * len(targets), [False] * len(targets)
    cursor = 0
    for start in range(0, len(chosen), POSITIONS):
        part = chosen[start : start + POSITIONS]
        logits = (part if project is None else project(part)).float()
        own = []
        while cursor < len(order) and targets[order[cursor]][0] < start + POSITIONS:
            own.append(order[cursor])
            cursor += 1
        place = torch.tensor([targets[index][0] - start for index in own], device=logits.device)
        token = torch.tensor([targets[index][1] for index in own], device=logits.device)
        found = logits[place, token] - torch.logsumexp(logits, -1)[place]
        likely = logits.argmax(-1)[place] == token
        for index, value, is_best in zip(own, found.tolist(), likely.tolist(), strict=True):
            values[index], best[index] = value, is_best
    return values, best
