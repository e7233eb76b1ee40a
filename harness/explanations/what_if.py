"""What would change the verdict: another limit, other flips, more items, another alpha.

Every answer comes from the judge of the finding itself, asked again at another point; nothing is approximated by a
formula of its own, except the number of further items, which supposes the rates seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from harness.explanations.evidence import Evidence, Items, ThreeWays
from harness.explanations.shapes import Change, num
from harness.forms.base import Judgement, Terms
from harness.records.findings import Decision, Finding
from harness.reports import figures
from harness.samples.base_pairs import ThreeWay
from harness.samples.measures import drop_of
from harness.samples.pairs import PairedMetric
from harness.stats import PairedDrop, paired_recovery
from harness.stats.drop import recounted

SMALLEST_ALPHA, LARGEST_ALPHA = 1e-12, 0.4999
HALVINGS = 20
WRITTEN = 4
"""Significant digits of a limit as one would write it into a suite."""


def changes(evidence: Evidence) -> tuple[Change, ...]:
    """Everything that is known of the kind, by what one could change. Where there is nothing to lose, that alone."""
    code = evidence.judge(evidence.finding.limit, evidence.finding.alpha).code
    if code == "blind_limit":
        return tuple(_limits(evidence))
    if code is not None:
        says = "no limit, item or alpha would change it while there is nothing to lose, or nothing was answered"
        return (Change(of="limit", gives=None, value=None, says=says),)
    found = [*_limits(evidence), *_flips(evidence), *_items(evidence), *_alphas(evidence)]
    return tuple(found)


def _decides(evidence: Evidence, limit: float, alpha: float) -> Decision | None:
    """None where the form takes no such limit."""
    try:
        return evidence.judge(limit, alpha).decision
    except ValueError:
        return None


def _limits(evidence: Evidence) -> list[Change]:
    """The strictest limit that passes and the loosest that fails."""
    finding = evidence.finding
    now = evidence.judge(finding.limit, finding.alpha)
    estimate = now.estimate
    if estimate is None:
        return []
    if not estimate.reliable:
        return [Change(of="limit", gives=None, value=None, says=f"no limit is decided: {estimate.why_unreliable}")]
    lower = estimate.value if estimate.lower is None else estimate.lower
    upper = estimate.value if estimate.upper is None else estimate.upper
    ceiling = finding.form.startswith("max")
    passes, fails = (upper, lower) if ceiling else (lower, upper)
    found = []
    for gives, bound, up in (("PASS", passes, ceiling), ("FAIL", fails, not ceiling)):
        limit = written(evidence, bound, up=up, gives="PASS" if gives == "PASS" else "FAIL")
        if limit is None:
            continue
        word = ("smallest" if ceiling else "largest") if gives == "PASS" else ("largest" if ceiling else "smallest")
        said = figures.in_form(limit, finding.form, finding.unit)
        side = "above" if up else "below"
        own = f"{num(bound)} itself and " if estimate.lower is None and gives == "PASS" else ""
        says = f"{word} limit at which it would {gives}: {said} ({finding.form}: {limit:.15g}); {own}any {side} "
        says += "it does" if own else f"{num(bound)} does"
        found.append(Change(of="limit", gives="PASS" if gives == "PASS" else "FAIL", value=limit, says=says))
    return found


def written(evidence: Evidence, bound: float, *, up: bool, gives: Decision) -> float | None:
    """The limit nearest the bound, in few digits, that does give this decision; None where no limit allowed does."""
    if not math.isfinite(bound):
        return None
    finding = evidence.finding
    whole = 1.0 if bound == 0 else 10.0 ** (math.floor(math.log10(abs(bound))) - WRITTEN + 1)
    whole = max(whole, 1e-6)
    place = math.ceil(bound / whole) if up else math.floor(bound / whole)
    for step in (0, 1, 2):
        limit = float(f"{(place + (step if up else -step)) * whole:.12g}")
        if _decides(evidence, limit, finding.alpha) == gives and _allowed(finding, limit):
            return limit
    return None


def _allowed(finding: Finding, limit: float) -> bool:
    """Whether the suite takes such a limit."""
    if finding.form in ("max_drop", "max_relative_drop", "min_recovery", "min_retained"):
        return 0 < limit < 1
    return limit > 0 if finding.form in ("max_increase", "min_ratio", "max_ratio") else True


def _flips(evidence: Evidence) -> list[Change]:
    """Fewer harmful flips (to PASS), or more (until it no longer passes), the other flips as they are."""
    data, finding = evidence.data, evidence.finding
    if isinstance(data, ThreeWays):
        return _retained_flips(evidence, data.three_way)
    if not isinstance(data, Items) or data.metric.kind != "binary" or not data.metric.whole:
        return []
    decide = _recount(data.metric, finding)
    if decide is None:
        return []
    b, c, n = int(data.metric.worse), int(data.metric.better), data.metric.count
    spare = "at the same design effect" if data.metric.clusters is not None else f"with the same {c} the other way"
    return _by_flips(evidence, decide, seen=b, most_there=n - c, n=n, spare=spare)


def _retained_flips(evidence: Evidence, three_way: ThreeWay) -> list[Change]:
    """The same between the fine-tuned model and the candidate. Over clusters it matters where they lie."""
    if three_way.kind != "binary" or three_way.clusters is not None:
        return []
    right = 1.0 if three_way.higher_is_better else 0.0
    had, has = three_way.fine_tuned == right, three_way.candidate == right
    terms = Terms(limit=evidence.finding.limit, alpha=evidence.finding.alpha)
    first = np.argsort(three_way.base == right, kind="stable")  # what the base got wrong is changed first
    lost, kept = first[(had & ~has)[first]], first[(had & has)[first]]

    def decide(count: int) -> Decision:
        changed = three_way.candidate.copy()
        changed[lost[: max(0, lost.size - count)]] = right
        changed[kept[: max(0, count - lost.size)]] = 1 - right
        other = replace(three_way, candidate=changed)
        return evidence.gate.row.judge(other, terms).decision

    spare = "the others as they are, items that the base got wrong first"
    return _by_flips(evidence, decide, seen=lost.size, most_there=int(had.sum()), n=three_way.count, spare=spare)


def _by_flips(
    evidence: Evidence, decide: Callable[[int], Decision], *, seen: int, most_there: int, n: int, spare: str
) -> list[Change]:
    now = evidence.judge(evidence.finding.limit, evidence.finding.alpha).decision
    if now == "PASS":
        most = _last(lambda count: decide(count) == "PASS", seen, most_there)
        if most >= most_there:
            return [Change(of="flips", gives=None, value=None, says="no number of harmful flips would change it")]
        first = decide(most + 1)
        says = (
            f"PASS holds up to {most} right-to-wrong flips, {most - seen} more than seen; {most + 1} give {first}, "
            f"{spare}"
        )
        return [Change(of="flips", gives=first, value=float(most + 1), says=says)]
    found: list[Change] = []
    for gives in ("INCONCLUSIVE", "PASS") if now == "FAIL" else ("PASS",):
        wanted = ("INCONCLUSIVE", "PASS") if gives == "INCONCLUSIVE" else ("PASS",)
        if decide(0) not in wanted:
            says = f"not even 0 right-to-wrong flips of {n} would give {gives}: there are too few items for this limit"
            found.append(Change(of="flips", gives=None, value=None, says=says))
            break
        most = _last(lambda count, wanted=wanted: decide(count) in wanted, 0, seen)  # type: ignore[misc]
        says = f"{most} right-to-wrong flips instead of {seen} ({seen - most} fewer) would give {decide(most)}, {spare}"
        found.append(Change(of="flips", gives=decide(most), value=float(most), says=says))
    return found


def _recount(metric: PairedMetric, finding: Finding) -> Callable[[int], Decision] | None:
    """Number of harmful flips to the decision, by the functions that judge; None for forms without flips."""
    c = int((metric.drops < 0).sum())
    if finding.form == "max_drop":
        drop = drop_of(metric, margin=finding.limit, alpha=finding.alpha)
        if not isinstance(drop, PairedDrop) or drop.clusters == 1 or drop.unseen is not None:
            return None
        return lambda count: recounted(drop, count, c).verdict.value
    if finding.form in ("min_recovery", "max_relative_drop") and metric.clusters is None:
        right = int((metric.baseline == 1).sum())
        limit = finding.limit if finding.form == "min_recovery" else 1 - finding.limit

        def decide(count: int) -> Decision:
            kept = paired_recovery(metric.count, max(0, right - count), count, c, alpha=finding.alpha)
            if kept.lower > limit:
                return "PASS"
            return "FAIL" if kept.upper < limit else "INCONCLUSIVE"

        return decide if right else None
    return None


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The largest count from `low` to `high` that holds; it holds at `low`, and once it does not it never does."""
    if holds(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _items(evidence: Evidence) -> list[Change]:
    """More items at the same rates."""
    finding = evidence.finding
    now: Judgement = evidence.judge(finding.limit, finding.alpha)
    if now.estimate is None or now.estimate.lower is None:
        return []
    if now.decision != "INCONCLUSIVE":
        says = "more items at the same rates would not: the interval narrows around the same value"
        return [Change(of="items", gives=None, value=None, says=says)]
    if now.more_items is None:
        return []
    ceiling = finding.form.startswith("max")
    inside = now.estimate.value < finding.limit if ceiling else now.estimate.value > finding.limit
    gives: Decision = "PASS" if inside else "FAIL"
    says = f"about {now.more_items:,} more at the same rates would give {gives}"
    if not now.estimate.reliable:
        says = f"{now.more_items:,} more are needed before anything is decided"
        return [Change(of="items", gives=None, value=float(now.more_items), says=says)]
    return [Change(of="items", gives=gives, value=float(now.more_items), says=says)]


def _alphas(evidence: Evidence) -> list[Change]:
    """From which alpha on it is decided, or down to which the decision holds."""
    finding = evidence.finding
    now = evidence.judge(finding.limit, finding.alpha)
    if now.estimate is None or now.estimate.lower is None or not now.estimate.reliable:
        return []
    gives = now.decision if now.decision != "INCONCLUSIVE" else _decides(evidence, finding.limit, LARGEST_ALPHA)
    if gives not in ("PASS", "FAIL"):
        return [Change(of="alpha", gives=None, value=None, says="no alpha below 0.5 decides: the value is the limit")]
    low, high = SMALLEST_ALPHA, finding.alpha if now.decision == gives else LARGEST_ALPHA
    if _decides(evidence, finding.limit, low) == gives:
        says = f"{gives} holds at every alpha down to {low:g}"
        return [Change(of="alpha", gives=gives, value=low, says=says)]
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _decides(evidence, finding.limit, middle) == gives else (middle, high)
    if now.decision == gives:
        says = f"{gives} holds down to an alpha of {high:.4g} (it is {finding.alpha:g}); below that it is INCONCLUSIVE"
    else:
        says = f"{gives} from an alpha of {high:.4g} on (it is {finding.alpha:g}): that often it would be wrong"
    return [Change(of="alpha", gives=gives, value=high, says=says)]
