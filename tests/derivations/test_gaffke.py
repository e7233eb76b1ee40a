"""Bounds with one unseen unit stand behind a method's own, and the wider of the two count."""

from __future__ import annotations

from harness.derivations.gaffke import METHOD, few_changed
from harness.derivations.shapes import Sheet


def test_the_wider_bounds_are_last() -> None:
    """Both pairs of bounds, then L and U; the method is named."""
    sheet = Sheet("Bounds")
    said = few_changed(sheet, (-0.1, 0.4), (0.0, 0.3), (-0.1, 0.4), word="clusters")
    section = sheet.derivation(said).sections[-1]
    values = {step.symbol: step.value for step in section.steps}
    assert (said, section.title) == (METHOD, "Few clusters changed")
    assert values == {"L₀": 0.0, "U₀": 0.3, "L_G": -0.1, "U_G": 0.4, "L": -0.1, "U": 0.4}


def test_nothing_is_written_where_many_changed() -> None:
    """No section, and nothing to add to the method."""
    sheet = Sheet("Bounds")
    assert few_changed(sheet, None, (0.0, 0.3), (0.0, 0.3), word="items") == ""
    assert len(sheet.derivation("").sections) == 1
