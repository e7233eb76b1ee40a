"""Pairs the baseline's first pass with its second: the same model in other batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import RecordError
from harness.records.columns import Floats, PlanColumns
from harness.records.run_manifest import RunManifest
from harness.records.store import Store
from harness.records.timings import SpeedRecord
from harness.samples.derived import derived_metrics, stored_texts
from harness.samples.documents import DocumentPairs, document_pairs
from harness.samples.pairs import PairedMetric, PairingError, Pairs, Side, align, pair_items, paired_metric
from harness.samples.timed_pairs import baseline_ratios


@dataclass(frozen=True, kw_only=True)
class NoisePairs:
    """Both passes of the baseline, paired on the items that were computed twice."""

    metrics: Mapping[tuple[str, str], PairedMetric]
    """(task, metric) to its pairs."""
    documents: Mapping[str, DocumentPairs]
    likelihoods: Mapping[str, Floats]
    """Task to the absolute difference of every option's log-likelihood, or of every document's a token, in nats."""
    speed: Mapping[tuple[str, str], Floats]
    """(workload, metric) to the ratios of adjacent runs of the baseline."""
    failure: str | None
    """Why there is not more."""


def noise_pairs(
    store: Store,
    run: RunManifest,
    speed: Sequence[SpeedRecord],
    side: Callable[[str, str], Side],
    plan: Callable[[str], PlanColumns],
) -> NoisePairs | None:
    """Pair the baseline's two passes; None where the run has no second pass and timed nothing.

    `side`, `plan`: an evaluation and a plan of the run. Raises `RecordError` for damaged records.
    """
    baseline = run.variants[run.baseline]
    ratios = baseline_ratios(speed)
    if not (baseline.second_pass or baseline.second_pass_failure or ratios):
        return None
    metrics: dict[tuple[str, str], PairedMetric] = {}
    documents: dict[str, DocumentPairs] = {}
    likelihoods: dict[str, Floats] = {}
    for task, key in baseline.second_pass.items():
        facts = run.tasks[task]
        pairs = _pairs(store, task, key, facts.metrics, plan(task), side(task, baseline.evaluations[task]))
        if facts.kind == "perplexity":
            found = document_pairs(task, pairs)
            documents[task] = found
            moved = np.abs(found.candidate_nll - found.baseline_nll) / found.tokens
        else:
            for metric in facts.metrics:
                higher = metric not in facts.lower_is_better
                metrics[task, metric] = paired_metric(task, metric, pairs, higher_is_better=higher)
            texts = stored_texts(store, (baseline.evaluations[task], key), pairs)
            metrics |= {(task, each.metric): each for each in derived_metrics(task, facts.kind, pairs, texts)}
            moved = _option_differences(pairs)
        if moved.size:
            likelihoods[task] = moved
    return NoisePairs(
        metrics=metrics,
        documents=documents,
        likelihoods=likelihoods,
        speed=ratios,
        failure=baseline.second_pass_failure,
    )


def _pairs(store: Store, task: str, key: str, metrics: Sequence[str], whole: PlanColumns, first: Side) -> Pairs:
    """The items of the second pass in both. The first pass is aligned by its own, whole plan."""
    manifest = store.evaluation(key)
    if manifest is None:
        raise RecordError(f"{store.evaluation_folder(key)}: the evaluation is missing or unfinished")
    again = store.plan_columns(manifest.identity.requests)
    places = whole.items.places_of(again.items)
    if first.misfit is not None or (places < 0).any():
        raise RecordError(f"{task}: the baseline's second pass does not fit its first; run again with --fresh")
    if whole.words is not None:
        again = replace(again, words=whole.words[places])
    part = Side(answers=first.answers, order=first.order[places], misfit=None)
    try:
        return pair_items(task, again, part, align(again, store.columns(key, metrics)), names=("first", "second"))
    except PairingError as error:
        raise RecordError(f"{error} in the baseline's second pass; run again with --fresh") from error


def _option_differences(pairs: Pairs) -> Floats:
    """|log-likelihood in one pass - in the other| of every option that has one in both, [options]."""
    both = np.flatnonzero(pairs.baseline.options == pairs.candidate.options)
    counts = pairs.baseline.options[both]
    option = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    left, right = (
        each.likelihoods[np.repeat(each.first_option[both], counts) + option]
        for each in (pairs.baseline, pairs.candidate)
    )
    moved: Floats = np.abs(left - right)
    return moved[np.isfinite(moved)]
