"""Which numbers a gate looks at, and what it says of them: the one dispatch, for judging a run and for explaining it.

Takes pairs that are made already; reads no store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from harness.comparison.candidates import CandidateComparison
from harness.comparison.sequential_test import Part, can_stop
from harness.comparison.task_sides import Paired
from harness.derivations.shapes import Derivation
from harness.forms import Form, fitting
from harness.forms.base import BASELINE, Judgement, Reason, Recount, Terms
from harness.forms.sequential import derive_stopped, judge_stopped, stopped_at, undecided_at
from harness.gates.base_model import unsound
from harness.gates.nothing_to_lose import held_to_floor, whole_held_to_floor
from harness.metrics.row import Kind, Likelihood
from harness.metrics.table import lookup
from harness.notation import listed
from harness.records.columns import Indices
from harness.records.run_manifest import EarlyStop
from harness.records.timings import SpeedRecord
from harness.samples.base_pairs import ThreeWay
from harness.samples.documents import DocumentPairs
from harness.samples.measures import only_documents
from harness.samples.pairs import PairedMetric
from harness.samples.sample import DocumentSample, Sample, StoppedPart, memory_pair
from harness.samples.strata import mean_over_tasks, slice_against_rest
from harness.samples.whole_pairs import WholePairs
from harness.suite.gate_model import Gate

NO_ITEM = "no item could be asked"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One sample that a gate looks at: of a whole task, a slice or a workload."""

    sample: Sample | Judgement
    """Or what is said without one."""
    slice: str | None = None
    workload: str | None = None
    pairs: tuple[PairedMetric, ...] = ()
    """Beside each of which a limit on a loss shows that there is something to lose."""
    against: str = BASELINE
    """What it is measured from, in words."""

    def judge(self, form: Form, *, limit: float, alpha: float) -> Judgement:
        """What the form says of the sample under any limit and alpha."""
        terms = Terms(limit=limit, alpha=alpha, against=self.against)
        if isinstance(self.sample, Judgement):
            judgement = self.sample
        elif isinstance(self.sample, StoppedPart):
            return judge_stopped(self.sample, terms)
        else:
            judgement = form.judge(self.sample, terms)
        if isinstance(self.sample, WholePairs):
            judgement = whole_held_to_floor(form, self.sample, judgement, terms)
        for pairs in self.pairs:
            of = f"{pairs.task}: " if len(self.pairs) > 1 else ""
            judgement = held_to_floor(form, pairs, judgement, terms, of=of)
        return judgement

    def derive(self, form: Form, *, limit: float, alpha: float) -> Derivation:
        """The formulas behind the estimate; of a stopped task's pairs in the order asked."""
        terms = Terms(limit=limit, alpha=alpha, against=self.against)
        if isinstance(self.sample, Judgement):
            return Derivation()
        return (
            derive_stopped(self.sample, terms)
            if isinstance(self.sample, StoppedPart)
            else form.derive(self.sample, terms)
        )

    def recount(self, form: Form, *, limit: float, alpha: float) -> Recount | None:
        """What the form would say of other flips; None where it does not go by flips."""
        if form.recount is None or isinstance(self.sample, Judgement | StoppedPart):
            return None
        return form.recount(self.sample, Terms(limit=limit, alpha=alpha, against=self.against))


def select(
    gate: Gate, paired: Paired, candidate: CandidateComparison | None, *, against: str = BASELINE, chances: int = 1
) -> tuple[Evidence, ...]:
    """What the gate looks at, by slice or workload: never empty.

    `candidate`: None for the baseline's own level. `against`: what `paired` is measured from, in words. `chances`: how
    many gates could have stopped the variant early.
    """
    metric = lookup(gate.metric)
    kind: Kind = metric.kind if metric is not None else "graded"
    if kind in ("speed", "memory"):
        found = _measured(gate, candidate, kind)
    elif gate.row.looks_at == "base":
        found = _beside_base(gate, paired, candidate)
    elif gate.weights:
        found = (_mean_over_tasks(gate, paired, candidate),)
    else:
        found = _of_task(gate, paired, candidate, kind, against, chances)
    return tuple(replace(each, against=against) for each in found)


def _measured(gate: Gate, candidate: CandidateComparison | None, kind: Kind) -> tuple[Evidence, ...]:
    """Speed, by workload, or memory."""
    if candidate is not None and candidate.run.stopped is not None:
        return (Evidence(sample=not_judged(candidate.run.stopped)),)
    record = candidate.speed if candidate is not None else None
    if kind == "memory" and record is not None:
        return (Evidence(sample=_memory(gate, record)),)
    pairs = candidate.speed_pairs if candidate is not None and kind == "speed" else ()
    found = tuple(
        Evidence(sample=each, workload=each.workload)
        for each in pairs
        if each.metric == gate.metric and gate.workload in (None, each.workload)
    )
    return found or (Evidence(sample=Judgement.none(f"{gate.metric} was not measured{_why_not(candidate)}")),)


def _memory(gate: Gate, record: SpeedRecord) -> Sample | Judgement:
    pair = memory_pair(record, gate.metric)
    if pair.candidate is not None and (pair.baseline or gate.row.looks_at == "own"):
        return pair
    where = "is not available on this machine" if record.workloads else "was not measured in this run"
    return Judgement.none(f"{gate.metric} {where}")


def _why_not(candidate: CandidateComparison | None) -> str:
    facts = candidate.run.facts if candidate is not None else None
    return f": {facts.dequantised}" if facts is not None and facts.dequantised else " in this run"


def _beside_base(gate: Gate, paired: Paired, candidate: CandidateComparison | None) -> tuple[Evidence, ...]:
    """The model before fine-tuning beside the pairs."""
    task, key = gate.task or "", (gate.task or "", gate.metric)
    three_way, values = paired.three_ways.get(key), paired.metrics.get(key)
    problem = None
    if candidate is not None and candidate.run.stopped is not None and task not in candidate.run.evaluations:
        problem = not_judged(candidate.run.stopped)
    elif task in paired.broken:
        problem = Judgement.invalid(paired.broken[task])
    elif three_way is None and task in paired.base_unavailable:
        problem = Judgement.invalid(paired.base_unavailable[task])
    if problem is not None or three_way is None:
        unmeasured = Judgement.none(f"{task} was not measured on the base model")
        problem = problem or _uncounted(gate, paired.documents.get(task)) or unmeasured
        return (Evidence(sample=problem, slice=_named(gate)),)

    def evidence(name: str | None) -> Evidence:
        part, beside = (three_way, values) if name is None else (three_way.only(name), values and values.only(name))
        return Evidence(sample=_three_way(part) or part, pairs=() if beside is None else (beside,))

    return _by_slice(gate, three_way.slices, evidence)


def _three_way(sample: ThreeWay) -> Judgement | None:
    """Why nothing can be said of these answers of three models; None where something can."""
    if (why := unsound(sample)) is not None:
        return Judgement.invalid(why)
    if sample.candidate_failed:
        first = ", ".join(sample.candidate_failed[:3])
        return Judgement.fail(f"gave no finite likelihood to {len(sample.candidate_failed)} documents (first {first})")
    return None if sample.count else Judgement.none(NO_ITEM)


def _of_task(
    gate: Gate, paired: Paired, candidate: CandidateComparison | None, kind: Kind, against: str, chances: int
) -> tuple[Evidence, ...]:
    """Items or documents of a task."""
    task, stop = gate.task or "", candidate.run.stopped if candidate is not None else None
    values, documents = paired.metrics.get((task, gate.metric)), paired.documents.get(task)
    if task in paired.broken:
        return (Evidence(sample=Judgement.invalid(paired.broken[task])),)
    if task in paired.parts:
        return (Evidence(sample=_stopped(gate, values, paired.parts[task], chances), slice=_named(gate)),)
    if stop is not None and task not in {*paired.documents, *(name for name, _ in paired.metrics)}:
        return (Evidence(sample=not_judged(stop), slice=_named(gate)),)
    if kind in ("perplexity", "divergence") and documents is not None:
        whole = documents
        return _by_slice(
            gate,
            whole.slices,
            lambda name: _documents(gate, whole if name is None else only_documents(whole, name), kind, against),
        )
    if values is None and (whole_of := paired.wholes.get((task, gate.metric))) is not None:
        sample = whole_of
        return _by_slice(
            gate, sample.slices, lambda name: _whole(gate, sample if name is None else sample.only(name), against)
        )
    if values is not None and kind not in ("perplexity", "divergence"):
        pairs = values
        if gate.row.looks_at == "rest":
            return _by_slice(gate, pairs.slices, lambda name: _against_rest(gate, pairs, name or ""))
        return _by_slice(gate, pairs.slices, lambda name: _items(gate, pairs if name is None else pairs.only(name)))
    if kind == "corpus" and any(other == task for other, _ in paired.metrics):
        says = f"{gate.metric} was not measured in this run, or {task} has no options that are the same for every item"
        return (Evidence(sample=Judgement.invalid(says)),)
    known = sorted(name for other, name in paired.metrics if other == task)
    if known and kind not in ("perplexity", "divergence"):
        return (Evidence(sample=Judgement.invalid(f"{task} has no metric {gate.metric!r}; it has {', '.join(known)}")),)
    return (Evidence(sample=Judgement.none(f"{task} was not measured in this run")),)


def _stopped(gate: Gate, values: PairedMetric | None, part: Part, chances: int) -> Sample | Judgement:
    if values is None or not can_stop(gate):
        return Judgement.none(undecided_at(part.stop))
    return StoppedPart(stop=part.stop, largest=part.largest, pairs=values, chances=chances)


def _items(gate: Gate, pairs: PairedMetric) -> Evidence:
    """acc, exact_match, F1 and every other per-item metric."""
    if not pairs.count:
        return Evidence(sample=Judgement.none(NO_ITEM))
    if pairs.failed == pairs.count:
        return Evidence(sample=Judgement.invalid(f"none of the {pairs.count} answers gave a finite {gate.metric}"))
    if pairs.kind not in gate.row.kinds:
        fits = ", ".join(fitting(pairs.kind))
        return Evidence(sample=Judgement.invalid(f"{gate.form} does not fit {gate.metric}; use one of {fits}"))
    return Evidence(sample=pairs, pairs=(pairs,))


def _whole(gate: Gate, sample: WholePairs, against: str) -> Evidence:
    """F1 over classes, MCC, corpus BLEU."""
    if not sample.count:
        return Evidence(sample=Judgement.none(NO_ITEM))
    if sample.baseline_failed:
        says = f"{against} gave no answer that {gate.metric} can count to {listed(sample.baseline_failed)}"
        return Evidence(sample=Judgement.invalid(says))
    if sample.kind not in gate.row.kinds:
        fits = ", ".join(fitting(sample.kind))
        return Evidence(sample=Judgement.invalid(f"{gate.form} does not fit {gate.metric}; use one of {fits}"))
    return Evidence(sample=sample)


def _against_rest(gate: Gate, pairs: PairedMetric, name: str) -> Evidence:
    """One slice against all other items of its task."""
    sample = slice_against_rest(pairs, name)
    inside, rest = (_items(gate, part) for part in sample.parts)
    if isinstance(inside.sample, Judgement):
        return inside
    if isinstance(rest.sample, Judgement):
        empty = not sample.parts[1].count
        return Evidence(sample=Judgement.none(f"every item is in {name}: there is no rest")) if empty else rest
    return Evidence(sample=sample, pairs=inside.pairs)


def _mean_over_tasks(gate: Gate, paired: Paired, candidate: CandidateComparison | None) -> Evidence:
    """One metric over several tasks: all of them or nothing."""
    stop = candidate.run.stopped if candidate is not None else None
    for task in gate.weights:
        if task in paired.broken:
            return Evidence(sample=Judgement.invalid(paired.broken[task]))
    whole = all((task, gate.metric) in paired.metrics and task not in paired.parts for task in gate.weights)
    if stop is not None and not whole:
        return Evidence(sample=not_judged(stop))
    parts = []
    for task in gate.weights:
        values = paired.metrics.get((task, gate.metric))
        if values is None:
            known = listed(sorted(name for other, name in paired.metrics if other == task))
            has = Judgement.invalid(f"{task} has no metric {gate.metric!r}; it has {known}") if known else None
            return Evidence(sample=has or Judgement.none(f"{task} was not measured in this run"))
        found = _items(gate, values).sample
        if isinstance(found, Judgement):
            return Evidence(sample=replace(found, reason=Reason(measured=f"{task}: {found.reason}")))
        parts.append(values)
    return Evidence(sample=mean_over_tasks(parts, tuple(gate.weights.values()), paired.asked), pairs=tuple(parts))


def _documents(gate: Gate, documents: DocumentPairs, kind: Kind, against: str) -> Evidence:
    """Perplexities, bits per byte and divergence."""
    found: Sample | Judgement = DocumentSample(metric=gate.metric, kind=kind, documents=documents)
    if documents.baseline_failed:
        found = Judgement.invalid(f"{against} gave no finite likelihood to {listed(documents.baseline_failed)}")
    elif documents.failed:
        found = Judgement.fail(f"gave no finite likelihood to {listed(documents.failed)}")
    elif not documents.count:
        found = Judgement.none("no document could be scored")
    elif (unknown := _uncounted(gate, documents)) is not None:
        found = unknown
    elif kind == "divergence" and documents.divergence is None:
        found = Judgement.none(
            "no divergence was measured (perplexity.divergence is false, by document slice, or an engine that shows no "
            "whole distribution: a server, vLLM)"
        )
    elif kind == "divergence" and documents.divergence is not None and not documents.divergence.has(gate.metric):
        found = Judgement.none(
            f"{gate.metric} was not measured: these evaluations were stored by a version that did not keep it; run the "
            "suite again, which computes them again as long as a gate asks for it"
        )
    return Evidence(sample=found)


def _uncounted(gate: Gate, documents: DocumentPairs | None) -> Judgement | None:
    """Why a metric of likelihoods has no value here; None where it has one, and for another metric."""
    row = lookup(gate.metric)
    if documents is None or row is None or not isinstance(row.computed, Likelihood) or row in documents.likelihoods:
        return None
    return Judgement.none(
        f"{gate.metric} needs the number of {row.computed.per}s of every document, which this run did not store. If an "
        "earlier version made the run, run the suite again: it counts them and takes every stored answer as it is"
    )


def _named(gate: Gate) -> str | None:
    """The one slice that the gate looks at."""
    return gate.slice if gate.slice != "each" else None


def _by_slice(
    gate: Gate, slices: Mapping[str, Indices], evidence: Callable[[str | None], Evidence]
) -> tuple[Evidence, ...]:
    """The whole (None), one slice, or each slice; what is said where there is no such slice."""
    parts = gate.parts(slices)
    if not parts:
        known = listed(tuple(slices)) or "no slices"
        missing = Judgement.invalid(f"no item is in slice {gate.slice!r}; the task has {known}")
        return (Evidence(sample=missing, slice=gate.slice),)
    return tuple(replace(evidence(name), slice=name) for name in parts)


def not_judged(stop: EarlyStop) -> Judgement:
    """A gate on what the variant was not asked or timed for."""
    return Judgement.none(f"not judged: {stopped_at(stop)}")
