"""The lines of an lm-eval samples file as imported items.

lm-eval writes a line for each document and filter; log-likelihoods are texts. A metric is called as lm-eval's own
tables call it, `metric,filter`, and by the metric alone under the filter `none`, as in runs of our own. Metrics that
are no mean over documents (F1 over classes, BLEU, the perplexity of a cloze task) cannot be paired and are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.imports.lines import Line, Object, lines, together
from harness.imports.shape import (
    ImportedAnswer,
    ImportedDocument,
    ImportedItem,
    ImportedMetric,
    ImportedOption,
    ImportedTask,
    NoValue,
    Selection,
    TaskKind,
    UnreadableError,
)
from harness.metrics.table import counting, of_kind

KINDS: Mapping[str, TaskKind] = {
    "multiple_choice": "choice",
    "loglikelihood": "choice",
    "generate_until": "generate",
    "loglikelihood_rolling": "perplexity",
}
"""lm-eval's output types."""
PLAIN = "none"
"""The filter that changes nothing; metrics under it go by their own name."""
NOT_MEANS = frozenset(("f1", "brier_score", *(row.name for row in of_kind("corpus", "perplexity"))))
"""lm-eval's metrics whose aggregation is not the mean, where a task names none (lm_eval/api/metrics.py)."""
CLOSE = 1e-6
"""Relative distance of a reported mean from the mean of the lines."""
_Value = float | NoValue
_Scored = tuple[float | None, bool]
"""Log-likelihood, None where it is not finite, and whether it is the greedy continuation."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One samples file and the results that were written with it."""

    path: Path
    name: str
    results: Object
    source: str
    """The file, for people."""

    def of(self, key: str) -> Any:
        """What the results say of the task under a key such as `versions`; None for nothing."""
        found = self.results.get(key)
        return found.get(self.name) if isinstance(found, dict) else None


def task_of(samples: Samples) -> tuple[ImportedTask | None, list[str]]:
    """The task, and what is to be said of it; None where nothing of it can be paired. Raises `UnreadableError`."""
    config = samples.of("configs")
    if not isinstance(config, dict):
        raise UnreadableError(samples.path, f"its results file has no configuration of {samples.name}")
    output = str(config.get("output_type"))
    if output not in KINDS or output == "loglikelihood_rolling":
        return None, [f"{samples.name}: has the output type {output}, which cannot be imported"]
    first = next(lines(samples.path), None)
    if first is None:
        raise UnreadableError(samples.path, "is empty")
    metrics, notes = _metrics(samples, config, first)
    documents = KINDS[output] == "perplexity"
    if not metrics and not documents:
        return None, notes
    reader = _Reader(samples, KINDS[output], tuple(metrics), tuple(_filters(samples)), documents=documents)
    return (
        ImportedTask(
            name=samples.name,
            kind=KINDS[output],
            metrics=tuple(metrics.values()),
            must_agree=_must_agree(samples, config),
            count=_count(samples),
            value_per_repeat=False,
            source=samples.source,
            fields=tuple(first.fields["doc"]) if isinstance(first.fields.get("doc"), dict) else (),
            items=reader.items,
        ),
        notes,
    )


def _filters(samples: Samples) -> list[str]:
    """The filters of a task, from the names of what was reported: `exact_match,strict-match`."""
    reported = samples.of("results") or {}
    names = [key.partition(",")[2] for key in reported if "," in key]
    return list(dict.fromkeys(names)) or [PLAIN]


def _metrics(samples: Samples, config: Object, first: Line) -> tuple[dict[str, ImportedMetric], list[str]]:
    """The metrics that are a mean over documents, and a note on each other one."""
    aggregations = {
        str(each.get("metric")): each.get("aggregation")
        for each in config.get("metric_list") or ()
        if isinstance(each, dict)
    }
    higher = samples.of("higher_is_better") or {}
    kept: dict[str, ImportedMetric] = {}
    notes = []
    for key in samples.of("results") or {}:
        metric, comma, name = str(key).partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        aggregation = aggregations.get(metric) or ("other" if metric in NOT_MEANS else "mean")
        if aggregation != "mean" or not _is_number(first.fields.get(metric)):
            if config.get("output_type") != "loglikelihood_rolling":
                notes.append(f"{samples.name}: {key} is no mean over items, so it cannot be paired and is left out")
            continue
        called = metric if name == PLAIN else f"{metric},{name}"
        kept[called] = ImportedMetric(name=called, higher_is_better=higher.get(metric) is not False)
    if not kept and config.get("output_type") != "loglikelihood_rolling":
        notes.append(f"{samples.name}: none of its metrics can be paired item by item, so it is not imported")
    return kept, notes


def _must_agree(samples: Samples, config: Object) -> dict[str, str]:
    """What both sides must have been asked alike, besides the documents' own requests."""
    results = samples.results
    found = {
        "task version": samples.of("versions"),
        "number of examples (n-shot)": samples.of("n-shot"),
        "output type": config.get("output_type"),
        "number of repeats": config.get("repeats"),
        "filters": sorted(_filters(samples)),
        "generation settings": config.get("generation_kwargs"),
        "generation settings of the command line": (results.get("config") or {}).get("gen_kwargs") or None,
        "chat template (SHA-256)": results.get("chat_template_sha"),
        "system instruction (SHA-256)": results.get("system_instruction_sha"),
    }
    return {name: _text(value) for name, value in found.items() if value is not None}


def _count(samples: Samples) -> int | None:
    found = samples.of("n-samples")
    count = found.get("effective") if isinstance(found, dict) else None
    return count if isinstance(count, int) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


class _Reader:
    """Reads one samples file."""

    def __init__(
        self, samples: Samples, kind: TaskKind, metrics: Sequence[str], filters: Sequence[str], *, documents: bool
    ) -> None:
        self._samples, self._kind, self._metrics, self._filters = samples, kind, metrics, filters
        self._documents = documents
        delimiter = (samples.of("configs") or {}).get("target_delimiter")
        self._delimiter = delimiter if isinstance(delimiter, str) else " "

    def items(self, selection: Selection) -> Iterator[ImportedItem]:
        """Every document, with its repeats. Raises `UnreadableError`; at the end also where the lines do not give the
        figures that the results report."""
        sums = dict.fromkeys(self._metrics, 0.0)
        count = 0
        for group in self._by_document():
            scored = _likelihoods(group[0]) if self._kind == "choice" else []
            values = self._values(group, _not_finite(scored))
            for metric in self._metrics:
                value = values[metric]
                sums[metric] += math.nan if isinstance(value, NoValue) else value
            count += 1
            yield from self._item(group[0], scored, values, selection)
        if count == (_count(self._samples) or count):  # otherwise that is what is wrong
            self._check(sums, count)

    def _by_document(self) -> Iterator[list[Line]]:
        """The lines of each document, one a filter."""
        path = self._samples.path
        if len(self._filters) == 1:
            for line in lines(path):
                yield [line]
            return
        for group in together(path, _doc_id):
            names = [str(line.fields.get("filter")) for line in group]
            if sorted(names) != sorted(self._filters):
                says = f"document {_doc_id(group[0])} has a line for {', '.join(names)}"
                raise UnreadableError(group[-1].place, f"{says}; expected one for each of {', '.join(self._filters)}")
            yield group

    def _values(self, group: Sequence[Line], broken: NoValue | None) -> dict[str, _Value]:
        found: dict[str, _Value] = {}
        for line in group:
            name = line.fields.get("filter", PLAIN)
            for metric in self._metrics:
                plain, _, under = metric.partition(",")
                if (under or PLAIN) == name:
                    found[metric] = broken or _value(line, plain)
        for metric in self._metrics:
            if metric not in found:
                says = f"expected the filter {metric.partition(',')[2] or PLAIN}, got {group[0].fields.get('filter')!r}"
                raise UnreadableError(group[0].place, says)
        return found

    def _item(
        self, line: Line, scored: Sequence[_Scored], values: Mapping[str, _Value], selection: Selection
    ) -> Iterator[ImportedItem]:
        arguments = _arguments(line)
        first = arguments[0]
        options = self._options(line, scored, arguments) if self._kind == "choice" else ()
        answers = _answers(line) if self._kind == "generate" else [None]
        doc = line.fields.get("doc")
        for repeat, answer in enumerate(answers):
            yield ImportedItem(
                place=line.place,
                id=_doc_id(line),
                repeat=repeat,
                prompt=_text(first[0]) if first else "",
                asked=json.dumps(arguments, sort_keys=True),
                target=self._target(line, options),
                options=options,
                answer=answer,
                document=_document(line) if self._documents else None,
                bytes=_counted(line, *counting("byte")) if self._documents else 0,
                values=values,
                cluster=None if selection.cluster_by is None else _field(line, doc, selection.cluster_by),
                slices={name: _field(line, doc, name) for name in selection.slice_by},
            )

    def _options(
        self, line: Line, scored: Sequence[_Scored], arguments: Sequence[Sequence[object]]
    ) -> tuple[ImportedOption, ...]:
        if len(scored) != len(arguments):
            says = f"expected a log-likelihood for each of {len(arguments)} requests, got {len(scored)}"
            raise UnreadableError(line.place, says)
        texts = self._option_texts(arguments)
        found = zip(texts, scored[: len(texts)], strict=True)
        return tuple(ImportedOption(text=text, log_likelihood=value, greedy=greedy) for text, (value, greedy) in found)

    def _option_texts(self, arguments: Sequence[Sequence[object]]) -> list[str]:
        """The continuations; the contexts where one continuation follows several of them (winogrande). Requests
        without a context beyond the first half are `acc_mutual_info`'s and are no options."""
        half = len(arguments) // 2
        if half and len(arguments) % 2 == 0 and all(each[0] == "" for each in arguments[half:]) and arguments[0][0]:
            arguments = arguments[:half]
        texts = [_text(each[1]) if len(each) > 1 else "" for each in arguments]
        if len(texts) > 1 and len(set(texts)) == 1:
            return [_text(each[0]) for each in arguments]
        return [text.removeprefix(self._delimiter) for text in texts]

    def _target(self, line: Line, options: Sequence[ImportedOption]) -> str:
        """The right option's text where the target names one of them, by its number or its text."""
        target = _text(line.fields.get("target", ""))
        if self._samples_type == "loglikelihood":
            return options[0].text
        texts = [option.text for option in options]
        by_number = texts[int(target)] if target.isdecimal() and int(target) < len(texts) else None
        by_text = target if target in texts else None
        if by_number is not None and by_text is not None and by_number != by_text:
            return f"option {target}"  # an index or a text, and the files do not say which
        return by_number or by_text or target

    @property
    def _samples_type(self) -> str:
        return str((self._samples.of("configs") or {}).get("output_type"))

    def _check(self, sums: Mapping[str, float], count: int) -> None:
        reported = self._samples.of("results") or {}
        for metric, total in sums.items():
            key = metric if "," in metric else f"{metric},{PLAIN}"
            value, mean = reported.get(key), total / count if count else math.nan
            if (
                isinstance(value, int | float)
                and math.isfinite(mean)
                and abs(value - mean) > CLOSE * max(1.0, abs(mean))
            ):
                says = (
                    f"its lines give {key} {mean:.6g} over {count:,} documents, and its results file says {value:.6g}"
                )
                raise UnreadableError(self._samples.path, f"{says}: the two were not written by one run")


def _doc_id(line: Line) -> str:
    found = line.fields.get("doc_id")
    if not isinstance(found, int | str):
        raise UnreadableError(line.place, f"expected a doc_id, got {found!r:.40}; these are no samples of lm-eval")
    return str(found)


def _value(line: Line, metric: str) -> _Value:
    found = line.fields.get(metric)
    if not isinstance(found, int | float):
        return NoValue(reason=f"lm-eval stored {found!r:.60} for {metric}")
    return float(found) if math.isfinite(found) else NoValue(reason=f"lm-eval stored {found} for {metric}")


def _not_finite(scored: Sequence[_Scored]) -> NoValue | None:
    """As in runs of our own: an option without a finite log-likelihood is not compared with the others."""
    for number, (value, _) in enumerate(scored, start=1):
        if value is None:
            return NoValue(reason=f"the log-likelihood of option {number} is not finite")
    return None


def _likelihoods(line: Line) -> list[_Scored]:
    """Of every request's first response: log-likelihood, and whether it is the greedy continuation."""
    found = []
    for response in line.fields.get("resps") or ():
        pair = response[0] if isinstance(response, list) and response else None
        if not isinstance(pair, list) or len(pair) != 2:
            raise UnreadableError(line.place, f"expected resps of log-likelihood and greedy flag, got {pair!r:.60}")
        found.append((_finite(line, pair[0]), str(pair[1]) == "True"))
    return found


def _finite(line: Line, value: object) -> float | None:
    """A number that lm-eval wrote as text; None where it is not finite."""
    try:
        number = float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        number = None
    if number is None:
        raise UnreadableError(line.place, f"expected a log-likelihood, got {value!r:.60}")
    return number if math.isfinite(number) else None


def _arguments(line: Line) -> list[list[object]]:
    """The arguments of every request of the document."""
    found = line.fields.get("arguments")
    if isinstance(found, dict):
        return [list(each.values()) if isinstance(each, dict) else [each] for each in found.values()]
    if isinstance(found, list):
        return [each if isinstance(each, list) else [each] for each in found]
    raise UnreadableError(
        line.place, f"expected arguments, got {type(found).__name__}; these are no samples of lm-eval"
    )


def _answers(line: Line) -> list[ImportedAnswer | None]:
    """What the model wrote, before any filter: once, or once for each repeat."""
    responses = line.fields.get("resps")
    first = responses[0] if isinstance(responses, list) and responses else None
    if not isinstance(first, list):
        raise UnreadableError(line.place, f"expected resps with an answer, got {responses!r:.60}")
    if not first:  # as `show --format lm-eval` writes an item that failed
        return [None]
    return [ImportedAnswer(text=_text(each)) for each in first]


def _document(line: Line) -> ImportedDocument:
    responses = line.fields.get("resps") or [[None]]
    value = responses[0][0] if isinstance(responses[0], list) and responses[0] else responses[0]
    if isinstance(value, list) and value:
        value = value[0]
    found = _finite(line, value)
    return ImportedDocument(nll=None if found is None else -found)


def _counted(line: Line, *metrics: str) -> int:
    """What a document's log-likelihood is divided by."""
    for metric in metrics:
        found = line.fields.get(metric)
        if isinstance(found, list) and len(found) == 2 and isinstance(found[1], int):
            return found[1]
    return 0


def _field(line: Line, doc: object, name: str) -> str:
    found = doc.get(name) if isinstance(doc, dict) else None
    if not isinstance(found, str | int | float):
        have = ", ".join(doc) if isinstance(doc, dict) else "no fields"
        raise UnreadableError(
            line.place, f"expected the document's field {name!r} to be a string or a number; it has {have}"
        )
    return str(found)
