"""The suite's short forms `choice` and `generate` as lm-eval tasks over rows we read ourselves.

Prompts, options and answers are rendered here, field by field, so that a mistake is named with its line; few-shot
context, requests, filters and metrics are lm-eval's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from harness.datafiles.rows import Row, Table, item_ids, named_id, problem, read_rows, read_table
from harness.datafiles.values import is_missing
from harness.metrics.answers import EXACT_MATCH
from harness.metrics.repeats import over_answers
from harness.metrics.row import OptionScore
from harness.metrics.table import computed_by
from harness.planning.measures.answered import Answered, Measure, Measures
from harness.planning.measures.chosen import chosen_measures
from harness.planning.prompts.answers import (
    Offered,
    meaning_of,
    offered,
    references_of,
    right_option,
    said_of,
)
from harness.planning.prompts.few_shot import Apart, Doc, Lazily, keep_apart
from harness.planning.prompts.messages import asked_alike, check_reads, prompt_of
from harness.planning.prompts.templates import sandbox_lm_eval
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file
from harness.suite.task_model import Choice, Generate

WHOLE_ANSWER = "(?s)(.*)"
"""Takes the whole answer; lm-eval's regex filter strips it."""
WITHOUT = "answer: none, so nothing says which answers are right; they are compared with the baseline's alone"
VOTING = frozenset({"majority_vote", "take_first_k"})
"""lm-eval's filters that look at several answers to an item."""
WORDS = 2
"""Version of the word comparison; evaluations scored by another version are not reused."""


@dataclass(frozen=True, kw_only=True)
class Docs:
    """A task's items as lm-eval documents, beside the rows they came from."""

    task: Any
    """The lm-eval task."""
    docs: tuple[Mapping[str, Any], ...]
    rows: tuple[Mapping[str, object], ...]
    ids: tuple[str, ...]
    places: tuple[str, ...]
    """The location of each document, for messages: `data/intents.jsonl:17`."""
    num_few_shot: int
    measures: Mapping[str, Measure] | None = None
    """The metrics of the `generate` short form, in the order asked for; None for another task."""
    lower_is_better: frozenset[str] = frozenset()
    """Those of them of which less is better."""
    whole: tuple[str, ...] = ()
    """Metrics of the whole of the `generate` short form."""
    scored_by: Mapping[str, object] = field(default_factory=dict)
    """What determines a score of these besides lm-eval's configuration."""
    definition: str = ""
    """Hash of the code and configuration behind a task of the suite's own, which no version number covers."""
    said: tuple[str, ...] = ()
    """A description of how the data was read: lines and rows, and what `answer` means."""
    apart: Apart | None = None
    """The sampler that keeps items out of their own examples."""

    def votes(self, pipeline: Any) -> bool:
        """Whether one of lm-eval's filters looks at several answers to an item."""
        listed = {each["name"]: each["filter"] for each in self.task.config.filter_list or ()}
        return any(step["function"] in VOTING for step in listed.get(pipeline.name, ()))

    def references(self, doc: Mapping[str, Any]) -> tuple[str, ...]:
        """Every accepted answer of a document of the `generate` short form."""
        return tuple(doc["references_"])

    @cached_property
    def row_of(self) -> Mapping[str, Mapping[str, object]]:
        """An item's id to its row."""
        return dict(zip(self.ids, self.rows, strict=True))


def quiet_lm_eval() -> None:
    """lm-eval logs its guesses; everything is explicit here. Its templates get a sandbox."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    sandbox_lm_eval()


def choice_docs(loaded: LoadedSuite, name: str, spec: Choice, id_field: str | None, tokenizer: Tokenizer) -> Docs:
    """A multiple-choice task. Raises `SuiteError` for rows that do not fit."""
    key = f"tasks.{name}.choice"
    table = read_table(resolve_file(loaded, spec.data), spec.data, f"{key}.data")
    shots = _few_shot(loaded, spec, key)
    check_reads(spec, table.rows, key, loaded.shown)
    rows = [offered(spec, row, key) for row in table.rows]
    meaning = meaning_of(spec, [*rows, *(offered(spec, row, key) for row in shots[: spec.num_few_shot])], key)

    def made(found: Offered) -> dict[str, Any]:
        return {
            "prompt_": prompt_of(spec, found.row, key, tokenizer),
            "choices_": list(found.options),
            "answer_": right_option(found, meaning, key),
            **_named(found.row, id_field, key),
        }

    docs = [made(each) for each in rows]
    samples = Lazily(shots, lambda row: made(offered(spec, row, key)))
    config = {
        **_common(name, docs, samples, spec.num_few_shot),
        "output_type": "multiple_choice",
        "doc_to_choice": "choices_",
        "target_delimiter": "" if spec.messages is not None else spec.delimiter,
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in computed_by(OptionScore)
        ],
    }
    return _table_docs(
        _configurable(config),
        docs,
        table,
        samples,
        spec,
        key,
        id_field,
        said=(_read_words(spec, table), said_of(rows, meaning), *asked_alike(docs, key, loaded.shown)),
    )


def generate_docs(loaded: LoadedSuite, name: str, spec: Generate, id_field: str | None, tokenizer: Tokenizer) -> Docs:
    """A generation task. Raises `SuiteError` for rows that do not fit or an unknown metric."""
    key = f"tasks.{name}.generate"
    _check_regex(loaded, spec, key)
    table = read_table(resolve_file(loaded, spec.data), spec.data, f"{key}.data")
    shots = _few_shot(loaded, spec, key)
    check_reads(spec, table.rows, key, loaded.shown)

    def made(row: Row) -> dict[str, Any]:
        references = references_of(spec, row, key)
        prompt = prompt_of(spec, row, key, tokenizer)
        named = _named(row, id_field, key)
        answer = references[0] if references else ""
        return {"prompt_": prompt, "answer_": answer, "references_": list(references), **named}

    docs = [made(row) for row in table.rows]
    samples = Lazily(shots, made)
    several = sum(len(doc["references_"]) > 1 for doc in docs)
    counted = f"answer: any of several references counts for {several:,} of {len(docs):,} items"
    said = (
        _read_words(spec, table),
        *([counted] if several else []),
        *([WITHOUT] if spec.answer is None and not spec.metric else []),
        *asked_alike(docs, key, loaded.shown),
    )
    task = _configurable(_generate_config(name, docs, samples, spec))
    made_docs = _table_docs(task, docs, table, samples, spec, key, id_field, said=said)
    first = Answered(answer=docs[0]["answer_"], references=tuple(docs[0]["references_"]), row=table.rows[0].fields)
    asked = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
    names = [name for name in asked if over_answers(name) is None]
    found = chosen_measures(loaded, spec, names, first, key)
    return replace(
        made_docs,
        measures=found.by_name,
        lower_is_better=found.lower_is_better,
        whole=found.whole,
        scored_by=_scored_by(spec, docs, found),
    )


def _table_docs(
    task: Any,
    docs: Sequence[dict[str, Any]],
    table: Table,
    samples: Sequence[Doc],
    spec: Choice | Generate,
    key: str,
    id_field: str | None,
    *,
    said: tuple[str, ...],
) -> Docs:
    return Docs(
        task=task,
        docs=tuple(docs),
        rows=tuple(row.fields for row in table.rows),
        ids=item_ids(table.rows, id_field, f"{key.rpartition('.')[0]}.id"),
        places=tuple(row.place for row in table.rows),
        num_few_shot=spec.num_few_shot,
        said=said,
        apart=_apart(task, samples, spec, key),
    )


def _generate_config(
    name: str, docs: Sequence[dict[str, Any]], samples: Sequence[Doc], spec: Generate
) -> dict[str, Any]:
    pattern = {"function": "regex", "regex_pattern": spec.regex or WHOLE_ANSWER, "fallback": ""}
    return {
        **_common(name, docs, samples, spec.num_few_shot),
        "output_type": "generate_until",
        "target_delimiter": " ",
        "generation_kwargs": {
            "until": list(spec.until),
            "max_gen_toks": spec.max_new_tokens,
            "do_sample": False,
            "temperature": 0.0,
        },
        "filter_list": [{"name": "none", "filter": [pattern, {"function": "take_first"}]}],
        "metric_list": [
            {
                "metric": EXACT_MATCH.name,
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": spec.ignore_case,
                "ignore_punctuation": spec.ignore_punctuation,
            }
        ],
    }


def _scored_by(spec: Generate, docs: Sequence[Mapping[str, Any]], measures: Measures) -> dict[str, object]:
    """Nothing for plain equality with one reference, so that such tasks keep their hash."""
    found: dict[str, object] = dict(measures.facts)
    if not measures.by_name:
        return found
    if spec.ignore_case or spec.ignore_punctuation or set(measures.by_name) != {EXACT_MATCH.name}:
        found["words"] = WORDS
    if any(len(doc["references_"]) > 1 for doc in docs):
        found["references"] = [doc["references_"] for doc in docs]
    return found


def _read_words(spec: Choice | Generate, table: Table) -> str:
    return f"{spec.data}: {table.said}"


def _named(row: Row, id_field: str | None, key: str) -> dict[str, str]:
    """The row's own id where it has one: an example may have none."""
    if id_field is None or is_missing(row.fields.get(id_field)):
        return {"id_": ""}
    return {"id_": named_id(row, id_field, f"{key.rpartition('.')[0]}.id")}


def _apart(task: Any, samples: Sequence[Doc], spec: Choice | Generate, key: str) -> Apart | None:
    """Examples in the file's order, without the item: the same question, or the same id where others are left."""
    if not spec.num_few_shot:
        return None
    task.sampler.df = samples
    asks = ("prompt_", "choices_") if isinstance(spec, Choice) else ("prompt_",)
    spare = len(samples) > spec.num_few_shot

    def same(one: Doc, other: Doc) -> bool:
        return all(one[each] == other[each] for each in asks) or (spare and one["id_"] == other["id_"] != "")

    return keep_apart(task, place=spec.few_shot or "", key=f"{key}.few_shot", same=same)


def _common(name: str, docs: Sequence[Any], samples: Sequence[Any], shots: int) -> dict[str, Any]:
    import datasets

    def dataset(**_: object) -> dict[str, Any]:
        return {"test": datasets.Dataset.from_list(list(docs))}

    config: dict[str, Any] = {
        "task": name,
        "custom_dataset": dataset,
        "test_split": "test",
        "doc_to_text": "prompt_",
        "doc_to_target": "answer_",
        "num_fewshot": shots,
    }
    if shots:
        config["fewshot_config"] = {"sampler": "first_n", "samples": list(samples[:shots])}
    return config


def _configurable(config: dict[str, Any]) -> Any:
    from lm_eval.api.task import ConfigurableTask

    quiet_lm_eval()
    return ConfigurableTask(config=config)


def _check_regex(loaded: LoadedSuite, spec: Generate, key: str) -> None:
    if spec.regex is None:
        return
    try:
        re.compile(spec.regex)
    except re.error as error:
        raise problem(loaded.shown, f"{key}.regex", f"not a regular expression: {error}") from error


def _few_shot(loaded: LoadedSuite, spec: Choice | Generate, key: str) -> tuple[Row, ...]:
    path, count = spec.few_shot, spec.num_few_shot
    if count == 0:
        return ()
    if spec.messages is not None:
        message = "num_few_shot cannot be combined with messages: put the examples into the messages as turns"
        raise problem(loaded.shown, f"{key}.num_few_shot", message)
    if path is None:
        raise problem(loaded.shown, f"{key}.few_shot", f"num_few_shot is {count}: expected a file of examples")
    rows = read_rows(resolve_file(loaded, path), path, f"{key}.few_shot")
    if len(rows) < count:
        raise problem(path, f"{key}.few_shot", f"expected at least {count} examples, the file has {len(rows)}")
    return rows
