"""What would change the verdict: another limit, other flips, more items, another alpha.

Every answer comes from the judge of the finding itself, asked again at another point; nothing is approximated by a
formula of its own, except the number of further items, which supposes the rates seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.explanations.evidence import Basis
from harness.explanations.shapes import Change
from harness.forms.base import Recount
from harness.forms.sequential import wealth_against
from harness.notation import in_formula
from harness.records.findings import Decision
from harness.samples.sample import StoppedPart

SMALLEST_ALPHA, LARGEST_ALPHA = 1e-12, 0.4999
HALVINGS = 20
WRITTEN = 4
"""Significant digits of a limit as one would write it into a suite."""


def changes(basis: Basis) -> tuple[Change, ...]:
    """All known changes. Where there is nothing to lose, only that."""
    if isinstance(basis.sample, StoppedPart):
        return _of_stopped(basis, basis.sample)
    code = basis.judge(basis.finding.limit, basis.finding.alpha).code
    if code == "blind_limit":
        return tuple(_limits(basis))
    if code is not None:
        says = "no limit, item or alpha would change it while there is nothing to lose, or nothing was answered"
        return (Change(of="limit", gives=None, value=None, says=says),)
    return (*_limits(basis), *_flips(basis), *_items(basis), *_alphas(basis))


def _decides(basis: Basis, limit: float, alpha: float) -> Decision | None:
    """None where the form takes no such limit."""
    try:
        return basis.judge(limit, alpha).decision
    except ValueError:
        return None


def _limits(basis: Basis) -> list[Change]:
    """The strictest limit that passes and the loosest that fails."""
    finding, form = basis.finding, basis.form
    estimate = basis.judge(finding.limit, finding.alpha).estimate
    if estimate is None:
        return []
    if not estimate.reliable:
        return [Change(of="limit", gives=None, value=None, says=f"no limit is decided: {estimate.why_unreliable}")]
    lower = estimate.value if estimate.lower is None else estimate.lower
    upper = estimate.value if estimate.upper is None else estimate.upper
    passes, fails = (upper, lower) if form.ceiling else (lower, upper)
    outcomes: tuple[tuple[Decision, float, bool], ...] = (
        ("PASS", passes, form.ceiling),
        ("FAIL", fails, not form.ceiling),
    )
    found = []
    for gives, bound, up in outcomes:
        limit = _written(basis, bound, up=up, gives=gives)
        if limit is None:
            continue
        word, side = ("smallest", "above") if up else ("largest", "below")
        own = f"{in_formula(bound)} itself and " if estimate.lower is None and gives == "PASS" else ""
        rest = f"{own}any {side} {'it' if own else in_formula(bound)} does"
        says = f"{word} limit at which it would {gives}: {_said(basis, limit)}; {rest}"
        found.append(Change(of="limit", gives=gives, value=limit, says=says))
    return found


def _said(basis: Basis, limit: float) -> str:
    return f"{basis.form.notation.amount(limit, basis.finding.unit)} ({basis.form.key}: {limit:.15g})"


def _written(basis: Basis, bound: float, *, up: bool, gives: Decision) -> float | None:
    """The limit nearest the bound, in few digits, that does give this decision; None where no limit allowed does."""
    if not math.isfinite(bound):
        return None
    whole = 1.0 if bound == 0 else 10.0 ** (math.floor(math.log10(abs(bound))) - WRITTEN + 1)
    whole = max(whole, 1e-6)
    place = math.ceil(bound / whole) if up else math.floor(bound / whole)
    for step in (0, 1, 2):
        limit = float(f"{(place + (step if up else -step)) * whole:.12g}")
        if _decides(basis, limit, basis.finding.alpha) == gives and basis.form.inside(limit):
            return limit
    return None


def _flips(basis: Basis) -> list[Change]:
    """Fewer harmful flips (to PASS), or more (until it no longer passes), the other flips as they are."""
    finding = basis.finding
    recount = basis.evidence.recount(basis.form, limit=finding.limit, alpha=finding.alpha)
    if recount is None:
        return []
    decide, seen, now = recount.decide, recount.seen, basis.judge(finding.limit, finding.alpha).decision
    if now == "PASS":
        most = _last(lambda count: decide(count) == "PASS", seen, recount.most)
        if most >= recount.most:
            return [Change(of="flips", gives=None, value=None, says="no number of harmful flips would change it")]
        first = decide(most + 1)
        says = (
            f"PASS holds up to {most} right-to-wrong flips, {most - seen} more than seen; {most + 1} give {first}, "
            f"{recount.others}"
        )
        return [Change(of="flips", gives=first, value=float(most + 1), says=says)]
    return _fewer_flips(recount, ("INCONCLUSIVE", "PASS") if now == "FAIL" else ("PASS",))


def _fewer_flips(recount: Recount, better: tuple[Decision, ...]) -> list[Change]:
    """To each of the better decisions, the worse of them first."""
    found: list[Change] = []
    for place, gives in enumerate(better):
        wanted = better[place:]
        if recount.decide(0) not in wanted:
            none = f"not even 0 right-to-wrong flips of {recount.n} would give {gives}"
            says = f"{none}: there are too few items for this limit"
            found.append(Change(of="flips", gives=None, value=None, says=says))
            break
        most = _last(lambda count, wanted=wanted: recount.decide(count) in wanted, 0, recount.seen)  # type: ignore[misc]
        says = (
            f"{most} right-to-wrong flips instead of {recount.seen} ({recount.seen - most} fewer) would give "
            f"{recount.decide(most)}, {recount.others}"
        )
        found.append(Change(of="flips", gives=recount.decide(most), value=float(most), says=says))
    return found


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The largest count from `low` to `high` that holds; it holds at `low`, and once it does not it never does."""
    if holds(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _items(basis: Basis) -> list[Change]:
    """More items at the same rates."""
    finding = basis.finding
    now = basis.judge(finding.limit, finding.alpha)
    if now.estimate is None or now.estimate.lower is None:
        return []
    if now.decision != "INCONCLUSIVE":
        says = "more items at the same rates would not: the interval narrows around the same value"
        return [Change(of="items", gives=None, value=None, says=says)]
    if now.more_items is None:
        return []
    inside = now.estimate.value < finding.limit if basis.form.ceiling else now.estimate.value > finding.limit
    gives: Decision = "PASS" if inside else "FAIL"
    says = f"about {now.more_items:,} more at the same rates would give {gives}"
    if not now.estimate.reliable:
        says = f"{now.more_items:,} more are needed before anything is decided"
        return [Change(of="items", gives=None, value=float(now.more_items), says=says)]
    return [Change(of="items", gives=gives, value=float(now.more_items), says=says)]


def _alphas(basis: Basis) -> list[Change]:
    """From which alpha on it is decided, or down to which the decision holds."""
    finding = basis.finding
    now = basis.judge(finding.limit, finding.alpha)
    if now.estimate is None or now.estimate.lower is None or not now.estimate.reliable:
        return []
    gives = now.decision if now.decision != "INCONCLUSIVE" else _decides(basis, finding.limit, LARGEST_ALPHA)
    if gives not in ("PASS", "FAIL"):
        return [Change(of="alpha", gives=None, value=None, says="no alpha below 0.5 decides: the value is the limit")]
    low, high = SMALLEST_ALPHA, finding.alpha if now.decision == gives else LARGEST_ALPHA
    if _decides(basis, finding.limit, low) == gives:
        says = f"{gives} holds at every alpha down to {low:g}"
        return [Change(of="alpha", gives=gives, value=low, says=says)]
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _decides(basis, finding.limit, middle) == gives else (middle, high)
    if now.decision == gives:
        says = f"{gives} holds down to an alpha of {high:.4g} (it is {finding.alpha:g}); below that it is INCONCLUSIVE"
    else:
        says = f"{gives} from an alpha of {high:.4g} on (it is {finding.alpha:g}): that often it would be wrong"
    return [Change(of="alpha", gives=gives, value=high, says=says)]


def _of_stopped(basis: Basis, part: StoppedPart) -> tuple[Change, ...]:
    """The loosest limit and the smallest alpha at which the items asked FAIL, and what could PASS."""
    finding, found = basis.finding, []

    def fails(limit: float) -> bool:
        return basis.judge(limit, finding.alpha).decision == "FAIL"

    low, high = finding.limit, max(finding.limit, min(0.999, float(part.pairs.drops.mean())))
    if fails(low) and not fails(high):
        for _ in range(2 * HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if fails(middle) else (low, middle)
        limit = _written(basis, low, up=False, gives="FAIL")
        if limit is not None:
            says = f"largest limit at which these items would FAIL: {_said(basis, limit)}"
            found.append(Change(of="limit", gives="FAIL", value=limit, says=says))
    share = finding.alpha / part.chances
    wealth = wealth_against(part.pairs, limit=finding.limit, alpha=share, largest=part.largest)
    if wealth is not None:
        least = 1 / wealth * finding.alpha / share
        says = f"FAIL holds down to an alpha of {least:.4g} of the gate (it is {finding.alpha:g})"
        found.append(Change(of="alpha", gives="FAIL", value=least, says=says))
    says = "PASS is given by whole tasks only: run again without --stop-early"
    return *found, Change(of="items", gives=None, value=None, says=says)
