"""Options, right answers and references of the short forms, from rows.

Owns what `answer` means. For `choice` it is the option's text or its index, one of the two for the whole task; for
`generate` it is a text, or a list of strings, each of which is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.datafiles.rows import Row, field_of, problem
from harness.datafiles.values import NotTextError, Value, text_of
from harness.errors import Problem, SuiteError
from harness.metrics.row import Strictness, TextScore
from harness.metrics.table import computed_by
from harness.metrics.words import vanishes
from harness.planning.prompts.templates import render, text, value_of
from harness.suite.task_model import Choice, Generate

INDEX = re.compile(r"\s*([0-9]{1,9})\s*")
Meaning = Literal["text", "index"]
SAID = {"text": "the option's text", "index": "the option's index, from 0"}
LETTER = re.compile(r"\(?[A-Ha-h][).]?")
FEW = 20
"""Items from which a note says that none has the index 0."""


def value(template: str, row: Row, key: str) -> Value:
    """A template's value: a field as it is in the row, `{{choices.text}}`, or the rendered text."""
    inner = template.strip()
    if inner.startswith("{{") and inner.endswith("}}") and inner[2:-2].strip().isidentifier():
        return field_of(row, inner[2:-2].strip(), key)
    return value_of(template, row, key)


def options_of(spec: Choice, row: Row, key: str) -> tuple[str, ...]:
    """The row's options as strings. Raises `SuiteError` for fewer than two, equal or empty ones."""
    where = f"{key}.choices"
    if not isinstance(spec.choices, str):
        options: Value = [render(option, row, where) if "{{" in option else option for option in spec.choices]
    elif "{{" in spec.choices:
        options = value(spec.choices, row, where)
    else:
        options = field_of(row, spec.choices, where)
    if isinstance(options, Mapping):
        hint = "{{ field.values() | list }} gives its values"
        raise problem(row.place, where, f"expected a list of strings, got a mapping with {', '.join(options)}; {hint}")
    if not isinstance(options, list | tuple):
        raise problem(row.place, where, f"expected a list of strings, got {options!r:.80}")
    texts = tuple(text(option, row, f"{where}[{number}]") for number, option in enumerate(options))
    if len(texts) < 2:
        raise problem(row.place, where, f"expected at least two options, got {len(texts)}")
    if len(set(texts)) != len(texts) or not all(texts):
        raise problem(row.place, where, f"expected options that differ and are not empty, got {list(texts)!r:.80}")
    return texts


@dataclass(frozen=True, kw_only=True)
class Offered:
    """One row's options and its answer in both readings; None where the answer has no such reading."""

    row: Row
    options: tuple[str, ...]
    answer: Value
    by_text: int | None
    by_index: int | None

    def read(self, meaning: Meaning) -> int | None:
        return self.by_text if meaning == "text" else self.by_index


def offered(spec: Choice, row: Row, key: str) -> Offered:
    """Raises `SuiteError` for options that do not fit, or an answer that no template gives."""
    options = options_of(spec, row, key)
    answer = spec.answer if isinstance(spec.answer, int) else value(spec.answer, row, f"{key}.answer")
    try:
        written = text_of(answer)
    except NotTextError:
        return Offered(row=row, options=options, answer=answer, by_text=None, by_index=None)
    found = INDEX.fullmatch(written)
    return Offered(
        row=row,
        options=options,
        answer=answer,
        by_text=options.index(written) if written in options else None,
        by_index=int(found[1]) if found is not None and int(found[1]) < len(options) else None,
    )


def meaning_of(spec: Choice, rows: Sequence[Offered], key: str) -> Meaning:
    """Whether `answer` gives the option's text or its index, the same for every row. Raises `SuiteError`.

    The values decide, never the type a format gives them, so that a CSV and a JSONL file of the same data are read
    alike. Where both readings fit every row and differ, the suite must say which.
    """
    meaning = _fixed(spec) or _fitting(rows, key)
    wrong = [each for each in rows if each.read(meaning) is None]
    if wrong:
        others = f"; the other rows give {SAID[meaning]}" if 2 * len(wrong) < len(rows) else ""
        said = spec.answer_is is not None
        raise SuiteError(tuple(_misfit(each, meaning, key, others=others, said=said) for each in wrong[:20]))
    return meaning


def said_of(rows: Sequence[Offered], meaning: Meaning) -> str:
    """What `answer` means, as a note; indices that are never 0 may count from 1."""
    none = meaning == "index" and len(rows) >= FEW and not any(each.by_index == 0 for each in rows)
    counted = "; no item has the index 0: where they count from 1, write {{ field | int - 1 }}" if none else ""
    return f"answer: {SAID[meaning]}{counted}"


def right_option(found: Offered, meaning: Meaning, key: str) -> int:
    """The row's right option. Raises `SuiteError` where the answer is not an option under the task's reading."""
    index = found.read(meaning)
    if index is None:
        raise SuiteError((_misfit(found, meaning, key, others="", said=True),))
    return index


def _fixed(spec: Choice) -> Meaning | None:
    return spec.answer_is or ("index" if isinstance(spec.answer, int) else None)


def _fitting(rows: Sequence[Offered], key: str) -> Meaning:
    texts = sum(each.by_text is not None for each in rows)
    indices = sum(each.by_index is not None for each in rows)
    if texts == indices == len(rows):
        for each in rows:
            if each.by_text != each.by_index:
                assert each.by_text is not None
                assert each.by_index is not None
                message = (
                    f"{each.answer!s} is the text of option {each.by_text} and the index of option "
                    f"{each.options[each.by_index]!r:.40} (counted from 0): write answer_is: text or answer_is: index"
                )
                raise problem(each.row.place, f"{key}.answer", message)
    return "text" if texts >= indices else "index"


def _misfit(each: Offered, meaning: Meaning, key: str, *, others: str, said: bool) -> Problem:
    shown = f"one of {list(each.options)!r:.120}"
    if said or others:
        expected = shown if meaning == "text" else f"{shown} by its index from 0 to {len(each.options) - 1}"
    else:
        expected = f"{shown} or an index from 0"
    message = f"expected {expected}, got {each.answer!r:.60}{others}"
    if isinstance(each.answer, bool):
        message += "; write which option it is: {{ 'yes' if field else 'no' }}"
    elif str(each.answer).strip() in each.options:
        message += "; there are spaces around it: {{ field.strip() }}"
    elif str(each.answer).strip() == str(len(each.options)):
        message += "; where they count from 1: {{ field | int - 1 }}"
    elif LETTER.fullmatch(str(each.answer).strip()):
        message += "; the index of a letter: {{ 'ABCD'.index(field) }}"
    return Problem(place=each.row.place, key=f"{key}.answer", message=message)


def references_of(spec: Generate, row: Row, key: str) -> tuple[str, ...]:
    """The accepted answers of a row, without the spaces around them. Raises `SuiteError`.

    lm-eval's regex filter strips the model's answer; both sides must be alike.
    """
    if spec.answer is None:
        return ()
    where = f"{key}.answer"
    found = value(spec.answer, row, where)
    if isinstance(found, list | tuple):
        if not found:
            raise problem(row.place, where, "expected at least one reference answer, got an empty list")
        several = [text(each, row, f"{where}[{number}]").strip() for number, each in enumerate(found)]
    else:
        several = [text(found, row, where).strip()]
    for each in several:
        if not each:
            raise problem(row.place, where, "expected a reference answer, got an empty string")
        _check_left(spec, each, row, where)
    return tuple(dict.fromkeys(several))


def strictness_of(spec: Generate) -> Strictness:
    """How the task compares texts."""
    return Strictness(ignore_case=spec.ignore_case, ignore_punctuation=spec.ignore_punctuation)


def _check_left(spec: Generate, reference: str, row: Row, where: str) -> None:
    metrics = (spec.metric,) if isinstance(spec.metric, str) else spec.metric
    known, strictness = computed_by(TextScore), strictness_of(spec)
    for name in metrics:
        reads = known[name].reads if name in known else None
        if reads is not None and not reads(reference):
            message = f"the reference {reference!r:.60} has none of what {name} compares: {known[name].read}"
            raise problem(row.place, where, f"{message}; every answer would score 0")
    by_words = [name for name in metrics if name in known and known[name].by_words(strictness)]
    if by_words and vanishes(reference):
        always = [name for name in by_words if known[name].by_words(Strictness())]
        what = always[0] if always else f"{by_words[0]} with ignore_punctuation"
        message = f"the reference {reference!r:.60} is punctuation only, which {what} leaves out"
        raise problem(row.place, where, f"{message}: nothing is left; use exact_match without ignore_punctuation")


def shown_references(references: Sequence[str]) -> str:
    """Several accepted answers as one string for display."""
    return " | ".join(references)
