"""Bounds that count with one unseen unit: at the end of the range where few units changed, or like the worst seen."""

from __future__ import annotations

from harness.derivations.shapes import Sheet

METHOD = "; few changed, so no narrower than Gaffke's bounds (2005)"
Bounds = tuple[float, float]


def few_changed(sheet: Sheet, unseen: Bounds | None, own: Bounds, bounds: Bounds, *, word: str) -> str:
    """Writes bounds with one unseen unit and the wider of them and the method's `own`. Gives what it adds to the
    method; nothing where there are none. `word`: items or clusters."""
    if unseen is None:
        return ""
    says = (
        f"{{}} bound with one unseen value at the {{}} end of the range: quantile of the mean of all {word} and it "
        "under flat Dirichlet weights (weights are exponentials over their sum; evaluated by the saddlepoint)"
    )
    sheet.section(f"Few {word} changed")
    sheet.counted("L₀", own[0], "lower bound of the method above")
    sheet.counted("U₀", own[1], "upper bound of the method above")
    sheet.counted("L_G", unseen[0], says.format("lower", "low"))
    sheet.counted("U_G", unseen[1], says.format("upper", "high"))
    sheet.step("L", "lower bound, the wider", "min({L0}, {L_G})", bounds[0], L0=own[0])
    sheet.step("U", "upper bound, the wider", "max({U0}, {U_G})", bounds[1], U0=own[1])
    return METHOD


def as_worst_seen(sheet: Sheet, unseen: Bounds | None, own: Bounds, bounds: Bounds, *, word: str) -> str:
    """The same with an unseen unit as bad as the worst seen, for sums that few of them may carry."""
    if unseen is None:
        return ""
    says = (
        f"{{}} bound with one more of the {word} as bad as the worst seen: the r at which the mean of all residuals "
        "x − r · w and the largest again, under flat Dirichlet weights, reaches 0 with chance alpha"
    )
    sheet.section(f"One more like the worst of the {word}")
    sheet.counted("L_₀", own[0], "lower bound so far")
    sheet.counted("U_₀", own[1], "upper bound so far")
    sheet.counted("L_W", unseen[0], says.format("lower"))
    sheet.counted("U_W", unseen[1], says.format("upper"))
    sheet.step("L", "lower bound, the wider", "min({L0}, {L_W})", bounds[0], L0=own[0])
    sheet.step("U", "upper bound, the wider", "max({U0}, {U_W})", bounds[1], U0=own[1])
    return f"; no narrower than with one more of the {word} like the worst seen"
