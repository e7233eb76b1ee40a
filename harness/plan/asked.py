"""Choice, generation and lm-eval tasks: lm-eval's contexts, requests, filters and metrics around our token ids."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.engines.seam import ContinuationScore, GenerateRequest, Generation, ScoreRequest
from harness.plan.build import Answer, Request, TaskPlan, prompt_hash, sample, slices_of
from harness.plan.lmeval import lm_eval_docs
from harness.plan.perplexity import plan_documents
from harness.plan.rows import file_hash, problem
from harness.plan.shortforms import Docs, choice_docs, generate_docs
from harness.plan.textmetrics import contains, f1
from harness.plan.tokens import Encoded, Tokenizer, adds_special_tokens, encode_pair, encode_prompt
from harness.records.models import Failed, ItemRecord, OptionAnswer, Outcome, PlannedItem, TextAnswer, outcome
from harness.spec.load import LoadedSuite
from harness.spec.models import Task
from harness.spec.places import resolve_file

OURS = {"contains": contains, "f1": f1}
SHOWN = 20_000
"""Characters of a prompt that are stored for people."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One document's lm-eval instances and how they map onto our requests."""

    doc: Mapping[str, Any]
    instances: tuple[Any, ...]
    requests: tuple[Request, ...]
    where: tuple[tuple[int, int], ...]
    """Per instance: request and position of its continuation in it."""
    texts: tuple[Encoded, ...]
    too_long: str | None


def plan_asked(
    loaded: LoadedSuite,
    name: str,
    task: Task,
    tokenizer: Tokenizer,
    context_length: int | None,
    limit: int | None,
) -> TaskPlan:
    """Plan a task of options or generated answers. Raises `SuiteError` for data or metrics that do not fit."""
    docs = _docs(loaded, name, task, tokenizer)
    if docs.task.OUTPUT_TYPE == "loglikelihood_rolling":
        return plan_documents(loaded, name, task, docs, tokenizer, context_length, limit)
    chosen = sample(len(docs.docs), limit, loaded.suite.seed, name)
    asked = [_ask(name, docs, position, task, tokenizer, context_length) for position in chosen]
    if not asked:
        raise problem(str(loaded.path), f"tasks.{name}", "expected at least one item, the task has none")
    metrics, lower, notes = _metrics(loaded, name, docs, asked[0])
    kind = "generate" if docs.task.OUTPUT_TYPE == "generate_until" else "choice"
    items = tuple(
        _item(name, docs, task, position, index, each)
        for index, (position, each) in enumerate(zip(chosen, asked, strict=True))
    )

    def score(index: int, answers: Sequence[Answer]) -> ItemRecord:
        return _record(docs, items[index], asked[index], answers, metrics)

    spec = task.choice or task.generate
    return TaskPlan(
        name=name,
        kind="generate" if kind == "generate" else "choice",
        items=items,
        requests=tuple(() if each.too_long is not None else each.requests for each in asked),
        texts=tuple(text for each in asked for text in each.texts),
        metrics=metrics,
        lower_is_better=lower,
        scorer=score,
        source=f"lm-eval {task.lm_eval}" if spec is None else spec.data,
        settings=_settings(docs, metrics),
        data_file=None if spec is None else spec.data,
        data_hash=None if spec is None else file_hash(resolve_file(loaded, spec.data)),
        notes=notes,
    )


def _docs(loaded: LoadedSuite, name: str, task: Task, tokenizer: Tokenizer) -> Docs:
    if task.choice is not None:
        return choice_docs(loaded, name, task.choice, task.id, tokenizer)
    if task.generate is not None:
        return generate_docs(loaded, name, task.generate, task.id, tokenizer)
    return lm_eval_docs(loaded, name, task)


def _settings(docs: Docs, metrics: Sequence[str]) -> str:
    """What decides a score beside the token ids: lm-eval's version, filters and metrics."""
    from importlib.metadata import version

    config = docs.task.config
    facts = {
        "lm_eval": version("lm_eval"),
        "output_type": docs.task.OUTPUT_TYPE,
        "metrics": list(metrics),
        "metric_list": config.metric_list,
        "filters": config.filter_list,
        "targets": [str(docs.task.doc_to_target(doc)) for doc in docs.docs],
    }
    return json.dumps(facts, sort_keys=True, default=str)


# -- requests


def _ask(name: str, docs: Docs, position: int, task: Task, tokenizer: Tokenizer, context_length: int | None) -> _Asked:
    """lm-eval's instances of one document, tokenised. Equal contexts become one request."""
    doc, item = docs.docs[position], docs.ids[position]
    chat = task.apply_chat_template
    context = docs.task.fewshot_context(
        doc, docs.num_few_shot, apply_chat_template=chat, chat_template=tokenizer.chat if chat else None
    )
    built = docs.task.construct_requests(
        doc=doc,
        ctx=context,
        metadata=(name, position, 1),
        apply_chat_template=chat,
        chat_template=tokenizer.chat if chat else None,
    )
    instances = tuple(built) if isinstance(built, list | tuple) else (built,)
    if docs.task.OUTPUT_TYPE == "generate_until":
        return _ask_text(doc, instances, item, tokenizer, context_length)
    contexts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    where, texts = [], []
    for instance in instances:
        before, after = instance.args[0], instance.args[1]
        head, tail = encode_pair(tokenizer, before, after)
        if not tail:
            raise problem(f"tasks.{name}", item, f"the option {after!r:.60} adds no token to its prompt")
        known = contexts.setdefault(head, [])
        where.append((list(contexts).index(head), len(known)))
        known.append(tail)
        special = before != "" and adds_special_tokens(tokenizer, before)
        text = before + after
        ids = tokenizer.encode(text, add_special_tokens=special)
        texts.append(Encoded(item=item, text=text, ids=ids, add_special_tokens=special))
    requests = tuple(ScoreRequest(context=head, continuations=tuple(tails)) for head, tails in contexts.items())
    longest = max(len(head) + len(tail) for head, tails in contexts.items() for tail in tails) - 1
    return _Asked(
        doc=doc,
        instances=instances,
        requests=requests,
        where=tuple(where),
        texts=tuple(texts),
        too_long=_too_long(longest, context_length),
    )


def _ask_text(
    doc: Mapping[str, Any],
    instances: tuple[Any, ...],
    item: str,
    tokenizer: Tokenizer,
    context_length: int | None,
) -> _Asked:
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    requests, texts, longest = [], [], 0
    for instance in instances:
        prompt, settings = instance.args[0], dict(normalize_gen_kwargs(instance.args[1], 256))
        until = handle_stop_sequences(settings.get("until"), eos=tokenizer.eos_text)
        ids = encode_prompt(tokenizer, prompt)
        requests.append(
            GenerateRequest(
                prompt=ids,
                max_new_tokens=int(settings["max_gen_toks"]),
                until=tuple(until),
                temperature=float(settings.get("temperature", 0.0)) if settings.get("do_sample") else 0.0,
            )
        )
        special = adds_special_tokens(tokenizer, prompt)
        texts.append(Encoded(item=item, text=prompt, ids=ids, add_special_tokens=special))
        longest = max(longest, len(ids) + int(settings["max_gen_toks"]))
    return _Asked(
        doc=doc,
        instances=instances,
        requests=tuple(requests),
        where=tuple((index, 0) for index in range(len(requests))),
        texts=tuple(texts),
        too_long=_too_long(longest, context_length),
    )


def _too_long(tokens: int, context_length: int | None) -> str | None:
    if context_length is None or tokens <= context_length:
        return None
    return f"needs {tokens} tokens, the model's context is {context_length}"


def _item(name: str, docs: Docs, task: Task, position: int, index: int, asked: _Asked) -> PlannedItem:
    fields = dict(docs.rows[position])
    place, key = f"item {docs.ids[position]}", f"tasks.{name}"
    cluster = None
    if task.cluster_by is not None:
        cluster = slices_of(fields, [task.cluster_by], place, f"{key}.cluster_by")[task.cluster_by]
    options, expected = _shown(docs, asked)
    prompt = str(asked.instances[0].args[0])
    return PlannedItem(
        item=docs.ids[position],
        index=index,
        prompt_hash=prompt_hash(asked.requests),
        prompt=prompt[-SHOWN:],
        options=options,
        expected=expected,
        slices=slices_of(fields, task.slice_by, place, f"{key}.slice_by"),
        cluster=cluster,
        tokens=sum(
            len(request.context) + sum(map(len, request.continuations))
            if isinstance(request, ScoreRequest)
            else len(request.prompt)
            if isinstance(request, GenerateRequest)
            else len(request.tokens)
            for request in asked.requests
        ),
        too_long=asked.too_long,
    )


def _shown(docs: Docs, asked: _Asked) -> tuple[tuple[str, ...], str]:
    """Options and reference answer as text, for people."""
    target = docs.task.doc_to_target(asked.doc)
    if docs.task.OUTPUT_TYPE != "multiple_choice":
        return (), "\n".join(map(str, target)) if isinstance(target, list) else str(target)
    if docs.task.multiple_input:
        options = tuple(str(instance.args[0]) for instance in asked.instances)
        target = docs.task.doc_to_text(asked.doc)
    else:
        options = tuple(str(option) for option in docs.task.doc_to_choice(asked.doc))
    if isinstance(target, list) and target:
        target = target[0]
    if isinstance(target, int):
        return options, options[target] if 0 <= target < len(options) else ""
    return options, str(target)


# -- scores


def _process(docs: Docs, asked: _Asked, responses: Sequence[object]) -> dict[str, object]:
    """lm-eval's filters and metrics for one document's responses."""
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
        if docs.extra_metrics and suffix == "":
            reference = str(docs.task.doc_to_target(asked.doc))
            for metric in docs.extra_metrics:
                if metric in OURS:
                    found[metric] = OURS[metric](str(filtered[0]), reference)
            found = {metric: found[metric] for metric in docs.extra_metrics}
    return found


def _metrics(
    loaded: LoadedSuite, name: str, docs: Docs, first: _Asked
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The metrics that can be paired item by item, those where less is better, and notes on the others.

    Found by scoring a neutral answer to the first document. A metric that is no number per item, or that lm-eval
    aggregates by anything but the mean (corpus BLEU, F1 over classes), cannot be paired.
    """
    from lm_eval.api.metrics import mean

    neutral = "" if docs.task.OUTPUT_TYPE == "generate_until" else (-1.0, False)
    found = _process(docs, first, [neutral] * len(first.instances))
    aggregation, higher = docs.task.aggregation(), docs.task.higher_is_better()
    kept, lower, notes = [], [], []
    for metric, value in found.items():
        plain = metric.split(",", 1)[0]
        paired = plain in OURS or aggregation.get(plain, mean) is mean
        if paired and isinstance(value, numbers.Real):
            kept.append(metric)
            if not higher.get(plain, True):
                lower.append(metric)
        else:
            notes.append(f"{name}: {metric} is no mean over items, so it cannot be paired and is left out")
    if not kept:
        raise problem(str(loaded.path), f"tasks.{name}", f"none of its metrics can be paired: {', '.join(found)}")
    return tuple(kept), tuple(lower), tuple(notes)


def _record(
    docs: Docs, item: PlannedItem, asked: _Asked, answers: Sequence[Answer], metrics: Sequence[str]
) -> ItemRecord:
    """One item's record from the engine's answers."""
    if docs.task.OUTPUT_TYPE == "generate_until":
        texts = [each for each in answers if isinstance(each, Generation)]
        values = _process(docs, asked, [each.text for each in texts])
        first = texts[0]
        return ItemRecord(
            item=item.item,
            prompt_hash=item.prompt_hash,
            answer=TextAnswer(
                text=first.text,
                tokens=len(first.tokens),
                finish="length" if first.finish == "length" else "stop",
            ),
            metrics=_outcomes(values, metrics),
        )
    scores = [each for each in answers if isinstance(each, tuple)]
    own = [scores[request][place] for request, place in asked.where]
    options = tuple(_option(each) for each in own)
    if any(option.log_likelihood is None for option in options):
        failed: Outcome = Failed(stage="score", error="the model gave a log-likelihood that is not finite")
        return ItemRecord(
            item=item.item,
            prompt_hash=item.prompt_hash,
            options=options,
            metrics=dict.fromkeys(metrics, failed),
        )
    values = _process(docs, asked, [(option.log_likelihood, option.greedy) for option in options])
    return ItemRecord(item=item.item, prompt_hash=item.prompt_hash, options=options, metrics=_outcomes(values, metrics))


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
        value = values.get(metric)
        if isinstance(value, numbers.Real):
            found[metric] = outcome(float(value))
        else:
            found[metric] = Failed(stage="score", error=f"lm-eval gave {value!r:.60} for {metric}")
    return found
