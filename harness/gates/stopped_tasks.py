"""Gates of a variant that was stopped early: FAIL where the betting test says so, otherwise not judged. Never PASS."""

from __future__ import annotations

from harness.comparison.sequential_test import Part, can_stop, wealth_against
from harness.gates.judgement import Judgement
from harness.gates.limits import Estimate
from harness.notation import duration, percent, points, significant
from harness.records.findings import Check
from harness.records.measures import Measure
from harness.records.run_manifest import EarlyStop
from harness.samples.pairs import PairedMetric
from harness.suite.gate_model import Gate


def judge_part(gate: Gate, metric: PairedMetric | None, part: Part, *, alpha: float) -> Judgement:
    """A gate on the task at which the variant was stopped.

    The test may be read at any time, so it also holds for another limit or alpha than the one that stopped the
    variant (Ville's inequality); fixed-n bounds would not.
    """
    stop = part.stop
    wealth = None
    if metric is not None and can_stop(gate):
        wealth = wealth_against(metric, limit=gate.limit, alpha=alpha, largest=part.largest)
    if metric is None or wealth is None or wealth < 1 / alpha:
        return Judgement.none(f"{words_of(stop)}; run again without --stop-early")
    drop = float(metric.drops.mean())
    return Judgement(
        decision="FAIL",
        reason=f"drop {points(drop)} after {stop.items} of {stop.planned} items: the anytime-valid test rejects a drop "
        f"of at most {points(gate.limit)} (wealth {significant(wealth, 3)}, {significant(1 / alpha, 3)} needed); "
        f"stopped early{_saved(stop)}",
        estimate=Estimate(value=drop, lower=None, upper=None, n=metric.count, early_alpha=alpha),
    )


def not_judged(stop: EarlyStop) -> Judgement:
    """A gate on what the variant was not asked or timed for."""
    return Judgement.none(f"not judged: {words_of(stop)}")


def stop_check(stop: EarlyStop, skipped: tuple[str, ...]) -> Check:
    """Which part of the suite the verdict stands on."""
    left = f"; not asked: {', '.join(skipped)}" if skipped else ""
    says = (
        f"{stop.task}: {stop.items} of {stop.planned} items ({percent(stop.items / stop.planned)}) sufficed for "
        f"{stop.gate}{_saved(stop)}{left}"
    )
    return Check(name="stopped early", held=False, blocks=False, says=says)


def without_interval(measure: Measure, stop: EarlyStop) -> Measure:
    """A measure over the items asked. Bounds for a fixed number of items are wrong where the data chose it."""
    note = f"stopped early after {stop.items} of {stop.planned} items: no interval"
    return measure.model_copy(update={"lower": None, "upper": None, "mcnemar_midp": None, "slices": (), "note": note})


def words_of(stop: EarlyStop) -> str:
    """Where a variant was stopped, and by which gate."""
    return f"stopped early at {stop.task} after {stop.items} of {stop.planned} items by {stop.gate}"


def _saved(stop: EarlyStop) -> str:
    if stop.saved_s is None:
        return ""
    return f", about {duration(stop.saved_s)} saved"
