"""Items whose outcome changed, with both answers, worst first."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare.pairs import Pair
from harness.records.models import ItemRecord, PlannedItem, Scored
from harness.records.verdict import Flip

MOST = 200
"""Flips kept per task; the total is always counted."""
LONGEST = 4000
"""Characters of a prompt or an answer that are kept for the report."""


def find_flips(task: str, metric: str, pairs: Sequence[Pair]) -> tuple[tuple[Flip, ...], int]:
    """The flips of a binary metric (at most `MOST`, right-to-wrong and large margins first) and their number."""
    flips = []
    for pair in pairs:
        before, after = pair.baseline.metrics[metric], pair.candidate.metrics[metric]
        if not isinstance(before, Scored):
            continue
        was = before.value == 1.0
        now = isinstance(after, Scored) and after.value == 1.0
        if was == now:
            continue
        flips.append(
            Flip(
                task=task,
                metric=metric,
                item=pair.plan.item,
                direction="right_to_wrong" if was else "wrong_to_right",
                slices=pair.plan.slices,
                prompt=_cut(pair.plan.prompt, keep_end=True),
                expected=_cut(pair.plan.expected),
                baseline_answer=_cut(answer_text(pair.plan, pair.baseline)),
                candidate_answer=_cut(answer_text(pair.plan, pair.candidate)),
                baseline_margin=margin(pair.plan, pair.baseline),
                candidate_margin=margin(pair.plan, pair.candidate),
            )
        )
    flips.sort(key=_order)
    return tuple(flips[:MOST]), len(flips)


def answer_text(planned: PlannedItem, record: ItemRecord) -> str:
    """What the model answered: the generated text, or the most likely option."""
    if record.answer is not None:
        return record.answer.text
    likelihoods = [option.log_likelihood for option in record.options]
    scored = [value for value in likelihoods if value is not None]
    if not scored:
        return "(no finite likelihood for any option)"
    best = likelihoods.index(max(scored))
    return planned.options[best] if best < len(planned.options) else f"option {best + 1}"


def margin(planned: PlannedItem, record: ItemRecord) -> float | None:
    """Log-likelihood of the right option minus the best wrong one, in nats; None where that has no meaning."""
    if planned.expected not in planned.options or len(record.options) != len(planned.options):
        return None
    right = record.options[planned.options.index(planned.expected)].log_likelihood
    wrong = [
        option.log_likelihood
        for text, option in zip(planned.options, record.options, strict=True)
        if text != planned.expected and option.log_likelihood is not None
    ]
    if right is None or not wrong:
        return None
    return right - max(wrong)


def _order(flip: Flip) -> tuple[bool, float, str]:
    moved = abs((flip.baseline_margin or 0.0) - (flip.candidate_margin or 0.0))
    return flip.direction != "right_to_wrong", -moved, flip.item


def _cut(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= LONGEST:
        return text
    left_out = f"[{len(text) - LONGEST} characters left out]"
    return f"{left_out} {text[-LONGEST:]}" if keep_end else f"{text[:LONGEST]} {left_out}"
