"""Bounds that count with one unseen unit, with their numbers put in. They are used where few units changed."""

from __future__ import annotations

from harness.explanations.shapes import Section, counted, step

GAFFKE = "; few changed, so no narrower than Gaffke's bounds (2005)"


def unseen_section(
    own: tuple[float, float], unseen: tuple[float, float], bounds: tuple[float, float], *, word: str
) -> Section:
    """The method's `own` bounds, those with one unseen unit, and the wider of them. `word`: items or clusters."""
    says = (
        f"{{}} bound with one unseen value at the {{}} end of the range: quantile of the mean of all {word} and it "
        "under flat Dirichlet weights (weights are exponentials over their sum; evaluated by the saddlepoint)"
    )
    return Section(
        title=f"Few {word} changed",
        steps=(
            counted("L₀", own[0], "lower bound of the method above"),
            counted("U₀", own[1], "upper bound of the method above"),
            counted("L_G", unseen[0], says.format("lower", "low")),
            counted("U_G", unseen[1], says.format("upper", "high")),
            step("L", "lower bound, the wider", "min({L0}, {L_G})", bounds[0], L0=own[0], L_G=unseen[0]),
            step("U", "upper bound, the wider", "max({U0}, {U_G})", bounds[1], U0=own[1], U_G=unseen[1]),
        ),
    )
