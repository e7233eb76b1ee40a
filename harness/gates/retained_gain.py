"""`min_retained`: how much of what fine-tuning gained over the model before it is kept, and when that means nothing."""

from __future__ import annotations

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.task_sides import Paired
from harness.gates.forms import BROKEN
from harness.gates.judgement import Judgement
from harness.gates.limits import Estimate
from harness.gates.quantized_share import same_weights
from harness.metrics.table import likelihood, lookup
from harness.notation import count, count_is, level, more_would_decide, number, percent, points
from harness.records.findings import Decision
from harness.records.measures import Retained
from harness.records.verdict import BaseModelFacts
from harness.samples.base_pairs import ThreeWay, retained_measure, retained_of, undefined
from harness.stats import RetainedShare, more_documents
from harness.suite.gate_model import Gate
from harness.suite.variant_model import Base


def base_trouble(comparison: Comparison) -> Judgement | None:
    """Why nothing can be said about what is retained on any task; None where nothing stands in the way.

    INCONCLUSIVE where the base was not had, because a later run may have it; INVALID where it is no model from
    which this fine-tuning can be measured.
    """
    base = comparison.run.base
    if base is None:
        return Judgement.none("this run has no base model; run the suite again")
    if base.failure is not None:
        return Judgement.none(f"the base model could not be run: {base.failure}")
    if (differs := base.token_disagreement) is not None:
        return Judgement.invalid(
            f"the base model's tokenizer disagrees with the baseline's first at item {differs.item!r} of "
            f"{differs.task}: {differs.text[:80]!r} is {list(differs.baseline_ids[:8])} for the baseline and "
            f"{list(differs.variant_ids[:8])} for the base, so the two cannot be compared item by item"
        )
    if base.facts is not None and base.facts.non_finite:
        return Judgement.invalid(f"the base model's weights hold NaN or infinity: {', '.join(base.facts.non_finite)}")
    fine_tuned = comparison.run.variants[comparison.run.baseline].facts
    if base.facts is not None and fine_tuned is not None and same_weights(base.facts, fine_tuned):
        return Judgement.invalid(
            "the base model's weights equal the fine-tuned model's: nothing was fine-tuned, or `base` names the "
            "wrong model"
        )
    return None


def base_facts(comparison: Comparison, named: Base | None) -> BaseModelFacts | None:
    """What the verdict says of the base; None where neither suite nor run has one."""
    base = comparison.run.base
    if base is None and named is None:
        return None
    trouble = base_trouble(comparison)
    return BaseModelFacts(
        model="" if named is None else "the adapter's base" if named.path == "auto" else named.path,
        facts=base.facts if base is not None else None,
        note=trouble.reason if trouble is not None else None,
        log=base.log if base is not None else None,
    )


def judge_retained(gate: Gate, paired: Paired, three_way: ThreeWay | None, *, alpha: float) -> Judgement:
    """The gate on one triple, or on one slice of it."""
    if three_way is None:
        if (why := paired.base_unavailable.get(gate.task or "")) is not None:
            return Judgement.invalid(why)
        return Judgement.none(f"{gate.task} was not measured on the base model")
    return judge_three_way(gate, three_way, alpha=alpha)


def judge_three_way(gate: Gate, three_way: ThreeWay, *, alpha: float) -> Judgement:
    """The gate on three models' answers to the same items."""
    if (why := unsound(three_way)) is not None:
        return Judgement.invalid(why)
    if three_way.candidate_failed:
        first = ", ".join(three_way.candidate_failed[:3])
        says = f"gave no finite likelihood to {len(three_way.candidate_failed)} documents (first {first})"
        return Judgement(decision="FAIL", reason=says)
    if not three_way.count:
        return Judgement.none("no item could be asked")
    found = retained_of(three_way, alpha=alpha)
    low, high = _amount(three_way, found.gain_lower), _amount(three_way, found.gain_upper)
    gain = f"{_amount(three_way, found.gain)} ({low.partition(' ')[0]} to {high})"
    if (why := undefined(found)) is not None:
        told = f"{why}: it gained {gain} over {_units(three_way, found)}"
        return Judgement.none(told) if found.state == "not shown" else Judgement.invalid(told)
    assert found.share is not None
    assert found.lower is not None
    assert found.upper is not None
    decision: Decision = found.decide(gate.limit).value
    estimate = Estimate(
        value=found.share, lower=found.lower, upper=found.upper, n=found.n, reliable=found.reliable,
        p=found.p_fail(gate.limit) if found.reliable else None,
    )  # fmt: skip
    reason = (
        f"keeps {percent(found.share)} ({percent(found.lower)} to {percent(found.upper)}) of what fine-tuning gained "
        f"in {gate.metric}, {gain}; limit {percent(gate.limit)}"
    )
    if decision == "FAIL":
        reason += BROKEN
    more = None
    if decision == "INCONCLUSIVE" and not found.reliable:
        more = 20 - found.n
        reason += f"; {count_is(found.n, 'document')} too few for an interval (20 at least)"
    elif decision == "INCONCLUSIVE":
        more = _more(found, gate.limit)
        reason += f": the interval reaches across the limit; {more_would_decide(more, _unit(three_way))}"
    if found.warning is not None:
        reason += f"; {found.warning}"
    return Judgement(decision=decision, reason=reason, estimate=estimate, more_items=more)


def unsound(three_way: ThreeWay) -> str | None:
    """Items on which base or baseline failed, so that a share of the rest misleads."""
    if not three_way.failed:
        return None
    shown = ", ".join(three_way.failed[:3])
    return (
        f"the base model or the baseline gave no finite answer to {len(three_way.failed)} of "
        f"{len(three_way.failed) + len(three_way.candidate_failed) + three_way.count} items (first {shown})"
    )


def retained_measures(comparison: Comparison, candidate: CandidateComparison, *, alpha: float) -> tuple[Retained, ...]:
    """What the candidate keeps on every task and metric, gated or not."""
    trouble = base_trouble(comparison)
    rows = []
    for (_, name), three_way in candidate.paired.three_ways.items():
        known = lookup(name)
        note = trouble.reason if trouble is not None else unsound(three_way)
        if note is None and three_way.candidate_failed:
            note = f"no finite likelihood for {len(three_way.candidate_failed)} documents"
        rows.append(retained_measure(three_way, unit=known.unit if known is not None else "", alpha=alpha, note=note))
    return tuple(rows)


def _amount(three_way: ThreeWay, value: float) -> str:
    if three_way.weights is not None:
        return level(value, likelihood(three_way.metric).gain_unit)
    return points(value) if three_way.kind == "binary" else number(value)


def _unit(three_way: ThreeWay) -> str:
    return "document" if three_way.weights is not None else "item"


def _units(three_way: ThreeWay, found: RetainedShare) -> str:
    return count(found.n, _unit(three_way))


def _more(found: RetainedShare, limit: float) -> int | None:
    """How many more would decide: the half-width on the limit's side falls with the root of their number."""
    assert found.share is not None
    assert found.lower is not None
    assert found.upper is not None
    bound = found.lower if found.share > limit else found.upper
    return more_documents(found.n, value=0.0, upper=abs(found.share - bound), limit=abs(found.share - limit))
