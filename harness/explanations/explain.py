"""A finding into its explanation: what was counted, the formula with the numbers in it, what would change it.

The decision, bounds and reason are the finding's own, as verdict.json has them. The steps are the derivation of the
form that judged. Where the data no longer give those bounds, or this version does not know the form, a note says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from harness.derivations.shapes import Condition
from harness.explanations.evidence import Basis, TaskReader, UnexplainedError, gather, reading
from harness.explanations.inputs import commands_of, flips_of, places_of, tables_of
from harness.explanations.shapes import Explanation
from harness.explanations.what_if import changes
from harness.forms.base import Estimate, Judgement
from harness.notation import in_formula
from harness.records.findings import Decision, Finding
from harness.records.run_manifest import RunManifest
from harness.records.store import Store
from harness.samples.pairs import PairingError

SAME = 1e-9
"""Bounds that differ by less are the same computation on another machine."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How much of the inputs an explanation lists."""

    flips: int = 10
    results: str = "results"
    """The folder as the user named it, for the commands."""


def explain_findings(
    store: Store, run: RunManifest, findings: Iterable[Finding], shown: Shown
) -> tuple[Explanation, ...]:
    """One explanation each; anything that cannot be shown becomes a note. Raises `RecordError` for damaged records."""
    tasks = reading(store, run)
    return tuple(_explained(store, run, finding, shown, tasks) for finding in findings)


def _explained(store: Store, run: RunManifest, finding: Finding, shown: Shown, tasks: TaskReader) -> Explanation:
    if finding.n is None:  # no estimate: not measured, not sound, no promoted version
        return _explanation(run, finding)
    try:
        basis = gather(store, run, finding, tasks)
        judged = basis.judge(finding.limit, finding.alpha)
    except (ValueError, KeyError, PairingError, UnexplainedError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        notes = () if why in finding.reason else (f"there is no computation to show: {why}",)
        return _explanation(run, finding, notes=notes)
    places, commands = places_of(basis, run), commands_of(basis, run, shown.results)
    if judged.estimate is None:
        notes = ("nothing was computed: the reason says why",)
        return _explanation(run, finding, places=places, commands=commands, notes=notes)
    derived = basis.derive()
    flips, total = flips_of(basis, most=shown.flips)
    return _explanation(
        run,
        finding,
        method=derived.method,
        sections=derived.sections,
        conditions=derived.conditions or _conditions(basis, judged.estimate),
        changes=changes(basis),
        flips=flips,
        flips_total=total,
        tables=tables_of(basis, most=shown.flips),
        places=places,
        commands=commands,
        notes=(*_clean(finding), *derived.notes, *_differences(finding, judged, judged.estimate)),
    )


def _explanation(run: RunManifest, finding: Finding, **found: object) -> Explanation:
    """The finding's own words and numbers, and what was found."""
    own = {each.name: getattr(finding, each.name) for each in fields(Explanation) if hasattr(finding, each.name)}
    return Explanation(suite=run.suite, run=run.run, **own | found)


def _conditions(basis: Basis, estimate: Estimate) -> tuple[Condition, ...]:
    """The decision rule with the numbers in it: PASS and FAIL; where neither holds it is INCONCLUSIVE."""
    limit, ceiling = basis.finding.limit, basis.form.ceiling
    good: tuple[str, float, str, bool]
    if estimate.lower is None or estimate.upper is None:
        (inside, beyond), value = ("≤", ">") if ceiling else ("≥", "<"), estimate.value
        holds = value <= limit if ceiling else value >= limit
        good, bad = ("value", value, inside, holds), ("value", value, beyond, not holds)
    else:
        below = ("U", estimate.upper, "<", estimate.upper < limit and estimate.reliable)
        above = ("L", estimate.lower, ">", estimate.lower > limit and estimate.reliable)
        good, bad = (below, above) if ceiling else (above, below)
    rules: tuple[tuple[Decision, tuple[str, float, str, bool]], ...] = ("PASS", good), ("FAIL", bad)
    enough = "" if estimate.reliable else f", but {estimate.why_unreliable}"
    return tuple(
        Condition(gives=gives, rule=f"{gives} if {name} {sign} limit",
                  numbers=f"{in_formula(bound)} {sign} {in_formula(limit)}{enough}", holds=holds)
        for gives, (name, bound, sign, holds) in rules
    )  # fmt: skip


def _clean(finding: Finding) -> tuple[str, ...]:
    if finding.items != "clean":
        return ()
    return ("without the items that share text with the calibration data (run.json: calibration[].copied_items)",)


def _differences(finding: Finding, judged: Judgement, estimate: Estimate) -> tuple[str, ...]:
    """Where the verdict says something else than its data."""
    ours = (estimate.value, estimate.lower, estimate.upper)
    theirs = (finding.value, finding.lower, finding.upper)
    if not all(_same(left, right) for left, right in zip(ours, theirs, strict=True)):
        return (
            "the records now give other bounds than verdict.json has: it was judged by another version of quantgate; "
            "`quantgate gate RUN` judges again",
        )
    if finding.waiver is not None and judged.decision == "FAIL":
        return (f"it is a FAIL that the suite excuses: {finding.waiver.says}",)
    if judged.decision != finding.decision:
        return (f"by this rule alone it would be {judged.decision}; the verdict's reason says what else counted",)
    return ()


def _same(left: float | None, right: float | None) -> bool:
    """Infinite is stored as None."""
    a, b = (None if each is None or math.isinf(each) else each for each in (left, right))
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=SAME, abs_tol=SAME)
