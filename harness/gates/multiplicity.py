"""Several claims about one candidate at once: Holm for its FAILs, Benjamini and Hochberg for the slices that moved.

A PASS needs no correction: a candidate passes only when every limit holds. A FAIL does: each limit looked at is another
chance to fail a good candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.gates.judged import Judged
from harness.metrics.table import lookup
from harness.notation import significant
from harness.records.measures import Exploratory, Measure, MovedSlice
from harness.stats import benjamini_hochberg, holm

EXPLORATORY_LEVEL = 0.1
"""One in ten of the slices listed is expected to be chance."""


def judged_together(found: Sequence[Judged]) -> tuple[Judged, ...]:
    """The findings of one candidate, each with Holm's p; a FAIL that does not survive it is INCONCLUSIVE.

    A family is every finding with a p on tasks and slices, and another one those on speed; blocking ones and warnings
    are kept apart. A family of one is judged by its bound alone.
    """
    families: dict[tuple[str, bool], list[int]] = {}
    for place, finding in enumerate(each.finding for each in found):
        if finding.p is not None and finding.decision != "INVALID":
            metric = lookup(finding.metric)
            speed = metric is not None and metric.kind == "speed"
            families.setdefault((finding.severity, speed), []).append(place)
    together = list(found)
    for family in families.values():
        adjusted = holm([found[place].finding.p or 0.0 for place in family])
        for place, p_adjusted in zip(family, adjusted, strict=True):
            together[place] = _adjusted(found[place], p_adjusted, len(family))
    return tuple(together)


def _adjusted(judged: Judged, p_adjusted: float, together: int) -> Judged:
    finding, reason = judged.finding, judged.reason
    changes: dict[str, object] = {"p_adjusted": p_adjusted, "together": together}
    if finding.decision == "FAIL" and together > 1 and p_adjusted > finding.alpha:
        p = finding.p or 0.0
        changes["decision"] = "INCONCLUSIVE"
        reason = replace(reason, ending="").noting(
            f"its interval is beyond the limit (p {significant(p)}), but of {together} limits judged together "
            f"{_expected(together * p)} expected to look so by chance: Holm-adjusted p {significant(p_adjusted)}, not "
            f"under {finding.alpha:g}"
        )
    return Judged(finding=finding.model_copy(update=changes), reason=reason)


def _expected(count: float) -> str:
    return f"{count:.1f} are" if count < 0.95 or count >= 1.05 else "one is"


def explored(measures: Sequence[Measure]) -> tuple[tuple[Measure, ...], Exploratory | None]:
    """The measures with a q for every slice, and the list of slices that moved; None where there are no slices.

    One list for the candidate: every slice of every task and metric. Slices of one task overlap and its metrics are
    correlated; the procedure allows for such dependence (Benjamini and Yekutieli 2001, positive dependence).
    """
    places = [
        (index, number)
        for index, measure in enumerate(measures)
        for number, each in enumerate(measure.slices)
        if each.p is not None
    ]
    if not any(measure.slices for measure in measures):
        return tuple(measures), None
    values = benjamini_hochberg([measures[index].slices[number].p or 0.0 for index, number in places]) if places else []
    rows = [list(measure.slices) for measure in measures]
    moved = []
    for (index, number), q in zip(places, values, strict=True):
        row = rows[index][number].model_copy(update={"q": q})
        rows[index][number] = row
        if q <= EXPLORATORY_LEVEL and row.change is not None and row.p is not None:
            of = measures[index]
            moved.append(
                MovedSlice(
                    task=of.task, metric=of.metric, kind=of.kind, unit=of.unit, slice=row.slice, n=row.n,
                    change=row.change, lower=row.lower, upper=row.upper, p=row.p, q=q,
                )
            )  # fmt: skip
    moved.sort(key=lambda each: (each.q, each.p, -abs(each.change)))
    whole = tuple(
        measure.model_copy(update={"slices": tuple(own)}) for measure, own in zip(measures, rows, strict=True)
    )
    return whole, Exploratory(slices=len(places), level=EXPLORATORY_LEVEL, moved=tuple(moved))
