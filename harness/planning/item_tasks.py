"""Tasks of options or of generated answers: lm-eval's contexts, requests, filters and metrics around our token ids.

Notes on a task's prompts and answers: where they differ from lm-eval's, and what makes them vary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.datafiles.rows import file_hash, problem
from harness.engines.protocol import GenerateRequest, ScoreRequest, Window
from harness.planning.clock_dependence import Watching, unsteady
from harness.planning.labels import Labels, labels_of
from harness.planning.leaks import find_leak
from harness.planning.prompts.answers import shown_references
from harness.planning.prompts.short_forms import Docs
from harness.planning.repeats import Several, asked_several_times, drawn, sampling_facts, several_of
from harness.planning.requests import ItemRequests, ask_documents
from harness.planning.scoring import PairableMetrics, pairable_metrics, record_of
from harness.planning.shared_prefixes import root_prefix_lengths, shared_prefix_lengths
from harness.planning.task_decoding import rule_facts, under
from harness.planning.task_input import TaskInput
from harness.planning.task_plan import Answer, Request, TaskPlan, prompt_hash, sample
from harness.records.items import ItemRecord, PlannedItem
from harness.suite.locations import resolve_file

SHOWN = 20_000
"""Characters of a prompt that are stored for display."""


def plan_item_task(given: TaskInput, docs: Docs, watching: Watching) -> TaskPlan:
    """Plan a task of options or generated answers. Raises `SuiteError` for data or metrics that do not fit."""
    loaded, name, task = given.loaded, given.name, given.task
    labels = labels_of(name, task, docs.rows, docs.places)
    chosen = sample(len(docs.docs), given.limit, loaded.suite.seed, name)
    spec, chat = task.choice or task.generate, task.apply_chat_template
    templated = chat or (spec is not None and spec.messages is not None)
    asked = ask_documents(name, docs, chosen, watching, given.context_length, chat=chat, templated=templated)
    several = several_of(task, docs.task)
    asked = [drawn(loaded, name, under(loaded, name, each, given.decoding), several) for each in asked]
    if not asked:
        raise problem(loaded.shown, f"tasks.{name}", "expected at least one item, the task has none")
    if all(each.too_long is not None for each in asked):
        message = f"none of its {len(asked)} items fits the model: the first {asked[0].too_long}"
        raise problem(loaded.shown, f"tasks.{name}", message)
    for position in chosen:
        _check_target(name, docs, position)
    metrics = pairable_metrics(loaded.shown, name, docs, asked[0], several)
    items = tuple(
        _item(docs, labels, position, index, each, several)
        for index, (position, each) in enumerate(zip(chosen, asked, strict=True))
    )

    def score(index: int, answers: Sequence[Answer]) -> ItemRecord:
        return record_of(docs, items[index], asked[index], answers, metrics, several)

    first = [() if each.too_long is not None else each.requests for each in asked]
    facts = {
        **rule_facts(asked[0].requests, given.tokenizer),
        **sampling_facts(asked[0].requests, several, loaded.suite.seed),
    }
    return TaskPlan(
        name=name,
        kind="generate" if docs.task.OUTPUT_TYPE == "generate_until" else "choice",
        items=items,
        requests=tuple(
            asked_several_times(each, several, seed=loaded.suite.seed, item=item.item)
            for each, item in zip(_with_shared_prefixes(first), items, strict=True)
        ),
        texts=tuple(text for each in asked for text in each.texts),
        metrics=metrics.names,
        lower_is_better=metrics.lower_is_better,
        whole=metrics.whole,
        scorer=score,
        source=f"lm-eval {task.lm_eval}" if spec is None else spec.data,
        settings=_settings(docs, metrics, facts),
        data_file=None if spec is None else spec.data,
        data_hash=None if spec is None else file_hash(resolve_file(loaded, spec.data)),
        notes=(
            *metrics.notes,
            *labels.notes,
            *_examples(name, docs),
            *notes_on(name, asked, watching, steady=not unsteady(docs, chosen[0]), repeats=several.repeats),
        ),
        said=(*docs.said, *([f"{len(items):,} of {len(docs.docs):,} items are asked"] * (len(items) < len(docs.docs)))),
        leak=None if task.reference_in_prompt else find_leak(docs, chosen, items, asked),
    )


def _check_target(name: str, docs: Docs, position: int) -> None:
    """lm-eval converts whatever its template returns to a string: null would become the answer `None`. Raises
    `SuiteError`."""
    if docs.measures is not None:
        return
    doc, place = docs.docs[position], docs.places[position]
    target = docs.task.doc_to_target(doc)
    several = target if isinstance(target, list) else [target]
    nulls = [field for field, value in doc.items() if value is None]
    wrong = next((each for each in several if each is None or isinstance(each, Mapping | bytes)), "")
    if wrong != "" or ("None" in several and nulls):
        got = "null" if wrong is None else f"a {type(wrong).__name__}" if wrong != "" else f"null ({nulls[0]})"
        raise problem(place, f"tasks.{name}", f"expected a string or an option's index as the answer, got {got}")


def _with_shared_prefixes(requests: Sequence[tuple[Request, ...]]) -> tuple[tuple[Request, ...], ...]:
    """Items' requests with the prefixes that they share."""
    prompts = [_prompt(request) for item in requests for request in item]
    prefixes = shared_prefix_lengths(prompts)
    roots = root_prefix_lengths([prompt[:prefix] for prompt, prefix in zip(prompts, prefixes, strict=True)])
    found = zip(prefixes, roots, strict=True)
    return tuple(tuple(_with_shared_prefix(request, *next(found)) for request in item) for item in requests)


def _prompt(request: Request) -> tuple[int, ...]:
    if isinstance(request, ScoreRequest):
        return request.context
    return request.prompt if isinstance(request, GenerateRequest) else request.tokens


def _with_shared_prefix(request: Request, shared: int, root_prefix: int) -> Request:
    return request if isinstance(request, Window) else replace(request, shared=shared, root_prefix=root_prefix)


def _settings(docs: Docs, metrics: PairableMetrics, rules: Mapping[str, object]) -> str:
    """What determines a score besides the token ids: lm-eval's version, filters and metrics."""
    from importlib.metadata import version

    config = docs.task.config
    facts = {
        "lm_eval": version("lm_eval"),
        "output_type": docs.task.OUTPUT_TYPE,
        "metrics": list(metrics.names),
        "metric_list": config.metric_list,
        "filters": config.filter_list,
        "targets": [str(docs.task.doc_to_target(doc)) for doc in docs.docs],
        **({"definition": docs.definition} if docs.definition else {}),
        **docs.scored_by,
        **({"whole": list(metrics.whole)} if metrics.whole else {}),
        **rules,
    }
    return json.dumps(facts, sort_keys=True, default=_named)


def _named(value: object) -> str:
    """Functions by name: their default repr holds an address, which differs in every process."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _examples(name: str, docs: Docs) -> list[str]:
    notes = []
    if docs.apart is not None and docs.apart.replaced:
        count = f"{len(docs.apart.replaced):,} item{'s' * (len(docs.apart.replaced) != 1)}"
        notes.append(f"{name}: {count} would be among the own examples; the next example is used instead")
    return notes


def _item(docs: Docs, labels: Labels, position: int, index: int, asked: ItemRequests, several: Several) -> PlannedItem:
    options, expected = _shown(docs, asked)
    return PlannedItem(
        item=docs.ids[position],
        index=index,
        prompt_hash=prompt_hash(asked.requests, repeats=several.repeats),
        prompt=str(asked.instances[0].args[0])[-SHOWN:],
        options=options,
        expected=expected,
        slices=labels.slices_of(position),
        cluster=labels.clusters[position],
        tokens=sum(map(_tokens, asked.requests)),
        too_long=asked.too_long,
    )


def _tokens(request: Request) -> int:
    if isinstance(request, ScoreRequest):
        return len(request.context) + sum(map(len, request.continuations))
    return len(request.prompt) if isinstance(request, GenerateRequest) else len(request.tokens)


def _shown(docs: Docs, asked: ItemRequests) -> tuple[tuple[str, ...], str]:
    """Options and reference answer as text, for people."""
    if docs.measures is not None:
        return (), shown_references(docs.references(asked.doc))
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


def _sampled_words(request: GenerateRequest, repeats: int) -> str:
    names = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
    given = [f"{name} {getattr(request, name):g}" for name, off in names.items() if getattr(request, name) != off]
    how = "one answer" if repeats == 1 else f"{repeats} answers"
    more = "; several answers to each (repeats) would show less chance" if repeats == 1 else ""
    return f"draws {how} to each item with {', '.join(given)}; all variants draw with the same random numbers{more}"


ESCAPES = re.compile(r"(\\[nrt])+")
"""Backslash and letter, as YAML's single quotes leave them."""


def notes_on(
    name: str, asked: Sequence[ItemRequests], watching: Watching, *, steady: bool = True, repeats: int = 1
) -> list[str]:
    """One line each, beginning with the task. `steady`: its code made the same prompt twice."""
    found = [*_on_tokens(asked, watching), *_on_answers(asked, repeats)]
    if watching.by_the_clock:
        found.append(
            "its prompts hold the time they are made at (the chat template asks for it), so that runs of two days "
            "are not of the same items"
        )
    if not steady:
        found.append("the task's code makes another prompt every time, so that no two runs are of the same items")
    return [f"{name}: {each}" for each in found]


def _on_tokens(asked: Sequence[ItemRequests], watching: Watching) -> Iterator[str]:
    if moved := [each for each in asked if each.moved]:
        yield (
            f"{_items(moved, asked)} a token spans the end of the prompt and the beginning of an option: the prompt's "
            "last characters are scored with every option of the item, or each option apart from them, where lm-eval "
            "would leave characters out"
        )
    if other := [each for each in asked if each.differs and not each.moved]:
        cause = (
            "special tokens that the tokenizer puts behind a text are left out"
            if watching.trailing
            else "a prompt that brings its special tokens gets no others"
        )
        yield f"{_items(other, asked)} the token ids are not those of lm-eval's hf model: {cause}"
    if unknown := [each for each in asked if each.unknown]:
        yield f"{_items(unknown, asked)} a prompt or an option holds text that the tokenizer does not know"


def _items(some: Sequence[ItemRequests], asked: Sequence[ItemRequests]) -> str:
    return f"in {len(some):,} of {len(asked):,} items (the first: {some[0].item})"


def _on_answers(asked: Sequence[ItemRequests], repeats: int) -> Iterator[str]:
    if ignored := sorted({setting for each in asked for setting in each.ignored}):
        yield f"generates without the task's {', '.join(ignored)}, which quantgate does not follow"
    requests = [request for each in asked for request in each.requests if isinstance(request, GenerateRequest)]
    if (first := next(iter(requests), None)) is not None and first.temperature > 0:
        yield _sampled_words(first, repeats)
    for stop in sorted({stop for request in requests for stop in request.until if ESCAPES.fullmatch(stop)}):
        yield (
            f"stops at {stop}, which is a backslash and a letter; a line break in YAML is written in double quotes: "
            f'"{stop}"'
        )
