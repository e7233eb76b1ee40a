"""Options that tie: exactly equal likelihoods, so the model has not decided. lm-eval takes the first of them. Here
every tied option counts by its share: a metric is the mean of its values with each of them ahead. So an item with
k tied options of which one is right is worth 1/k, in whichever order the data have them.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence

from harness.metrics.table import per_character

AHEAD = 1e-12
"""By this share of its log-likelihood one of the tied options is put ahead."""
SAME = 1e-9
"""A metric that moves by less with an option put ahead does not depend on which one is taken."""
Likelihood = tuple[float, bool]
"""An option's log-likelihood in nats, and whether it is what the model would write."""


def shared_among_ties(
    process: Callable[[Sequence[Likelihood]], Mapping[str, object]],
    responses: Sequence[Likelihood],
    options: Sequence[str],
) -> dict[str, object]:
    """Every metric of one item, with tied options counted by their share. `process`: lm-eval's own metrics.

    `responses`: one an option, and after them what else the task asks. Equal texts are one option: taking the first is
    then no choice. `acc_norm` ties where the likelihoods per character are equal, every other metric where they are
    equal as they are.
    """
    found = dict(process(responses))
    if len(responses) < len(options):  # a task of its own making, which scores something else than each option
        return found
    plain = [total for total, _ in responses[: len(options)]]
    by_character = [total / max(1, len(text)) for total, text in zip(plain, options, strict=True)]
    tied = {False: _tied(plain, options), True: _tied(by_character, options)}
    ahead = {place: process(_ahead(responses, place)) for place in {*tied[False], *tied[True]}}
    for metric in found:
        places = tied[per_character(metric)]
        values = [number(ahead[place].get(metric)) for place in places]
        known = [value for value in values if value is not None]
        own = number(found[metric])
        if own is None or not known or len(known) < len(values):
            continue
        share = math.fsum(known) / len(known)
        if abs(share - own) > SAME:
            found[metric] = share
    return found


def _tied(values: Sequence[float], options: Sequence[str]) -> tuple[int, ...]:
    """The places of the best values where there are several with unlike texts, each text once; else none."""
    if len(values) < 2:
        return ()
    best = max(values)
    first: dict[str, int] = {}
    for place, value in enumerate(values):
        if value == best:
            first.setdefault(options[place], place)
    return tuple(first.values()) if len(first) > 1 else ()


def _ahead(responses: Sequence[Likelihood], place: int) -> list[Likelihood]:
    """The responses with one option a little more likely."""
    moved = list(responses)
    total, greedy = moved[place]
    moved[place] = (total + max(abs(total), SAME) * AHEAD, greedy)
    return moved


def number(value: object) -> float | None:
    """None for what is not a number; numpy's booleans are not `Real`, but count as numbers."""
    if not isinstance(value, numbers.Real) and type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()  # type: ignore[attr-defined]  # every numpy scalar has it
    return float(value) if isinstance(value, numbers.Real) else None
