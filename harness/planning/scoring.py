"""Turns answers into records: lm-eval's filters and metrics, item by item, and which of them can be paired at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.datafiles.rows import problem
from harness.engines.protocol import ContinuationScore, Generation
from harness.planning.prompts.short_forms import Docs
from harness.planning.requests import ItemRequests
from harness.planning.task_plan import Answer
from harness.planning.ties import number, shared_among_ties
from harness.records.items import Failed, ItemRecord, OptionAnswer, Outcome, PlannedItem, TextAnswer, outcome


@dataclass(frozen=True, kw_only=True)
class PairableMetrics:
    """The metrics of a task that are a mean over items, and notes on the others."""

    names: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    notes: tuple[str, ...]


def pairable_metrics(place: str, name: str, docs: Docs, first: ItemRequests) -> PairableMetrics:
    """Found by scoring a neutral answer to the first document.

    A metric that is not a number per item, or that lm-eval aggregates by anything but the mean (corpus BLEU, F1 over
    classes, the perplexity of a cloze task), cannot be paired. `place`: the suite. Raises `SuiteError` when none can.
    """
    from lm_eval.api.metrics import mean

    neutral = "" if docs.task.OUTPUT_TYPE == "generate_until" else (-1.0, False)
    found = _process(docs, first, [neutral] * len(first.instances))
    aggregation, higher = docs.task.aggregation(), docs.task.higher_is_better()
    kept, lower, notes = [], [], []
    for metric, value in found.items():
        plain = metric.split(",", 1)[0]
        paired = plain in docs.measures or aggregation.get(plain, mean) is mean
        if paired and number(value) is not None:
            kept.append(metric)
            if not higher.get(plain, True):
                lower.append(metric)
        else:
            notes.append(f"{name}: {metric} is no mean over items, so it cannot be paired and is left out")
    if not kept:
        raise problem(place, f"tasks.{name}", f"none of its metrics can be paired item by item: {', '.join(found)}")
    return PairableMetrics(names=tuple(kept), lower_is_better=tuple(lower), notes=tuple(notes))


def record_of(
    docs: Docs, item: PlannedItem, asked: ItemRequests, answers: Sequence[Answer], metrics: Sequence[str]
) -> ItemRecord:
    """One item's record from the engine's answers, in the order of its requests."""
    if docs.task.OUTPUT_TYPE == "generate_until":
        return _text_record(docs, item, asked, [each for each in answers if isinstance(each, Generation)], metrics)
    scores = [each for each in answers if isinstance(each, tuple)]
    options = tuple(_option(scores[request][place]) for request, place in asked.where)
    if any(option.log_likelihood is None for option in options):
        failed: Outcome = Failed(stage="score", error="the model gave a log-likelihood that is not finite")
        measured = dict.fromkeys(metrics, failed)
    else:
        likelihoods = [(option.log_likelihood or 0.0, option.greedy) for option in options]
        values = shared_among_ties(lambda each: _process(docs, asked, each), likelihoods, _texts(docs, asked))
        measured = _outcomes(values, metrics)
    return ItemRecord(item=item.item, prompt_hash=item.prompt_hash, options=options, metrics=measured)


def _texts(docs: Docs, asked: ItemRequests) -> tuple[str, ...]:
    """The options among which the model chooses; none for a single text to be scored."""
    if docs.task.OUTPUT_TYPE != "multiple_choice":
        return ()
    return tuple(str(option) for option in docs.task.doc_to_choice(asked.doc))


def _text_record(
    docs: Docs, item: PlannedItem, asked: ItemRequests, answers: Sequence[Generation], metrics: Sequence[str]
) -> ItemRecord:
    first = answers[0]
    return ItemRecord(
        item=item.item,
        prompt_hash=item.prompt_hash,
        answer=TextAnswer(
            text=first.text,
            tokens=len(first.tokens),
            finish="length" if first.finish == "length" else "stop",
        ),
        metrics=_outcomes(_process(docs, asked, [each.text for each in answers]), metrics),
    )


def _process(docs: Docs, asked: ItemRequests, responses: Sequence[object]) -> dict[str, object]:
    """lm-eval's filters and metrics for one document's responses; `metric,filter` for any filter but `none`."""
    for instance, response in zip(asked.instances, responses, strict=True):
        instance.resps = [response]
        instance.filtered_resps = {}
    found: dict[str, object] = {}
    for pipeline in docs.task._filters:
        pipeline.apply(list(asked.instances))
        filtered = [instance.filtered_resps[pipeline.name] for instance in asked.instances]
        suffix = "" if pipeline.name == "none" else f",{pipeline.name}"
        for metric, value in docs.task.process_results(asked.doc, filtered).items():
            found[f"{metric}{suffix}"] = value
        if docs.measures:
            answer, references = str(filtered[0]), docs.references(asked.doc)
            found = {
                name: max(measure(answer, reference) for reference in references)
                for name, measure in docs.measures.items()
            }
    return found


def _option(score: ContinuationScore) -> OptionAnswer:
    total = math.fsum(score.log_probs)
    return OptionAnswer(
        log_likelihood=total if math.isfinite(total) else None,
        tokens=len(score.log_probs),
        greedy=score.greedy,
    )


def _outcomes(values: Mapping[str, object], metrics: Sequence[str]) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for metric in metrics:
        value = number(values.get(metric))
        if value is None:
            found[metric] = Failed(stage="score", error=f"lm-eval gave {values.get(metric)!r:.60} for {metric}")
        else:
            found[metric] = outcome(value)
    return found
