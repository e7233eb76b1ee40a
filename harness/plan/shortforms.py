"""The suite's short forms `choice` and `generate` as lm-eval tasks over rows we read ourselves.

Prompts, options and answers are rendered here, field by field, so that a mistake is named with its line; few-shot
context, requests, filters and metrics are lm-eval's.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import EngineError
from harness.plan.rows import Row, field_of, item_ids, problem, read_rows
from harness.plan.tokens import Tokenizer
from harness.spec.load import LoadedSuite
from harness.spec.models import Choice, Generate
from harness.spec.places import resolve_file

TEXT_METRICS = ("exact_match", "contains", "f1")
WHOLE_ANSWER = "(?s)(.*)"
"""Takes the whole answer; lm-eval's regex filter strips it."""


@dataclass(frozen=True, kw_only=True)
class Docs:
    """A task's items as lm-eval documents, beside the rows they came from."""

    task: Any
    """The lm-eval task."""
    docs: tuple[Mapping[str, Any], ...]
    rows: tuple[Mapping[str, object], ...]
    ids: tuple[str, ...]
    places: tuple[str, ...]
    """Where each document stands, for messages: `data/intents.jsonl:17`."""
    num_few_shot: int
    text_metrics: tuple[str, ...] = ()
    """The metrics of the `generate` short form, in the order asked for."""
    definition: str = ""
    """Hash of the code and configuration behind a task of the suite's own, which no version number covers."""


def quiet_lm_eval() -> None:
    """lm-eval logs what it guesses; everything here is said explicitly."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


def render(template: str, row: Row, key: str) -> str:
    """A Jinja template over the row's fields, by lm-eval's own environment. Raises `SuiteError` with the place."""
    import jinja2
    from lm_eval.utils import apply_template

    try:
        return str(apply_template(template, dict(row.fields)))
    except jinja2.TemplateSyntaxError as error:
        raise problem(row.place, key, f"the template is broken: {error.message}") from error
    except jinja2.TemplateError as error:
        fields = ", ".join(map(repr, row.fields))
        raise problem(row.place, key, f"{error.message}; the row has {fields}") from error


def named_field(template: str) -> str | None:
    """`{{options}}` names the field `options`; anything else is a template."""
    inner = template.strip()
    if inner.startswith("{{") and inner.endswith("}}") and inner[2:-2].strip().isidentifier():
        return inner[2:-2].strip()
    return None


def choice_docs(loaded: LoadedSuite, name: str, spec: Choice, id_field: str | None, tokenizer: Tokenizer) -> Docs:
    """A multiple-choice task. Raises `SuiteError` for rows that do not fit."""
    key = f"tasks.{name}.choice"
    rows = read_rows(resolve_file(loaded, spec.data), spec.data, f"{key}.data")
    docs = [_choice_doc(spec, row, key, tokenizer) for row in rows]
    shots = _few_shot(loaded, spec, key)
    samples = [_choice_doc(spec, row, key, tokenizer) for row in shots]
    config = {
        **_common(name, docs, samples, spec.num_few_shot),
        "output_type": "multiple_choice",
        "doc_to_choice": "choices_",
        "target_delimiter": "" if spec.messages is not None else spec.delimiter,
        "metric_list": [
            {"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ("acc", "acc_norm")
        ],
    }
    return Docs(
        task=_configurable(config),
        docs=tuple(docs),
        rows=tuple(row.fields for row in rows),
        ids=item_ids(rows, id_field, f"tasks.{name}.id"),
        places=tuple(row.place for row in rows),
        num_few_shot=spec.num_few_shot,
    )


def generate_docs(loaded: LoadedSuite, name: str, spec: Generate, id_field: str | None, tokenizer: Tokenizer) -> Docs:
    """A generation task. Raises `SuiteError` for rows that do not fit or a metric there is not."""
    key = f"tasks.{name}.generate"
    metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
    for metric in metrics:
        if metric not in TEXT_METRICS:
            raise problem(
                loaded.shown,
                f"{key}.metric",
                f"expected one of {', '.join(TEXT_METRICS)}, got {metric!r}",
            )
    _check_regex(loaded, spec, key)
    rows = read_rows(resolve_file(loaded, spec.data), spec.data, f"{key}.data")
    docs = [_generate_doc(spec, row, key, tokenizer) for row in rows]
    shots = _few_shot(loaded, spec, key)
    samples = [_generate_doc(spec, row, key, tokenizer) for row in shots]
    pattern = {"function": "regex", "regex_pattern": spec.regex or WHOLE_ANSWER, "fallback": ""}
    config = {
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
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": spec.ignore_case,
                "ignore_punctuation": spec.ignore_punctuation,
            }
        ],
    }
    return Docs(
        task=_configurable(config),
        docs=tuple(docs),
        rows=tuple(row.fields for row in rows),
        ids=item_ids(rows, id_field, f"tasks.{name}.id"),
        places=tuple(row.place for row in rows),
        num_few_shot=spec.num_few_shot,
        text_metrics=metrics,
    )


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
        config["fewshot_config"] = {"sampler": "first_n", "samples": list(samples)}
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
        message = "expected no num_few_shot beside messages: put the examples into the messages as turns"
        raise problem(loaded.shown, f"{key}.num_few_shot", message)
    if path is None:
        raise problem(loaded.shown, f"{key}.few_shot", f"num_few_shot is {count}: expected a file of examples")
    rows = read_rows(resolve_file(loaded, path), path, f"{key}.few_shot")
    if len(rows) < count:
        raise problem(path, f"{key}.few_shot", f"expected at least {count} examples, the file has {len(rows)}")
    return rows[:count]


def _prompt(spec: Choice | Generate, row: Row, key: str, tokenizer: Tokenizer) -> str:
    """The prompt's text; chat messages go through the model's chat template."""
    if spec.messages is None:
        return render(spec.prompt or "", row, f"{key}.prompt")
    name = named_field(spec.messages)
    if name is None:
        return _chat([{"role": "user", "content": render(spec.messages, row, f"{key}.messages")}], row, key, tokenizer)
    messages = field_of(row, name, f"{key}.messages")
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    fits = isinstance(messages, list) and all(
        isinstance(each, Mapping) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)
        for each in messages
    )
    if not fits or not messages:
        raise problem(
            row.place,
            f"{key}.messages",
            "expected a list of {role, content} with text in both, got " + repr(messages)[:80],
        )
    return _chat(list(messages), row, key, tokenizer)  # type: ignore[call-overload]  # shape checked above


def _chat(messages: list[Any], row: Row, key: str, tokenizer: Tokenizer) -> str:
    try:
        return tokenizer.chat(messages)
    except EngineError:
        raise
    except Exception as error:  # the template is the model's own code
        raise problem(row.place, f"{key}.messages", f"the chat template refused: {error}") from error


def _choice_doc(spec: Choice, row: Row, key: str, tokenizer: Tokenizer) -> dict[str, Any]:
    options = _options(spec, row, key)
    answer = _answer_index(spec, row, options, key)
    return {"prompt_": _prompt(spec, row, key, tokenizer), "choices_": options, "answer_": answer}


def _options(spec: Choice, row: Row, key: str) -> list[str]:
    where = f"{key}.choices"
    if not isinstance(spec.choices, str):
        options: object = [render(option, row, where) if "{{" in option else option for option in spec.choices]
    else:
        name = named_field(spec.choices)
        options = field_of(row, name or spec.choices, where)
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise problem(row.place, where, f"expected a list of texts, got {options!r:.80}")
    if len(options) < 2:
        raise problem(row.place, where, f"expected at least two options, got {len(options)}")
    if len(set(options)) != len(options) or not all(options):
        raise problem(row.place, where, f"expected options that differ and are not empty, got {options!r:.80}")
    return list(options)


def _answer_index(spec: Choice, row: Row, options: Sequence[str], key: str) -> int:
    """Index of the right option: from its text, or from a number when that is not itself an option."""
    where = f"{key}.answer"
    if isinstance(spec.answer, int):
        answer: object = spec.answer
    else:
        name = named_field(spec.answer)
        answer = field_of(row, name, where) if name is not None else render(spec.answer, row, where)
    if isinstance(answer, str) and answer in options:
        return list(options).index(answer)
    if isinstance(answer, str) and answer.strip().isdigit():
        answer = int(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    raise problem(row.place, where, f"expected one of {list(options)!r:.120} or an index from 0, got {answer!r:.60}")


def _generate_doc(spec: Generate, row: Row, key: str, tokenizer: Tokenizer) -> dict[str, Any]:
    name = named_field(spec.answer)
    answer = str(field_of(row, name, f"{key}.answer")) if name else render(spec.answer, row, f"{key}.answer")
    answer = answer.strip()  # lm-eval's regex filter strips the model's answer; both sides must be alike
    if not answer:
        raise problem(row.place, f"{key}.answer", "expected a reference answer, got an empty text")
    return {"prompt_": _prompt(spec, row, key, tokenizer), "answer_": answer}
