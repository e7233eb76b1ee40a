"""The forms a gate can take, each as: estimate, decision, reason in one sentence."""

from __future__ import annotations

from dataclasses import replace

from harness.gates.judgement import Judgement
from harness.gates.limits import Estimate, at_least, at_most
from harness.gates.nothing_to_lose import held_to_floor
from harness.metrics.row import StoredBytes
from harness.metrics.table import computed_by, lookup
from harness.notation import (
    Notation,
    bounds,
    byte_size,
    confidence,
    count,
    count_is,
    listed,
    more_would_decide,
    number,
    percent,
    points,
    ratio,
)
from harness.records.findings import Decision
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.documents import DocumentPairs
from harness.samples.measures import divergence_level, drop_of, increase_of, likelihood_level
from harness.samples.pairs import PairedMetric
from harness.samples.timed_pairs import SpeedPairs
from harness.stats import (
    GradedDrop,
    PairedDrop,
    Recovery,
    clustered_recovery,
    graded_recovery,
    mean_level,
    more_documents,
    more_items,
    paired_recovery,
    speed_ratio,
)
from harness.suite.gate_model import Gate

BROKEN = ": the limit is broken"
"""How the reason of a FAIL ends."""


def judge_paired(gate: Gate, metric: PairedMetric, *, alpha: float) -> Judgement:
    """acc, exact_match, F1 and every other per-item metric."""
    if not metric.count:
        return Judgement.none("no item could be asked")
    if metric.failed == metric.count:
        return Judgement.invalid(f"none of the {metric.count} answers gave a finite {gate.metric}")
    return held_to_floor(gate, metric, _judge_paired(gate, metric, alpha=alpha))


def _judge_paired(gate: Gate, metric: PairedMetric, *, alpha: float) -> Judgement:
    if gate.form in ("min", "max"):
        level = mean_level(metric.candidate, alpha=alpha, clusters=metric.clusters, shares=metric.kind == "binary")
        p = (level.p_below if gate.form == "min" else level.p_above)(gate.limit)
        estimate = Estimate(value=level.mean, lower=level.lower, upper=level.upper, n=level.n, p=p)
        return _judge_level(gate, estimate, "fraction" if metric.kind == "binary" else "", warning=level.warning)
    if gate.form == "max_drop":
        return _judge_drop(gate, metric, drop_of(metric, margin=gate.limit, alpha=alpha))
    if not metric.higher_is_better:
        return Judgement.invalid(f"{gate.metric} is better when lower, so no share of it can be kept; use max_drop")
    if float(metric.baseline.mean()) <= 0:
        return Judgement.invalid(
            f"the baseline's {gate.metric} is {number(float(metric.baseline.mean()))}, so no share of it can be kept"
        )
    recovery = _recovery(metric, alpha=alpha)
    limit = gate.limit if gate.form == "min_recovery" else 1 - gate.limit
    kept = Estimate(
        value=recovery.ratio, lower=recovery.lower, upper=recovery.upper, n=recovery.n, p=recovery.p_fail(limit)
    )
    decision = at_least(kept, limit)
    reason = (
        f"keeps {percent(kept.value)} of the baseline's {gate.metric} "
        f"({bounds(recovery.lower, recovery.upper, percent)}), limit {percent(limit)}"
        f"{_verdict_words(decision, recovery.warning)}"
    )
    if gate.form == "max_relative_drop":
        kept = replace(kept, value=1 - recovery.ratio, lower=1 - recovery.upper, upper=1 - recovery.lower)
    return Judgement(decision=decision, reason=reason, estimate=kept)


def _recovery(metric: PairedMetric, *, alpha: float) -> Recovery:
    if metric.kind == "binary" and metric.clusters is not None:
        return clustered_recovery(metric.baseline, metric.candidate, metric.clusters, alpha=alpha)
    if metric.kind == "binary":
        return paired_recovery(metric.count, metric.both, metric.worse, metric.better, alpha=alpha)
    return graded_recovery(metric.baseline, metric.candidate, alpha=alpha, clusters=metric.clusters)


def _judge_drop(gate: Gate, metric: PairedMetric, drop: PairedDrop | GradedDrop) -> Judgement:
    decision: Decision = drop.verdict.value
    estimate = Estimate(value=drop.drop, lower=drop.lower, upper=drop.upper, n=metric.count, p=drop.p_fail)
    binary = isinstance(drop, PairedDrop)
    say = points if binary else number
    direction = "drop" if drop.drop >= 0 else "gain"
    reason = f"{direction} {say(abs(drop.drop))}, one-sided {confidence(drop.alpha)} bounds "
    reason += f"{bounds(drop.lower, drop.upper, say)}; limit {say(gate.limit)}{_verdict_words(decision, drop.warning)}"
    more = None
    if decision == "INCONCLUSIVE" and metric.count > 1 and drop.clusters != 1:
        more = more_items(drop)
        reason += f"; {more_would_decide(more, 'item')}"
    if metric.failed:
        reason += f"; {metric.failed} of its answers failed and count as wrong"
    return Judgement(decision=decision, reason=reason, estimate=estimate, more_items=more)


def judge_documents(gate: Gate, documents: DocumentPairs, *, alpha: float) -> Judgement:
    """Perplexity, bits per byte and divergence."""
    if documents.baseline_failed:
        return Judgement.invalid(f"the baseline gave no finite likelihood to {listed(documents.baseline_failed)}")
    if documents.failed:
        return Judgement(decision="FAIL", reason=f"gave no finite likelihood to {listed(documents.failed)}")
    if not documents.count:
        return Judgement.none("no document could be scored")
    metric = lookup(gate.metric)
    divergence = metric is not None and metric.kind == "divergence"
    if divergence and documents.divergence is None:
        return Judgement.none(
            "no divergence was measured (perplexity.divergence is false, by document slice, or an engine that shows no "
            "whole distribution: a server, vLLM)"
        )
    if gate.form == "max_increase":
        level = increase_of(documents, gate.metric, alpha=alpha)
    elif divergence:
        level = divergence_level(documents, gate.metric, alpha=alpha)
    else:
        level = likelihood_level(documents.candidate_nll, documents, gate.metric, alpha=alpha)
    claim = level.p_below if gate.form == "min" else level.p_above
    estimate = Estimate(
        value=level.value,
        lower=level.lower,
        upper=level.upper,
        n=level.n,
        reliable=level.reliable,
        why_unreliable=f"{count_is(level.n, 'document')} too few for an interval (20 at least)",
        p=claim(gate.limit) if claim is not None and level.reliable else None,
    )
    if gate.form != "max_increase":
        return _judge_level(gate, estimate, metric.unit if metric is not None else "")
    decision = at_most(estimate, gate.limit)
    reason = (
        f"{gate.metric.replace('_', ' ')} {'up' if level.value >= 0 else 'down'} {percent(abs(level.value))}, "
        f"one-sided {confidence(alpha)} bounds {bounds(level.lower, level.upper, percent)} "
        f"over {count(level.n, 'document')}; limit {percent(gate.limit)}{_verdict_words(decision)}"
    )
    more = None
    if decision == "INCONCLUSIVE":
        if not estimate.reliable:
            reason += f"; {estimate.why_unreliable}"
            more = 20 - level.n
        else:
            more = more_documents(level.n, value=level.value, upper=level.upper or 0.0, limit=gate.limit)
            reason += f"; {more_would_decide(more, 'document')}"
    return Judgement(decision=decision, reason=reason, estimate=estimate, more_items=more)


def judge_speed(gate: Gate, pairs: SpeedPairs, *, alpha: float) -> Judgement:
    """A speed metric: the paired ratio, or the candidate's own level."""
    on_ratio = gate.form in ("min_ratio", "max_ratio")
    result = speed_ratio(pairs.ratios if on_ratio else pairs.candidate, alpha=alpha)
    estimate = Estimate(
        value=result.ratio,
        lower=result.lower,
        upper=result.upper,
        n=result.pairs,
        reliable=result.reliable,
        why_unreliable=f"{count_is(result.pairs, 'timed pair')} too few (10 at least)",
        p=(result.p_fail_min if gate.form in ("min", "min_ratio") else result.p_fail_max)(gate.limit)
        if result.reliable
        else None,
    )
    if not on_ratio:
        metric = lookup(gate.metric)
        return _judge_level(gate, estimate, metric.unit if metric is not None else "")
    decision = (at_least if gate.form == "min_ratio" else at_most)(estimate, gate.limit)
    timed = count(result.pairs, "pair")
    reason = (
        f"{gate.metric} is {ratio(estimate.value)} the baseline's "
        f"({bounds(result.lower or None, result.upper, ratio)}, {timed}), "
        f"limit {'at least' if gate.form == 'min_ratio' else 'at most'} {ratio(gate.limit)}"
        f"{_verdict_words(decision)}"
    )
    if decision == "INCONCLUSIVE":
        reason += f"; {estimate.why_unreliable}" if not estimate.reliable else "; time more pairs (speed.pairs)"
    return Judgement(decision=decision, reason=reason, estimate=estimate)


def memory_figure(figures: MemoryFigures, metric: str) -> int | None:
    """The stored figure behind a memory metric, in bytes."""
    value: int | None = getattr(figures, computed_by(StoredBytes)[metric].field)
    return value


def judge_memory(gate: Gate, record: SpeedRecord | None) -> Judgement:
    """A memory metric: exact figures of one fresh process each."""
    if record is None:
        return Judgement.none("memory was not measured in this run")
    candidate, baseline = (
        memory_figure(record.memory, gate.metric),
        memory_figure(record.baseline_memory, gate.metric),
    )
    on_ratio = gate.form in ("min_ratio", "max_ratio")
    if (candidate is None or (on_ratio and not baseline)) and not record.workloads:
        return Judgement.none(f"{gate.metric} was not measured in this run")
    if candidate is None or (on_ratio and not baseline):
        return Judgement.none(f"{gate.metric} could not be had on this machine")
    if not on_ratio:
        return _judge_level(gate, Estimate(value=float(candidate), lower=None, upper=None, n=1), "B")
    estimate = Estimate(value=candidate / float(baseline or 1), lower=None, upper=None, n=1)
    decision = (at_least if gate.form == "min_ratio" else at_most)(estimate, gate.limit)
    reason = (
        f"{gate.metric} is {byte_size(candidate)}, {ratio(estimate.value)} the baseline's "
        f"{byte_size(float(baseline or 1))}; limit {'at least' if gate.form == 'min_ratio' else 'at most'} "
        f"{ratio(gate.limit)}{_verdict_words(decision)}"
    )
    return Judgement(decision=decision, reason=reason, estimate=estimate)


def _judge_level(gate: Gate, estimate: Estimate, unit: str, *, warning: str | None = None) -> Judgement:
    """`min` and `max` on a value of its own."""
    decision = (at_least if gate.form == "min" else at_most)(estimate, gate.limit)
    reason = f"{gate.metric} is {Notation.LEVEL.amount(estimate.value, unit)}"
    if estimate.lower is not None and estimate.upper is not None:
        reason += f" ({bounds(estimate.lower, estimate.upper, lambda value: Notation.LEVEL.amount(value, unit))})"
    reason += f", limit {'at least' if gate.form == 'min' else 'at most'} {Notation.LEVEL.amount(gate.limit, unit)}"
    reason += _verdict_words(decision, warning)
    if decision == "INCONCLUSIVE" and not estimate.reliable:
        reason += f"; {estimate.why_unreliable}"
    return Judgement(decision=decision, reason=reason, estimate=estimate)


def _verdict_words(decision: Decision, warning: str | None = None) -> str:
    words = {
        "PASS": "",
        "FAIL": BROKEN,
        "INCONCLUSIVE": ": the interval reaches across the limit",
        "INVALID": "",
    }[decision]
    return words if warning is None else f"{words}; {warning}"
