"""Turns answers into records: lm-eval's filters and metrics, item by item, and which of them can be paired at all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.datafiles.rows import problem
from harness.engines.protocol import ContinuationScore, Generation
from harness.metrics.corpus import COMPANIONS, whole_metric
from harness.metrics.repeats import over_answers
from harness.metrics.row import OfTexts, OverAnswers
from harness.planning.measures.answered import Answered, Measure, ScoreError, Unfit
from harness.planning.prompts.short_forms import Docs
from harness.planning.repeats import Attempt, Several, base_of, over_attempts
from harness.planning.requests import ItemRequests
from harness.planning.task_plan import Answer
from harness.planning.ties import number, shared_among_ties
from harness.planning.whole import Part, added, companion_score, lm_evals_whole, text_part
from harness.records.items import Failed, ItemRecord, OptionAnswer, Outcome, PlannedItem, TextAnswer, outcome


@dataclass(frozen=True, kw_only=True)
class PairableMetrics:
    """The metrics of a task that are a mean over items, and notes on the others."""

    names: tuple[str, ...]
    lower_is_better: tuple[str, ...]
    notes: tuple[str, ...]
    whole: tuple[str, ...] = ()
    """Metrics of the whole."""


def pairable_metrics(place: str, name: str, docs: Docs, first: ItemRequests, several: Several) -> PairableMetrics:
    """Found by scoring a neutral answer to the first document.

    A metric that lm-eval aggregates by more than the mean is one of the whole (corpus BLEU, chrF, TER; F1, MCC), or
    cannot be paired (the perplexity of a cloze task). `place`: the suite. Raises `SuiteError` when none can.
    """
    from lm_eval.api.metrics import mean

    if docs.measures is not None:
        names, less = (*docs.measures, *several.metrics), docs.lower_is_better
        less_of = tuple(name for name in names if name in less)
        return PairableMetrics(names=names, lower_is_better=less_of, notes=(), whole=docs.whole)
    if docs.task.OUTPUT_TYPE == "generate_until":
        try:
            found = _several(docs, first, [""] * len(first.instances) * several.repeats, several, ()).values
        except AssertionError as error:  # of lm-eval's filters
            raise problem(place, f"tasks.{name}", f"repeats: {several.repeats}: {error}") from error
    else:
        found = dict(_process(docs, first, [(-1.0, False)] * len(first.instances)).values)
    aggregation, higher = docs.task.aggregation(), docs.task.higher_is_better()
    kept, lower, notes = [], [], []
    whole = lm_evals_whole(docs.task, found)
    for metric, value in found.items():
        if metric in whole:
            continue
        plain = metric.split(",", 1)[0]
        if aggregation.get(plain, mean) is mean and number(value) is not None:
            kept.append(metric)
            if not higher.get(plain, True):
                lower.append(metric)
        else:
            notes.append(f"{name}: {metric} is no mean over items, so it cannot be paired and is left out")
    if not kept:
        kept = list(dict.fromkeys(COMPANIONS[metric.split(",", 1)[0]] for metric in whole))
    if not kept:
        raise problem(place, f"tasks.{name}", f"none of its metrics can be paired item by item: {', '.join(found)}")
    _check_several(place, name, several, kept)
    return PairableMetrics(
        names=(*kept, *several.metrics), lower_is_better=tuple(lower), notes=tuple(notes), whole=tuple(whole)
    )


def _check_several(place: str, name: str, several: Several, kept: Sequence[str]) -> None:
    """pass@k and maj@k without a metric to count, or with too few answers. Raises `SuiteError`."""
    for metric in several.metrics:
        if base_of(metric, kept) is None:
            message = f"{metric}: no metric of the task has this filter; its metrics are {', '.join(kept)}"
            raise problem(place, f"tasks.{name}.metric", message)
        row = over_answers(metric)
        if row is not None and isinstance(row.computed, OverAnswers) and row.computed.k > several.repeats:
            message = f"{metric} needs {row.computed.k} answers to an item, repeats is {several.repeats}"
            raise problem(place, f"tasks.{name}.metric", message)


def record_of(
    docs: Docs,
    item: PlannedItem,
    asked: ItemRequests,
    answers: Sequence[Answer],
    metrics: PairableMetrics,
    several: Several,
) -> ItemRecord:
    """One item's record from the engine's answers, in the order of its requests."""
    if docs.task.OUTPUT_TYPE == "generate_until":
        texts = [each for each in answers if isinstance(each, Generation)]
        return _text_record(docs, item, asked, texts, metrics, several)
    scores = [each for each in answers if isinstance(each, tuple)]
    options = tuple(_option(scores[request][place]) for request, place in asked.where)
    if any(option.log_likelihood is None for option in options):
        failed: Outcome = Failed(stage="score", error="the model gave a log-likelihood that is not finite")
        measured = dict.fromkeys(metrics.names, failed)
    else:
        likelihoods = [(option.log_likelihood or 0.0, option.greedy) for option in options]
        values = shared_among_ties(lambda each: _chosen(docs, asked, each, metrics), likelihoods, _texts(docs, asked))
        measured = _outcomes(values, metrics.names)
    return ItemRecord(item=item.item, prompt_hash=item.prompt_hash, options=options, metrics=measured)


def _chosen(
    docs: Docs, asked: ItemRequests, likelihoods: Sequence[object], metrics: PairableMetrics
) -> Mapping[str, object]:
    """Metrics of an item with options; beside metrics of the whole alone, whether the chosen option is right."""
    values = dict(_process(docs, asked, likelihoods).values)
    for name in metrics.whole:
        pair, beside = values.get(name), COMPANIONS[name.split(",", 1)[0]]
        if isinstance(pair, Sequence) and beside in metrics.names:
            values.setdefault(beside, float(pair[0] == pair[1]))
    return values


def _texts(docs: Docs, asked: ItemRequests) -> tuple[str, ...]:
    """The options among which the model chooses; none for a single text to be scored."""
    if docs.task.OUTPUT_TYPE != "multiple_choice":
        return ()
    return tuple(str(option) for option in docs.task.doc_to_choice(asked.doc))


def _text_record(
    docs: Docs,
    item: PlannedItem,
    asked: ItemRequests,
    answers: Sequence[Generation],
    metrics: PairableMetrics,
    several: Several,
) -> ItemRecord:
    found = _several(docs, asked, [each.text for each in answers], several, metrics.names, metrics.whole)
    scores = (*found.scores, *[None] * len(answers))
    first, *others = (_text_answer(each, score) for each, score in zip(answers, scores, strict=False))
    return ItemRecord(
        item=item.item,
        prompt_hash=item.prompt_hash,
        answer=first,
        repeats=tuple(others) if several.repeats > 1 else (),
        reasons=dict(found.reasons),
        parts=dict(found.parts),
        metrics=_outcomes(found.values, metrics.names),
    )


def _text_answer(answer: Generation, score: float | None) -> TextAnswer:
    finish: Literal["stop", "length"] = "length" if answer.finish == "length" else "stop"
    return TextAnswer(text=answer.text, tokens=len(answer.tokens), finish=finish, score=score)


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """What the metrics say of an item's answers."""

    values: dict[str, object]
    scores: tuple[float | None, ...] = ()
    """The first metric's value of each of several answers."""
    reasons: Mapping[str, str]
    parts: Mapping[str, Part]


def _several(
    docs: Docs,
    asked: ItemRequests,
    texts: Sequence[str],
    several: Several,
    metrics: Sequence[str],
    whole: Sequence[str] = (),
) -> _Scored:
    """Every metric of an item, and the first one's value for each of several answers: a metric of one answer is the
    mean over them, and lm-eval's filters that look at several get them all."""
    if several.repeats == 1:
        only = _process(docs, asked, texts)
        values = {**_beside([only], metrics, whole), **only.values, **_over([only], several, metrics)}
        return _Scored(values=values, reasons=only.reasons, parts=_parts([only], whole))
    attempts = [_process(docs, asked, [text], voting=False) for text in texts]
    found: dict[str, object] = {name: _mean([each.values[name] for each in attempts]) for name in attempts[0].values}
    if any(map(docs.votes, docs.task._filters)):
        found |= _process(docs, asked, [list(texts)], voting=True).values
    scores = tuple(number(each.values.get(metrics[0])) for each in attempts) if metrics else ()
    reasons = {name: says for each in reversed(attempts) for name, says in each.reasons.items()}
    values = _beside(attempts, metrics, whole) | found | _over(attempts, several, metrics)
    return _Scored(values=values, scores=scores, reasons=reasons, parts=_parts(attempts, whole))


def _parts(attempts: Sequence[Attempt], whole: Sequence[str]) -> dict[str, Part]:
    """Metric of the whole to what all answers of an item add to it."""
    found: dict[str, Part] = {}
    for name in whole:
        row = whole_metric("generate", name)
        if row is not None and isinstance(row.computed, OfTexts):
            parts = [text_part(row.computed, each.values.get(name)) for each in attempts]
            found[name] = added([each for each in parts if each is not None])
    return found


def _beside(attempts: Sequence[Attempt], metrics: Sequence[str], whole: Sequence[str]) -> dict[str, object]:
    """Metrics per item of an lm-eval task that has none of its own beside those of the whole."""
    pairs = {COMPANIONS[name.split(",", 1)[0]]: name for name in whole}
    return {
        beside: _mean([companion_score(beside, each.values.get(name)) for each in attempts])
        for beside, name in pairs.items()
        if beside in metrics and beside not in attempts[0].values
    }


def _over(attempts: Sequence[Attempt], several: Several, metrics: Sequence[str]) -> dict[str, object]:
    own = [each for each in metrics if each not in several.metrics]
    found: dict[str, object] = {}
    for name in several.metrics:
        base = base_of(name, own)
        found[name] = None if base is None else over_attempts(name, base, attempts)
    return found


def _mean(values: Sequence[object]) -> object:
    """Of numbers; otherwise the first that is none, which the record names."""
    numbers = [number(each) for each in values]
    finite = [each for each in numbers if each is not None]
    return math.fsum(finite) / len(finite) if len(finite) == len(values) else values[numbers.index(None)]


def _process(docs: Docs, asked: ItemRequests, responses: Sequence[object], *, voting: bool | None = None) -> Attempt:
    """lm-eval's filters and metrics for one document's responses; `metric,filter` for any filter but `none`.

    `voting`: only the filters that look at several responses to one request, or only the others. A response to such a
    filter is a list of texts.
    """
    for instance, response in zip(asked.instances, responses, strict=True):
        instance.resps = response if isinstance(response, list) else [response]
        instance.filtered_resps = {}
    found: dict[str, object] = {}
    said: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for pipeline in docs.task._filters:
        if voting is not None and docs.votes(pipeline) != voting:
            continue
        pipeline.apply(list(asked.instances))
        filtered = [instance.filtered_resps[pipeline.name] for instance in asked.instances]
        suffix = "" if pipeline.name == "none" else f",{pipeline.name}"
        said[suffix.removeprefix(",")] = str(filtered[0])
        for metric, value in docs.task.process_results(asked.doc, filtered).items():
            found[f"{metric}{suffix}"] = value
        if docs.measures is not None:
            answered = Answered(
                answer=str(filtered[0]), references=docs.references(asked.doc), row=docs.row_of[asked.item]
            )
            found = {name: _measured(name, measure, answered, reasons) for name, measure in docs.measures.items()}
            found |= dict.fromkeys(docs.whole, (answered.references, answered.answer))
    return Attempt(values=found, said=said, reasons=reasons)


def _measured(name: str, measure: Measure, answered: Answered, reasons: dict[str, str]) -> object:
    """A metric's value, or why there is none. Why it is 0 goes into `reasons`, where the metric says so."""
    try:
        return measure(answered)
    except Unfit as says:
        reasons[name] = str(says)
        return 0.0
    except ScoreError as error:
        return error


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
        given = values.get(metric)
        if isinstance(given, ScoreError):
            found[metric] = Failed(stage="score", error=str(given))
            continue
        value = number(given)
        if value is None:
            found[metric] = Failed(stage="score", error=f"lm-eval gave {values.get(metric)!r:.60} for {metric}")
        else:
            found[metric] = outcome(value)
    return found
