"""Metrics over several answers to one question, beside another metric's mean over them: pass@k and maj@k.

The number k is part of the name, so they are a family and no rows of the table. They count what another metric calls
right or wrong: the first one that the task has (or the first of its filter).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from harness.metrics.row import Metric, OverAnswers

NAME = re.compile(r"(pass|maj)@([1-9][0-9]{0,3})")
SAID = {
    "pass": "chance that one of {k} answers to an item is right",
    "maj": "whether the most frequent of {k} answers to an item is right",
}


def over_answers(name: str) -> Metric | None:
    """The metric of a name such as `pass@4`, also with a filter behind a comma; None for another name."""
    found = NAME.fullmatch(name.split(",", 1)[0])
    if found is None:
        return None
    way, k = found[1], int(found[2])
    return Metric(
        name=found[0],
        kind="graded",
        unit="fraction",
        description=SAID[way].format(k=k),
        computed=OverAnswers(way="pass" if way == "pass" else "maj", k=k),
        higher_is_better=True,
    )


def pass_at(k: int, n: int, right: int) -> float:
    """1 − C(n − right, k) / C(n, k): the unbiased estimate from n ≥ k answers (Chen et al. 2021, arXiv 2107.03374)."""
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def most_frequent(texts: Sequence[str]) -> int:
    """The place of the first answer with the most frequent text; of equally frequent ones, the one given first."""
    counts = {text: texts.count(text) for text in texts}
    return texts.index(max(counts, key=lambda text: counts[text]))
