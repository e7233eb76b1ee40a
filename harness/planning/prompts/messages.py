"""Prompts of the short forms: a template's text, or chat messages through the model's chat template.

Messages are {role, content}, or {from, value} with their own names of the speakers (ShareGPT).

Refuses a conversation that ends with the assistant's turn (the answer would be in its own prompt), content that is not
text, and a template that reads no field of the row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from harness.datafiles.rows import Row, problem
from harness.datafiles.values import Value
from harness.errors import EngineError
from harness.planning.prompts.answers import value
from harness.planning.prompts.templates import names_read, render
from harness.planning.tokens import Tokenizer
from harness.suite.task_model import Choice, Generate

ANSWERING = frozenset(("assistant", "model", "gpt", "bot", "chatgpt", "ai"))
"""Names of the speaker whose answer is requested, in lower case."""
SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}
"""What ShareGPT's `from` is called as a role; any other name is a role."""
MANY = 0.1
"""Share of items with another's prompt from which that is reported."""
ALL = 10
"""Items from which they are refused if all have the same prompt."""
Turn = dict[str, Any]
"""A message as the chat template gets it: role and content as strings, anything else as in the row."""


def prompt_of(spec: Choice | Generate, row: Row, key: str, tokenizer: Tokenizer) -> str:
    """The prompt's text; chat messages go through the model's chat template. Raises `SuiteError`."""
    if spec.messages is None:
        return render(spec.prompt or "", row, f"{key}.prompt")
    where = f"{key}.messages"
    messages = value(spec.messages, row, where)
    if isinstance(messages, str):
        if re.match(r"\s*\[\s*\{\s*[\"'](role|from|content|value)[\"']", messages):
            message = (
                "expected a list of messages, got one written as a string: store it as a list, in JSONL or Parquet, or "
                "write it as one expression: {{ [{'role': 'user', 'content': field}] }}"
            )
            raise problem(row.place, where, message)
        messages = [{"role": "user", "content": messages}]
    return _chat(_turns(messages, row, where), row, where, tokenizer)


def _turns(messages: Value, row: Row, where: str) -> list[Turn]:
    if not isinstance(messages, list | tuple) or not messages:
        raise problem(row.place, where, _shape(messages))
    turns = [_turn(each, row, f"{where}[{number}]") for number, each in enumerate(messages)]
    if turns[-1]["role"].strip().lower() in ANSWERING:
        message = (
            "the last turn is the assistant's, so the prompt would hold an answer; leave it out of the messages: "
            "{{ field[:-1] }}"
        )
        raise problem(row.place, where, message)
    return turns


def _turn(each: Value, row: Row, where: str) -> Turn:
    if isinstance(each, Mapping) and isinstance(each.get("from"), str) and each.get("role") is None:
        others = {name: kept for name, kept in each.items() if name not in ("from", "value", "role", "content")}
        speaker = SPEAKERS.get(each["from"].strip().lower(), each["from"])
        each = {"role": speaker, "content": each.get("value"), **others}
    if not isinstance(each, Mapping) or not isinstance(each.get("role"), str):
        raise problem(row.place, where, _shape(each))
    content = each.get("content")
    if content is None and each.get("tool_calls"):
        content = ""
    if isinstance(content, list | tuple):
        content = _joined(content, row, where)
    if not isinstance(content, str):
        raise problem(row.place, where, _shape(each))
    return {**{name: kept for name, kept in each.items() if kept is not None}, "content": content}


def _joined(parts: Sequence[Value], row: Row, where: str) -> str:
    """Content parts that are all text, one to a line."""
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
        found = part.get("text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(found, str):
            raise problem(
                row.place, where, f"expected content parts of the type text, got one of the type {kind!s:.40}"
            )
        texts.append(found)
    return "\n".join(texts)


def _shape(got: Value) -> str:
    expected = "{role, content}" if isinstance(got, Mapping) else "a list of {role, content}"
    return f"expected {expected} with text in both, got {got!r:.80}"


def _chat(turns: list[Turn], row: Row, where: str, tokenizer: Tokenizer) -> str:
    try:
        return tokenizer.chat(turns)
    except EngineError:
        raise
    except Exception as error:  # the template is the model's own code
        raise problem(row.place, where, f"the chat template refused: {error}") from error


def check_reads(spec: Choice | Generate, rows: Sequence[Row], key: str, shown: str) -> None:
    """Templates that were meant to read a field of the row but read none. Raises `SuiteError`."""
    fields = frozenset(name for row in rows for name in row.fields)
    _check_prompt(spec, rows, fields, key, shown)
    plain = [("answer", spec.answer)] if isinstance(spec.answer, str) else []
    if isinstance(spec, Choice) and not isinstance(spec.choices, str):
        plain += [(f"choices[{number}]", option) for number, option in enumerate(spec.choices)]
    for name, template in plain:
        found = _in_single(template, fields)
        if isinstance(spec, Generate) and template.strip() in fields:
            found.append(template.strip())
        if found and not _asks(template):
            message = f"{template!r:.60} is plain text here: write {{{{{found[0]}}}}} for the field {found[0]!r}"
            raise problem(shown, f"{key}.{name}", message)


def _in_single(template: str, fields: frozenset[str]) -> list[str]:
    """Fields in single braces, as templates of other tools have them."""
    return [found for found in re.findall(r"(?<!\{)\{\s*([\w.]+)\s*\}(?!\})", template) if found in fields]


def _check_prompt(spec: Choice | Generate, rows: Sequence[Row], fields: frozenset[str], key: str, shown: str) -> None:
    """Refuses a prompt that is the same for every item. Raises `SuiteError`.

    A choice may have it where the options are the row's own, as in pairs of sentences.
    """
    name = "prompt" if spec.messages is None else "messages"
    template = (spec.prompt if spec.messages is None else spec.messages) or ""
    if _asks(template):
        return
    single = _in_single(template, fields)
    options = spec.choices if isinstance(spec, Choice) else ()
    varied = isinstance(options, str) or any(map(_asks, options))
    if single:
        message = f"{{{single[0]}}} is plain text here: write {{{{{single[0]}}}}} for the field {single[0]!r}"
    elif varied:
        return
    else:
        some = ", ".join(f"{{{{{field}}}}}" for field in list(rows[0].fields)[:4])
        message = f"the template reads no field of the row, so that every item has the same prompt; the row has {some}"
    raise problem(shown, f"{key}.{name}", message)


def asked_alike(docs: Sequence[Mapping[str, Any]], key: str, shown: str) -> tuple[str, ...]:
    """The note where many items have the same prompt and options. Raises `SuiteError` where all have."""
    different = len({(doc["prompt_"], *doc.get("choices_", ())) for doc in docs})
    if different == 1 and len(docs) >= ALL:
        message = (
            f"all {len(docs):,} items have the same prompt, {docs[0]['prompt_']!r:.60}: name the field that differs"
        )
        raise problem(shown, f"{key}.prompt", message)
    again = len(docs) - different
    said = f"{again:,} of {len(docs):,} items have the prompt of an item before them"
    return (said,) if again >= MANY * len(docs) else ()


def _asks(template: str) -> bool:
    """Whether it asks for any name; one that is missing, or a broken template, is reported with its row."""
    try:
        return bool(names_read(template))
    except (jinja2.TemplateSyntaxError, RecursionError):
        return True
