"""Memory: exact figures, read."""

from __future__ import annotations

from harness.derivations.shapes import Derivation, Sheet
from harness.samples.sample import MemoryPair

METHOD = "exact: read from one fresh process each"


def exact_bytes(pair: MemoryPair, *, ratio: bool) -> Derivation:
    """The candidate's bytes. `ratio`: over the baseline's."""
    sheet, (left, right) = Sheet("Counted"), pair.names
    sheet.counted("C", pair.candidate or 0, f"bytes, {right}")
    if ratio and pair.baseline and pair.candidate is not None:
        sheet.counted("B", pair.baseline, f"bytes, {left}")
        sheet.step("value", "ratio", "{C} / {B}", pair.candidate / pair.baseline)
    return sheet.derivation(METHOD)
