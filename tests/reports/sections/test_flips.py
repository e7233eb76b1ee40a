"""Items whose outcome changed."""

from __future__ import annotations

from harness.reports.blocks import Flips, Fold
from harness.reports.sections.flips import SHORT, SHOWN, section
from tests.reports.example import example


def test_flips_by_candidate_and_task() -> None:
    """So many of each, with how many there are, which way they went, and the command that exports the rest."""
    found = section(example())
    assert found is not None
    folds = [block for block in found.blocks if isinstance(block, Fold)]
    fold = folds[2]
    assert (fold.summary, fold.note) == ("int8 · intents", "70 flips: 40 right to wrong, 30 wrong to right")
    assert isinstance(fold.blocks[0], Flips)
    assert len(fold.blocks[0].flips) == SHOWN
    more = "45 more not shown; quantgate show 20260301-101500-a1b2 --task intents exports every item."
    assert list(fold.blocks[1].words()) == [more]


def test_in_short_only_what_went_wrong() -> None:
    """A fold a candidate, and none for one without."""
    found = section(example())
    assert found is not None
    assert found.short is not None
    folds = [block for block in found.short if isinstance(block, Fold)]
    assert [fold.subject for fold in folds] == ["bf16", "int8", "nf4"]
    shown = folds[1].blocks[0]
    assert isinstance(shown, Flips)
    assert len(shown.flips) == SHORT
    assert {flip.direction for flip in shown.flips} == {"right_to_wrong"}


def test_no_flip_is_no_section() -> None:
    """Nothing flipped, nothing is said."""
    calm = example().candidates[0].model_copy(update={"flips": (), "flips_total": {}})
    assert section(example().model_copy(update={"candidates": (calm,)})) is None
