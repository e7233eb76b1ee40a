"""Items that one side answered right and the other wrong, with both answers."""

from __future__ import annotations

from collections.abc import Iterator

from harness.notation import count
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import wording
from harness.reports.blocks import Block, Flips, Fold, Paragraph, Section

SHOWN, SHORT = 25, 5
"""Of a candidate and task on a page; of a candidate, and only those that went wrong, in Markdown."""


def section(verdict: Verdict) -> Section | None:
    """None where no item flipped."""
    about = Paragraph(
        "Items that one side answered right and the other wrong. A drop is the difference of two flows; flips "
        "show both."
    )
    folds = [fold for candidate in verdict.candidates for fold in _folds(verdict, candidate)]
    short = [fold for candidate in verdict.candidates for fold in _short(verdict, candidate)]
    blocks: tuple[Block, ...] = (about, *folds) if folds else ()
    return Section(name="flips", title="Flips", blocks=blocks, short=tuple(short)) if folds or short else None


def _folds(verdict: Verdict, candidate: CandidateVerdict) -> Iterator[Fold]:
    for task, total in candidate.flips_total.items():
        own = tuple(flip for flip in candidate.flips if flip.task == task)[:SHOWN]
        measure = wording.measure_of(candidate, task, own[0].metric) if own else None
        flows = ""
        if measure is not None and measure.right_to_wrong is not None:
            flows = f": {measure.right_to_wrong} right to wrong, {measure.wrong_to_right} wrong to right"
        blocks: list[Block] = [Flips(baseline=verdict.baseline, variant=candidate.variant, flips=own)]
        if total > len(own):
            command = f"quantgate show {verdict.run} --task {task}"
            blocks.append(Paragraph(f"{total - len(own):,} more not shown; {command} exports every item."))
        if total:
            note = f"{count(total, 'flip')}{flows}"
            yield Fold(summary=f"{candidate.variant} · {task}", note=note, blocks=tuple(blocks))


def _short(verdict: Verdict, candidate: CandidateVerdict) -> Iterator[Fold]:
    worse = tuple(flip for flip in candidate.flips if flip.direction == "right_to_wrong")[:SHORT]
    total = sum(candidate.flips_total.values())
    if worse:
        yield Fold(
            summary=f"{candidate.variant}: {total} flip{'s' if total != 1 else ''}, {len(worse)} of those that went "
            "wrong",
            blocks=(Flips(baseline=verdict.baseline, variant=candidate.variant, flips=worse),),
            subject=candidate.variant,
        )
