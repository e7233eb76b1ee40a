"""The items, documents and timed pairs behind a finding, and where in the store they lie."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np

from harness.comparison.flips import answer_text, cut, find_flips, margins
from harness.explanations.evidence import Documents, Evidence, Items, Stopped, ThreeWays
from harness.explanations.shapes import FlipBeside, Place, Table
from harness.metrics.row import DocumentFigure, Metric, StoredBytes, TimedFigure
from harness.metrics.table import METRICS, lookup
from harness.records.findings import Finding
from harness.records.measures import Flip
from harness.records.run_manifest import RunManifest, VariantRun


def flips_of(evidence: Evidence, *, most: int) -> tuple[tuple[Flip, ...], int | None]:
    """The flips of the finding's own metric and slice, `most` of them, and how many there are."""
    data = evidence.data
    if isinstance(data, ThreeWays):
        return _flips_beside(data, most=most)
    if not isinstance(data, Items | Stopped) or data.metric.kind != "binary" or data.sides[0] is data.sides[1]:
        return (), None
    metric = data.metric
    return find_flips(metric.task, metric.metric, data.pairs, data.read, within=data.within, most=most)


def _flips_beside(data: ThreeWays, *, most: int) -> tuple[tuple[Flip, ...], int | None]:
    """Flips between the fine-tuned model and the candidate, each with what the base answered."""
    three_way, answers = data.three_way, data.base.answers
    if three_way.kind != "binary":
        return (), None
    flips, total = find_flips(three_way.task, three_way.metric, data.pairs, data.read, within=data.within, most=most)
    places = {data.pairs.name(place): place for place in data.within.tolist()} if flips else {}
    wanted = np.asarray([places[flip.item] for flip in flips], dtype=np.int64)
    margin = margins(data.pairs.plan, data.pairs.places[wanted], answers.taken(wanted))
    values = answers.metrics[three_way.metric][wanted]
    beside = [
        FlipBeside(
            **flip.model_dump(),
            fine_tuned=data.sides[0].variant,
            base_right=bool(values[number] == 1),
            base_answer=cut(answer_text(planned, record)),
            base_margin=None if np.isnan(margin[number]) else float(margin[number]),
        )
        for number, (flip, (planned, record)) in enumerate(zip(flips, data.base.read(wanted), strict=True))
    ]
    return tuple(beside), total


def three_ways_table(data: ThreeWays, finding: Finding, *, most: int) -> Table:
    """Three models: the items or documents on which most was lost or won against the fine-tuned model, and what
    kept - r gain is there at the limit r."""
    three_way, names = data.three_way, (data.base.run.variant, data.sides[0].variant, data.sides[1].variant)
    low, middle, high = three_way.base, three_way.fine_tuned, three_way.candidate
    worth = (high - low) - finding.limit * (middle - low)
    worse = middle - high
    if not three_way.higher_is_better:
        worth, worse = -worth, -worse
    order = np.argsort(-np.abs(worse), kind="stable")
    changed = order[worse[order] != 0]
    rows = tuple(
        (data.pairs.name(int(data.within[place])), float(low[place]), float(middle[place]), float(high[place]),
         float(worse[place]), float(worth[place]))
        for place in changed[:most].tolist()
    )  # fmt: skip
    text = three_way.weights is not None
    columns = ("document" if text else "item", *((f"NLL {name}" if text else name) for name in names))
    return Table(
        title="Documents that changed most (nats)" if text else "Items that changed most",
        columns=(*columns, f"lost against {names[1]}", "kept − r · gain at the limit"),
        rows=rows,
        total=changed.size,
    )


def changed_items(data: Items | Stopped, *, most: int) -> Table:
    """Graded metrics: the items whose value changed most."""
    drops = data.metric.drops
    order = np.argsort(-np.abs(drops), kind="stable")
    changed = order[drops[order] != 0]
    rows = tuple(
        (data.pairs.name(int(data.within[place])), float(data.metric.baseline[place]),
         float(data.metric.candidate[place]), float(drops[place]))
        for place in changed[:most].tolist()
    )  # fmt: skip
    names = (data.sides[0].variant, data.sides[1].variant)
    return Table(title="Items that changed most", columns=("item", *names, "drop"), rows=rows, total=changed.size)


def documents_table(data: Documents, finding: Finding, *, most: int) -> Table:
    """The documents that contribute most: to the rise of the NLL, or to a divergence."""
    documents, metric = data.documents, lookup(finding.metric)
    names = np.asarray(data.names, dtype=np.object_)
    left, right = data.sides[0].variant, data.sides[1].variant
    if metric is not None and metric.kind == "divergence" and documents.divergence is not None:
        amount = documents.divergence.sums["kl"]
        total = float(amount.sum())
        order = np.argsort(-amount, kind="stable")[:most].tolist()
        rows: tuple[tuple[str | int | float | None, ...], ...] = tuple(
            (str(names[place]), float(amount[place]), int(documents.tokens[place]), _share(amount[place], total))
            for place in order
        )
        columns: tuple[str, ...] = ("document", "sum of KL, nats", "tokens", "share of all")
        return Table(title="Documents with the most divergence", columns=columns, rows=rows, total=documents.count)
    amount = documents.candidate_nll - documents.baseline_nll
    total = float(amount.sum())
    order = np.argsort(-amount if total >= 0 else amount, kind="stable")[:most].tolist()
    rows = tuple(
        (str(names[place]), float(documents.baseline_nll[place]), float(documents.candidate_nll[place]),
         float(amount[place]), int(documents.tokens[place]), _share(amount[place], total))
        for place in order
    )  # fmt: skip
    columns = ("document", f"NLL {left}", f"NLL {right}", "difference", "tokens", "share of all")
    title = f"Documents that add most to the {'rise' if total >= 0 else 'fall'} (nats)"
    return Table(title=title, columns=columns, rows=rows, total=documents.count)


def _share(amount: float, total: float) -> float | None:
    return float(amount) / total if total else None


def places_of(evidence: Evidence, run: RunManifest) -> tuple[Place, ...]:
    """Files relative to the results folder, and the field of each record in them."""
    data, finding = evidence.data, evidence.finding
    verdict = Place(what="verdict", path=f"{run.suite}/runs/{run.run}/verdict.json", field="candidates[].findings[]")
    if finding.variant == run.baseline:
        verdict = Place(what=verdict.what, path=verdict.path, field="baseline_findings[]")
    if isinstance(data, Items | Documents | ThreeWays | Stopped):
        task = finding.task or ""
        by_document = isinstance(data, Documents) or (
            isinstance(data, ThreeWays) and data.three_way.weights is not None
        )
        row = lookup(finding.metric)
        only_candidates = data.sides[0] is data.sides[1] or (row is not None and row.kind == "divergence")
        sides = [data.sides[1]] if only_candidates else list(data.sides)
        field = _document_field(row) if by_document and row is not None else _item_field(finding)
        if isinstance(data, ThreeWays):
            sides = [data.base.run, *sides]
        found = [_evaluation(side, task, field) for side in sides]
        if isinstance(data, Stopped):
            first = f" of the first {data.part.stop.chunks} lines, in the order asked"
            found[-1] = replace(found[-1], field=found[-1].field + first)
        plan = "item, bytes, slices" if by_document else "slices, cluster, expected, too_long"
        return (*found, Place(what="plan", path=f"plans/{run.tasks[task].plan}.jsonl", field=plan), verdict)
    key = run.variants[finding.variant].speed
    computed = METRICS[finding.metric].computed
    if isinstance(computed, StoredBytes):
        field = f"memory.{computed.field}, baseline_memory.{computed.field}"
    else:
        formula = computed.formula if isinstance(computed, TimedFigure) else ""
        field = f"workloads[].pairs[].baseline and .candidate of {finding.workload}: {formula}"
    return Place(what=f"{run.baseline} and {finding.variant}", path=f"speed/{key}.json", field=field), verdict


def _evaluation(side: VariantRun, task: str, field: str) -> Place:
    return Place(what=side.variant, path=f"evaluations/{side.answered[task]}/chunks.jsonl", field=field)


def _item_field(finding: Finding) -> str:
    return f"metrics.{finding.metric}.value (options[].log_likelihood for margins, answer.text)"


def _document_field(metric: Metric) -> str:
    computed = metric.computed
    return f"document.{computed.stored}" if isinstance(computed, DocumentFigure) else ""


def commands_of(evidence: Evidence, run: RunManifest, results: str) -> tuple[str, ...]:
    """`quantgate show` lines that print the inputs."""
    if not isinstance(evidence.data, Items | Documents | ThreeWays | Stopped):
        return ()
    runs = [run.run]
    if evidence.finding.reference:
        runs.append(evidence.finding.against.rpartition("@")[2])
    task = shlex.quote(evidence.finding.task or "")
    where = "" if results == "results" else f" --results {shlex.quote(results)}"
    return tuple(f"quantgate show {each} --task {task}{where}" for each in runs)
