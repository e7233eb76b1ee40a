"""Samples of an Inspect log as imported items: what was asked, what was answered, what it is worth.

A scorer's name is the metric; of a scorer that gives several numbers, `scorer.key`. C, I, P and N are 1, 0, 0.5 and 0,
yes and true 1, no and false 0, as Inspect's `value_to_float` has them; a scorer that gives other texts is left out and
named. A sample that ended with an error or at a limit, that was marked invalid or left unscored has no value, whatever
its scores say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from harness.imports.inspect_files import LogFile, Sample, resolved
from harness.imports.lines import object_in
from harness.imports.shape import (
    ImportedAnswer,
    ImportedItem,
    ImportedMetric,
    NoValue,
    Selection,
    UnreadableError,
)

LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""inspect_ai/scorer/_metric.py."""
FINISHES: Mapping[str, Literal["stop", "length"]] = {
    "stop": "stop", "tool_calls": "stop", "max_tokens": "length", "model_length": "length",
}  # fmt: skip
"""What ended the last generation; Inspect's other reasons say neither."""
LONGEST = 300
"""Characters of an error that are kept."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What the samples of a log hold."""

    metrics: tuple[ImportedMetric, ...]
    fields: tuple[str, ...]
    """Metadata that every sample has."""
    notes: tuple[str, ...]
    items: Callable[[Selection], Iterator[ImportedItem]]


def scoring_of(log: LogFile) -> Scoring:
    """Reads every sample once. Raises `UnreadableError`."""
    names: dict[str, None] = {}
    texts: dict[str, str] = {}
    numbers: dict[str, None] = {}
    fields: dict[str, None] | None = None
    for sample in log.samples():
        for name, value in _values(sample):
            names[name] = None
            if isinstance(value, str):
                texts.setdefault(name, value)
            elif not isinstance(value, NoValue) and value not in (0.0, 0.5, 1.0):
                numbers[name] = None
        given = {key: None for key, value in _metadata(sample).items() if isinstance(value, str | int | float)}
        fields = given if fields is None else {key: None for key in fields if key in given}
    kept = tuple(name for name in names if name not in texts)
    notes = [
        f"{name} gives texts such as {value[:40]!r}, which are no numbers, and is left out"
        for name, value in texts.items()
    ]
    if not names:
        notes.append("no sample has a score, and it is left out")
    directed = [name for name in kept if name in numbers]
    if directed:
        notes.append(f"of {', '.join(directed)} more is taken for better; the log does not say")
    return Scoring(
        metrics=tuple(ImportedMetric(name=name) for name in kept),
        fields=tuple(fields or ()),
        notes=tuple(notes),
        items=partial(_items, log, kept),
    )


def _items(log: LogFile, metrics: Sequence[str], selection: Selection) -> Iterator[ImportedItem]:
    model = str(log.of("eval", "model"))
    for sample in log.samples():
        fields = sample.fields
        broken = _broken(fields)
        found = dict(_values(sample))
        values: dict[str, float | NoValue] = {}
        for name in metrics:
            value = found.get(name, NoValue(reason="the scorer gave no score"))
            values[name] = broken or (
                value if not isinstance(value, str) else NoValue(reason=f"the score is {value!r}")
            )
        asked = {
            name: fields[name] for name in ("choices", "files", "setup", "sandbox") if fields.get(name) is not None
        }
        asked["input"] = _turns(sample)
        yield ImportedItem(
            place=sample.place,
            id=str(fields["id"]),
            repeat=int(fields["epoch"]),
            prompt=_shown(sample),
            asked=json.dumps(asked, sort_keys=True),
            target=_target(sample),
            answer=_answer(sample, model),
            values=values,
            cluster=None if selection.cluster_by is None else _field(sample, selection.cluster_by),
            slices={name: _field(sample, name) for name in selection.slice_by},
        )


def _values(sample: Sample) -> Iterator[tuple[str, float | str | NoValue]]:
    """Metric and value of every score; a text where it has no number. Raises `UnreadableError` for other shapes."""
    scores = object_in(sample.place, "scores", sample.fields.get("scores"))
    for scorer, score in scores.items():
        if not isinstance(score, dict) or "value" not in score:
            raise UnreadableError(sample.place, f"expected the score of {scorer} to have a `value`")
        value = score["value"]
        if isinstance(value, dict):
            for key, each in value.items():
                yield f"{scorer}.{key}", _value(each)
        else:
            yield scorer, _value(value)


def _value(value: object) -> float | str | NoValue:
    if isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        return number if math.isfinite(number) else NoValue(reason=f"the score is {number}")
    if isinstance(value, str):
        known = LETTERS.get(value, LETTERS.get(value.lower()) if len(value) > 1 else None)
        return _number(value) if known is None else known
    return NoValue(reason="it was left unscored") if value is None else json.dumps(value)


def _number(text: str) -> float | str | NoValue:
    try:
        return _value(float(text))
    except ValueError:
        return text


def _broken(fields: Mapping[str, Any]) -> NoValue | None:
    """Why none of a sample's scores count."""
    if fields.get("error"):
        error = fields["error"]
        message = error.get("message") if isinstance(error, dict) else error
        return NoValue(reason=f"the evaluation failed: {str(message)[:LONGEST]}")
    if fields.get("limit"):
        limit = fields["limit"] if isinstance(fields["limit"], dict) else {}
        return NoValue(reason=f"it was stopped at the {limit.get('type')} limit of {limit.get('limit')}")
    return NoValue(reason="it was marked invalid") if fields.get("invalidation") else None


def _metadata(sample: Sample) -> Mapping[str, Any]:
    return object_in(sample.place, "metadata", sample.fields.get("metadata"))


def _field(sample: Sample, name: str) -> str:
    """A field of the sample's metadata. Raises `UnreadableError` where it has no such text or number."""
    metadata = _metadata(sample)
    found = metadata.get(name)
    if not isinstance(found, str | int | float):
        have = ", ".join(metadata) or "no fields"
        raise UnreadableError(
            sample.place, f"expected {name!r} in the sample's metadata to be a string or a number; it has {have}"
        )
    return str(found)


def _turns(sample: Sample) -> list[list[object]]:
    """What was sent first: role and content of each message, without the ids that Inspect draws for each run."""
    given = sample.fields.get("input")
    if isinstance(given, str):
        return [["user", resolved(sample, given)]]
    if not isinstance(given, list) or not all(isinstance(turn, dict) for turn in given):
        raise UnreadableError(sample.place, "expected `input` to be a string or a list of messages")
    return [[turn.get("role"), _content(sample, turn.get("content"))] for turn in given]


def _content(sample: Sample, content: object) -> object:
    """A message's content: its text, or its parts where it has several kinds."""
    if isinstance(content, str):
        return resolved(sample, content)
    if isinstance(content, list):
        return [_content(sample, part) for part in content]
    if isinstance(content, dict):
        return {key: _content(sample, part) for key, part in content.items() if key not in ("id", "internal")}
    return content


def _shown(sample: Sample) -> str:
    """The input and the options, for people."""
    turns = _turns(sample)
    texts = [_plain(content) for _, content in turns]
    shown = (
        texts[0]
        if len(turns) == 1
        else "\n".join(f"{role}: {text}" for (role, _), text in zip(turns, texts, strict=True))
    )
    choices = sample.fields.get("choices")
    if isinstance(choices, list):
        shown += "".join(f"\n{chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices))
    return shown


def _plain(content: object) -> str:
    if isinstance(content, list):
        return "".join(_plain(part) for part in content)
    if isinstance(content, dict):
        return str(content["text"]) if content.get("type") == "text" else f"[{content.get('type')}]"
    return str(content)


def _target(sample: Sample) -> str:
    target = sample.fields.get("target")
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    return target if isinstance(target, str) else json.dumps(target)


def _answer(sample: Sample, model: str) -> ImportedAnswer | None:
    """The last answer of the model; None where there is none."""
    output = sample.fields.get("output")
    choices = output.get("choices") if isinstance(output, dict) else None
    if not isinstance(output, dict) or not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    text = output.get("completion")
    if not isinstance(text, str):
        message = choices[0].get("message")
        text = _plain(_content(sample, message.get("content") if isinstance(message, dict) else ""))
    return ImportedAnswer(
        text=resolved(sample, text),
        tokens=_tokens(sample, model),
        finish=FINISHES.get(str(choices[0].get("stop_reason"))),
    )


def _tokens(sample: Sample, model: str) -> int | None:
    """Tokens that the evaluated model wrote, over all its turns; None where the log does not say."""
    usage = sample.fields.get("model_usage")
    found = usage.get(model) if isinstance(usage, dict) else None
    tokens = found.get("output_tokens") if isinstance(found, dict) else None
    return tokens if isinstance(tokens, int) else None
