"""Metrics of the whole of a task: which ones lm-eval's aggregations are, and what an answer adds to their sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.metrics.corpus import whole_metric
from harness.metrics.row import Metric, OfTexts, Strictness, TextScore
from harness.metrics.table import METRICS

Part = tuple[float, ...]


def lm_evals_whole(task: Any, found: Mapping[str, object]) -> dict[str, Metric]:
    """Of an lm-eval task's metrics those that it aggregates by more than a mean, and that we know how to."""
    from lm_eval.api import metrics as theirs

    aggregation = task.aggregation()
    known = {
        theirs.f1_score: "choice", theirs.matthews_corrcoef: "choice",
        theirs.bleu: "generate", theirs.chrf: "generate", theirs.ter: "generate",
    }  # fmt: skip
    kind = {"multiple_choice": "choice", "generate_until": "generate"}.get(task.OUTPUT_TYPE)
    rows: dict[str, Metric] = {}
    for name, value in found.items():
        of_kind = known.get(aggregation.get(name.split(",", 1)[0]))
        row = whole_metric(kind or "", name)
        if row is not None and of_kind == kind and isinstance(value, Sequence) and len(value) == 2:
            rows[name] = row
    return rows


def text_part(way: OfTexts, value: object) -> Part | None:
    """What lm-eval's pair of references and answer adds, as its aggregation reads them."""
    if not isinstance(value, Sequence) or len(value) != 2:
        return None
    references, answer = value
    several = [references] if isinstance(references, str) else list(references)
    return way.parts(answer if isinstance(answer, str) else str(answer[0]), [str(each) for each in several])


def companion_score(name: str, value: object) -> float | None:
    """A metric of the table, of lm-eval's pair of references and answer."""
    computed = METRICS[name].computed
    if not isinstance(computed, TextScore) or not isinstance(value, Sequence) or len(value) != 2:
        return None
    references, answer = value
    several = [references] if isinstance(references, str) else list(references)
    given = answer if isinstance(answer, str) else str(answer[0])
    return max(computed.score(given, str(each), Strictness()) for each in several)


def added(parts: Sequence[Part]) -> Part:
    """Of several answers to an item: every one counts."""
    return tuple(sum(column) for column in zip(*parts, strict=True))
