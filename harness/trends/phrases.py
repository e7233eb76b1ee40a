"""How a figure's change, its bounds, and a shift are put in words; the same in terminal and page."""

from __future__ import annotations

from harness.notation import Notation, significant
from harness.reports.wording import change_of
from harness.trends.figure_rows import HistoryRow
from harness.trends.series import Shift

SHIFTS_SAY = (
    "A shift is marked where the mean of a series moves by over 5 standard errors, in series of 8 runs or more; of "
    "series that only vary, under 1 in 100 is marked. It changes no verdict and no exit code."
)


def title(row: HistoryRow) -> str:
    """`intents acc`; a memory figure has no task."""
    return f"{row.task} {row.metric}".strip()


def meaning(row: HistoryRow) -> str:
    """What the change of this figure is."""
    if row.kind in ("speed", "memory"):
        return f"ratio to the baseline; {'down' if row.worse < 0 else 'up'} is worse"
    if row.kind in ("perplexity", "ratio"):
        return "rise over the baseline; up is worse"
    if row.kind == "divergence":
        unit = "share" if row.unit == "fraction" else row.unit
        return f"{unit} from the baseline; {'down' if row.worse < 0 else 'up'} is worse".strip()
    return "drop from the baseline; up is worse"


def shown(row: HistoryRow, value: float | None) -> str:
    """A change or a bound of this row."""
    return change_of(row.kind).amount(value, row.unit)


def bounds(row: HistoryRow) -> str:
    """Both bounds of the row's change."""
    return change_of(row.kind).span(row.lower, row.upper, row.unit)


def shift_words(shift: Shift) -> str:
    """`0.20 pp → 1.30 pp, up by 1.10 pp (about 0.82 … 1.38 pp), worse; 12 runs before, 6 from here`."""
    before, after = (change_of(shift.kind).amount(level, shift.unit) for level in (shift.before, shift.after))
    fine = "worse" if shift.worse else "better"
    runs = f"{shift.runs_before} runs before, {shift.runs_after} from here"
    model = "; the model changed here too" if shift.model_changed else ""
    return f"{before} → {after}, {_size(shift)}, {fine}; {runs}{model}"


def _size(shift: Shift) -> str:
    notation = change_of(shift.kind)
    if notation is Notation.RATIO:
        exact = shift.lower == shift.upper
        about = "" if exact else f" (about {notation.span(shift.lower, shift.upper, '')})"
        return f"by a factor of {significant(shift.size, 4)}{about}"
    if shift.unit == "fraction":  # a difference of shares is in points, whatever they are shares of
        notation = Notation.POINTS
    low, high = sorted((abs(shift.lower), abs(shift.upper))) if shift.lower * shift.upper > 0 else (0.0, 0.0)
    ends = {notation.amount(end, shift.unit) for end in (low, high)}
    about = "" if len(ends) == 1 else f" (about {notation.span(low, high, shift.unit)})"
    return f"{'up' if shift.size > 0 else 'down'} by {notation.amount(abs(shift.size), shift.unit)}{about}"
