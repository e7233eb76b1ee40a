"""The items, documents and timed pairs behind a finding, and where in the store they are."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import singledispatch

import numpy as np

from harness.comparison.flips import answer_text, cut, find_flips, margins
from harness.derivations.betting import played
from harness.explanations.evidence import Basis
from harness.explanations.shapes import FlipBeside, Place, Table
from harness.forms.sequential import units_of
from harness.forms.weighted import weighted_of
from harness.metrics.row import DocumentFigure, FromAnswers, Likelihood, StoredBytes, TimedFigure
from harness.metrics.table import METRICS, is_derived, lookup
from harness.records.columns import Floats
from harness.records.evaluation_manifest import TokenText
from harness.records.measures import Flip
from harness.records.run_manifest import RunManifest, VariantRun
from harness.reports.sections.most_divergent import in_context
from harness.samples.base_pairs import ThreeWay
from harness.samples.divergent_tokens import with_texts
from harness.samples.pairs import PairedMetric
from harness.samples.sample import DocumentSample, StoppedPart
from harness.samples.strata import StrataPairs
from harness.samples.timed_pairs import SpeedPairs
from harness.samples.whole_pairs import Classes, WholePairs
from harness.stats.betting import BETS

Rows = tuple[tuple[str | int | float | None, ...], ...]


def flips_of(basis: Basis, *, most: int) -> tuple[tuple[Flip, ...], int | None]:
    """The flips of the finding's own metric and slice, `most` of them, and how many there are."""
    sample, task = basis.sample, basis.task
    if task is None or task.sides[0] is task.sides[1]:
        return (), None
    pairs = sample.pairs if isinstance(sample, StoppedPart) else sample
    if isinstance(sample, StrataPairs):
        pairs = sample.parts[0]  # the slice, not the rest
    if not isinstance(pairs, PairedMetric | ThreeWay):
        return (), None
    if not (pairs.flips if isinstance(pairs, PairedMetric) else pairs.kind == "binary"):
        return (), None
    flips, total = find_flips(
        pairs.task,
        pairs.metric,
        task.pairs,
        task.read,
        within=basis.within,
        most=most,
        values=_whole(pairs, basis) if isinstance(pairs, PairedMetric) and is_derived(pairs.metric) else None,
    )
    return _beside_base(basis, flips) if basis.base is not None else flips, total


def _whole(pairs: PairedMetric, basis: Basis) -> tuple[Floats, Floats]:
    """Both sides' values with a place for every pair of the task; NaN for those outside of the sample."""
    assert basis.task is not None
    before, after = (np.full(basis.task.pairs.places.size, np.nan) for _ in range(2))
    before[basis.within], after[basis.within] = pairs.baseline, pairs.candidate
    return before, after


def _beside_base(basis: Basis, flips: tuple[Flip, ...]) -> tuple[Flip, ...]:
    """Each with what the model before fine-tuning answered."""
    task, base = basis.task, basis.base
    assert task is not None
    assert base is not None
    places = {task.pairs.name(place): place for place in basis.within.tolist()} if flips else {}
    wanted = np.asarray([places[flip.item] for flip in flips], dtype=np.int64)
    margin = margins(task.pairs.plan, task.pairs.places[wanted], base.answers.taken(wanted))
    values = base.answers.metrics[basis.finding.metric][wanted]
    return tuple(
        FlipBeside(
            **flip.model_dump(),
            fine_tuned=task.sides[0].variant,
            base_right=bool(values[number] == 1),
            base_answer=cut(answer_text(planned, record)),
            base_margin=None if np.isnan(margin[number]) else float(margin[number]),
        )
        for number, (flip, (planned, record)) in enumerate(zip(flips, base.read(wanted), strict=True))
    )


def tables_of(basis: Basis, *, most: int) -> tuple[Table, ...]:
    """The rows behind the numbers, the first `most` of them."""
    return _tables(basis.asked.sample, basis, most)


@singledispatch
def _tables(sample: object, basis: Basis, most: int) -> tuple[Table, ...]:  # noqa: ARG001 -- other samples use them
    """By the kind of sample; of memory there are none."""
    return ()


@_tables.register
def _timed_pairs(sample: SpeedPairs, basis: Basis, most: int) -> tuple[Table, ...]:  # noqa: ARG001 -- all are shown
    """Each timed pair with its ratio."""
    record = basis.record
    assert record is not None
    orders = next(tuple(pair.order for pair in each.pairs) for each in record.workloads if each.name == sample.workload)
    rows = tuple(
        (number, order, float(left), float(right), float(right / left), math.log(right / left))
        for number, (order, left, right) in enumerate(
            zip(orders, sample.baseline, sample.candidate, strict=True), start=1
        )
    )
    columns = ("pair", "order", record.baseline, record.variant, "ratio", "ln ratio")
    title = f"Timed pairs of {sample.workload}, {sample.metric} (A is the baseline)"
    return (Table(title=title, columns=columns, rows=rows, total=len(rows)),)


@_tables.register
def _three_models(sample: ThreeWay, basis: Basis, most: int) -> tuple[Table, ...]:
    """The items or documents on which most was lost or won against the fine-tuned model, and what kept - r gain is
    there at the limit r."""
    task, base = basis.task, basis.base
    if task is None or base is None or sample.kind == "binary":
        return ()
    names = (base.run.variant, task.sides[0].variant, task.sides[1].variant)
    low, middle, high = sample.base, sample.fine_tuned, sample.candidate
    worth, worse = (high - low) - basis.finding.limit * (middle - low), middle - high
    if not sample.higher_is_better:
        worth, worse = -worth, -worse
    text = sample.weights is not None
    columns = ("document" if text else "item", *((f"NLL {name}" if text else name) for name in names))
    return _most_changed(
        basis,
        "Documents that changed most (nats)" if text else "Items that changed most",
        (*columns, f"lost against {names[1]}", "kept − r · gain at the limit"),
        (low, middle, high, worse, worth),
        worse,
        most,
    )


@_tables.register
def _graded_items(sample: PairedMetric, basis: Basis, most: int) -> tuple[Table, ...]:
    """Graded metrics: the items whose value changed most."""
    task = basis.task
    if task is None or sample.kind != "graded" or task.sides[0] is task.sides[1]:
        return ()
    columns = ("item", *(side.variant for side in task.sides), "drop")
    values = sample.baseline, sample.candidate, sample.drops
    return _most_changed(basis, "Items that changed most", columns, values, sample.drops, most)


def _most_changed(
    basis: Basis, title: str, columns: tuple[str, ...], values: tuple[Floats, ...], changes: Floats, most: int
) -> tuple[Table, ...]:
    order = np.argsort(-np.abs(changes), kind="stable")
    changed = order[changes[order] != 0]
    rows: Rows = tuple(
        (basis.name(place), *(float(each[place]) for each in values)) for place in changed[:most].tolist()
    )
    return (Table(title=title, columns=columns, rows=rows, total=changed.size),)


@_tables.register
def _documents(sample: DocumentSample, basis: Basis, most: int) -> tuple[Table, ...]:
    """The documents that contribute most: to the rise of the NLL, or to a divergence."""
    documents, task = sample.documents, basis.task
    assert task is not None
    nll, tokens = (documents.baseline_nll, documents.candidate_nll), documents.tokens
    shown: tuple[Floats, ...]
    columns: tuple[str, ...]
    if sample.kind == "divergence" and documents.divergence is not None:
        amount = documents.divergence.sums["kl"]
        shown = (amount,)
        total, columns = float(amount.sum()), ("document", "sum of KL, nats", "tokens", "share of all")
        order, title = np.argsort(-amount, kind="stable"), "Documents with the most divergence"
    else:
        amount = nll[1] - nll[0]
        shown = (*nll, amount)
        total = float(amount.sum())
        order = np.argsort(-amount if total >= 0 else amount, kind="stable")
        columns = ("document", *(f"NLL {side.variant}" for side in task.sides), "difference", "tokens", "share of all")
        title = f"Documents that add most to the {'rise' if total >= 0 else 'fall'} (nats)"
    rows = tuple(
        (basis.name(place), *(float(each[place]) for each in shown), int(tokens[place]),
         float(amount[place]) / total if total else None)
        for place in order[:most].tolist()
    )  # fmt: skip
    table = Table(title=title, columns=columns, rows=rows, total=documents.count)
    return (table, *_tokens(sample, task.token_texts, most))


def _tokens(sample: DocumentSample, texts: Sequence[TokenText], most: int) -> Iterator[Table]:
    """The tokens with the highest KL, in their context."""
    found = sample.documents.divergent
    if sample.kind != "divergence" or found is None:
        return
    rows = tuple(
        (in_context(token) or None, token.kl, token.share, token.delta_p, token.baseline_top, token.top, token.item,
         token.place + 1)
        for token in with_texts(found, texts).most[:most]
    )  # fmt: skip
    columns = ("context ⟦token⟧", "KL, nats", "share of all", "Δp", "baseline's first", "candidate's first", "document",
               "token")  # fmt: skip
    yield Table(title="Most divergent tokens", columns=columns, rows=rows, total=found.tokens)


@_tables.register
def _strata(sample: StrataPairs, basis: Basis, most: int) -> tuple[Table, ...]:  # noqa: ARG001 -- all are shown
    """Each task, or the slice and the rest."""
    found = weighted_of(sample, basis.finding.alpha)
    rows: Rows = tuple(
        (name, part.count, float(part.baseline.mean()), float(part.candidate.mean()), each.drop, each.lower, each.upper,
         weight)
        for name, part, each, weight in zip(sample.names, sample.parts, found.strata, sample.weights, strict=True)
    )  # fmt: skip
    columns = ("of", "items", "baseline", "candidate", "drop", "lower", "upper", "weight")
    return (Table(title="What the value is put together from", columns=columns, rows=rows, total=len(rows)),)


@_tables.register
def _stakes(sample: StoppedPart, basis: Basis, most: int) -> tuple[Table, ...]:
    """Every stake, and the last items (clusters) in the order asked with the wealth after each."""
    task, limit = basis.task, basis.finding.limit
    units = units_of(sample.pairs, largest=sample.largest)
    assert task is not None
    assert units is not None  # it FAILed, so there was something to bet on
    test, path = played(units.values, units.weights, limit=limit, alpha=basis.finding.alpha / sample.chances)
    stakes: Rows = tuple(
        (number, float(stake), 1 + stake * (1 - limit), 1 - stake * limit, 1 - stake * (1 + limit), float(wealth))
        for number, (stake, wealth) in enumerate(zip(test.stakes.tolist(), test.wealths, strict=True), start=1)
    )
    first, clusters, word = np.arange(sample.pairs.count), sample.pairs.clusters, "item"
    if clusters is not None:
        first, word = np.sort(np.unique(clusters, return_index=True)[1]), "cluster"
    weights = tuple(() if clusters is None else (float(each),) for each in units.weights)
    rows = tuple(
        (place + 1, basis.name(int(first[place])), float(units.values[place]), *weights[place], float(path[place]))
        for place in range(path.size - 1, path.size - 1 - min(most, path.size), -1)
    )
    columns = ("place", "item", "D", "wealth") if clusters is None else ("place", "first item", "D", "weight", "wealth")
    return (
        Table(
            title="Stakes: what a drop D of 1, 0 and −1 multiplies the wealth by",
            columns=("stake", "λ", "D = 1", "D = 0", "D = −1", "wealth"),
            rows=stakes,
            total=BETS,
        ),
        Table(title=f"The last {word}s asked, newest first", columns=columns, rows=rows, total=path.size),
    )


def places_of(basis: Basis, run: RunManifest) -> tuple[Place, ...]:
    """Files relative to the results folder, and the field of each record in them."""
    finding, metric, sample = basis.finding, lookup(basis.finding.metric), basis.sample
    where = "baseline_findings[]" if finding.variant == run.baseline else "candidates[].findings[]"
    verdict = Place(what="verdict", path=f"{run.suite}/runs/{run.run}/verdict.json", field=where)
    if basis.parts:
        field = f"metrics.{finding.metric}.value"
        asked = [(task, side) for task, each in basis.parts.items() for side in each.sides]
        return (
            *(replace(_evaluation(side, task, field), what=f"{side.variant}, {task}") for task, side in asked),
            verdict,
        )
    if basis.task is None or finding.task is None:
        return _measured(basis, run), verdict
    computed = None if metric is None else metric.computed
    by_document = isinstance(computed, DocumentFigure)
    field = f"metrics.{finding.metric}.value (options[].log_likelihood for margins, answer.text)"
    if isinstance(sample, WholePairs):
        field = "options[].log_likelihood" if isinstance(sample.items, Classes) else f"parts.{finding.metric}"
    if isinstance(computed, DocumentFigure):
        field = f"document.{computed.stored}"
    elif isinstance(computed, FromAnswers):
        field = computed.stored
    left, right = basis.task.sides
    only_candidates = left is right or (metric is not None and metric.kind == "divergence")
    sides = [*([] if basis.base is None else [basis.base.run]), *([] if only_candidates else [left]), right]
    found = [_evaluation(side, finding.task, field) for side in sides]
    if isinstance(sample, StoppedPart):
        first = f" of the first {sample.stop.chunks} lines, in the order asked"
        found[-1] = replace(found[-1], field=field + first)
    facts = run.tasks[finding.task]
    plan = "item, bytes, slices" if by_document else "slices, cluster, expected, too_long"
    found.append(Place(what="plan", path=f"plans/{facts.plan}.jsonl", field=plan))
    if facts.words is not None and isinstance(computed, Likelihood) and computed.per == "word":
        found.append(Place(what="words", path=f"plans/{facts.words}.words.json", field="words, in the plan's order"))
    return (*found, verdict)


def _measured(basis: Basis, run: RunManifest) -> Place:
    """Speed or memory."""
    finding, computed = basis.finding, METRICS[basis.finding.metric].computed
    field = ""
    if isinstance(computed, StoredBytes):
        field = f"memory.{computed.field}, baseline_memory.{computed.field}"
    elif isinstance(computed, TimedFigure):
        field = f"workloads[].pairs[].baseline and .candidate of {finding.workload}: {computed.formula}"
    path = f"speed/{run.variants[finding.variant].speed}.json"
    return Place(what=f"{run.baseline} and {finding.variant}", path=path, field=field)


def _evaluation(side: VariantRun, task: str, field: str) -> Place:
    return Place(what=side.variant, path=f"evaluations/{side.answered[task]}/chunks.jsonl", field=field)


def commands_of(basis: Basis, run: RunManifest, results: str) -> tuple[str, ...]:
    """`quantgate show` lines that print the inputs."""
    asked = basis.parts or ([] if basis.task is None else [basis.finding.task or ""])
    promoted = basis.finding.promoted_run
    runs = [run.run, *([] if promoted is None else [promoted])]
    where = "" if results == "results" else f" --results {shlex.quote(results)}"
    return tuple(f"quantgate show {each} --task {shlex.quote(task)}{where}" for task in asked for each in runs)
