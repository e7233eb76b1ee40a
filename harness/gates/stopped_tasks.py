"""What a verdict says of a variant that was stopped early: on what part of the suite it stands. Judges nothing."""

from __future__ import annotations

from harness.forms.sequential import saved
from harness.notation import percent
from harness.records.findings import Check
from harness.records.measures import Measure
from harness.records.run_manifest import EarlyStop


def stop_check(stop: EarlyStop, skipped: tuple[str, ...]) -> Check:
    """Which part of the suite the verdict is based on."""
    left = f"; not asked: {', '.join(skipped)}" if skipped else ""
    says = (
        f"{stop.task}: {stop.items} of {stop.planned} items ({percent(stop.items / stop.planned)}) sufficed for "
        f"{stop.gate}{saved(stop)}{left}"
    )
    return Check(name="stopped early", held=False, blocks=False, says=says)


def without_interval(measure: Measure, stop: EarlyStop) -> Measure:
    """A measure over the items asked. Bounds for a fixed number of items are wrong where the data chose it."""
    note = f"stopped early after {stop.items} of {stop.planned} items: no interval"
    return measure.model_copy(update={"lower": None, "upper": None, "mcnemar_midp": None, "slices": (), "note": note})
