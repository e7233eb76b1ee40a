"""A metric of the whole: both values, and the draws of the paired bootstrap that its bounds are taken from."""

from __future__ import annotations

from typing import Literal

from harness.derivations.shapes import Derivation, Sheet
from harness.samples.whole_pairs import WholePairs

BAYESIAN = (
    "paired Bayesian bootstrap (Rubin 1981) with one unseen {unit} at the worst (as in Gaffke's bound), {draws:,} draws"
)


def of_whole(sample: WholePairs, what: Literal["loss", "kept", "own"], *, alpha: float) -> Derivation:
    """How a loss, a share kept or a value by itself gets its bounds."""
    found = sample.resampled
    change = getattr(found, what)(alpha=alpha)
    unit = "cluster" if found.clustered else "item"
    draws = change.low.size
    sheet = Sheet("Counted", alpha=alpha, units=found.units)
    sheet.counted("n", sample.count, "items")
    if found.clustered:
        sheet.counted("G", found.units, "clusters")
    sheet.counted("c", found.changed, f"{unit}s on which the sides differ")
    sheet.counted("B", found.baseline, f"{sample.metric} of the baseline, over all items at once")
    sheet.counted("C", found.candidate, f"{sample.metric} of the candidate")
    sheet.section("Bounds")
    value = {"loss": ("{B} − {C}" if sample.higher_is_better else "{C} − {B}"), "kept": "{C} / {B}", "own": "{C}"}[what]
    sheet.step("D", {"loss": "loss", "kept": "share kept", "own": "value"}[what], value, change.value)
    sheet.counted("s", change.error, "standard deviation of the draws")
    sheet.counted("R", draws, "draws, both sides under the same weights")
    sheet.counted("L", change.lower, "lower bound: the ⌊α(R + 1)⌋-th smallest draw, the unseen one at its best")
    sheet.counted("U", change.upper, "upper bound: the ⌊α(R + 1)⌋-th largest draw, the unseen one at its worst")
    return sheet.derivation(BAYESIAN.format(unit=unit, draws=draws))
