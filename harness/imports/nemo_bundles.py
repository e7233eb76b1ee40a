"""NeMo Evaluator's bundles (0.3, 0.4; docs/result-format.mdx): `results.jsonl` beside one `eval-*.json` per benchmark.

A line is one problem in one repeat, with its reward. Refused are bundles without their lines, with other numbers than
they report, and two benchmarks of one name; a line that the evaluator graded 0 because it could not ask or check has
no value. Of a problem that is missing or comes twice the core says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.imports.lines import Line, Object, hashed, json_file, lines, object_in, together
from harness.imports.shape import (
    ImportedAnswer,
    ImportedItem,
    ImportedMetric,
    ImportedSide,
    ImportedTask,
    NoValue,
    Selection,
    UnreadableError,
)
from harness.masking import masked

LIBRARY = "NeMo Evaluator"
RESULTS = "results.jsonl"
REWARD = "reward"
CATEGORY = "category"
GENERATION = ("temperature", "max_tokens", "top_p", "top_k", "seed", "stop", "system_prompt")
"""Keys of `config` that decide how answers are generated, where somebody put them there."""
DECIDES = (*GENERATION, "max_problems", "shuffle", "scorers", "solver", "plan")
"""Keys of `config` that decide what is asked and how it is scored."""
NOTED = {"base_url": "model address", "model_url": "model address"}
NOT_ASKED = frozenset({"solve_failed", "infra_error", "graceful_error", "system_error"})
"""`scoring_details.method` of a reward of 0 that stands for no answer (nemo_evaluator/engine/eval_loop.py)."""
ROUNDED = 1e-4
"""Scores of a bundle have four digits."""


@dataclass(frozen=True, kw_only=True)
class _Bundle:
    """One benchmark's bundle and its lines."""

    path: Path
    content: Object
    source: str

    @property
    def results(self) -> Path:
        return self.path.parent / RESULTS

    def of(self, *keys: str) -> Any:
        value: Any = self.content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def config(self) -> Object:
        return object_in(str(self.path), "config", self.of("config"))

    @property
    def name(self) -> str:
        return str(self.of("benchmark", "name"))


def read(path: Path) -> ImportedSide:
    """The bundles at a path: an `eval-*.json`, its folder, or a folder of such folders. Raises `UnreadableError`."""
    bundles = [_bundle(path, each) for each in _paths(path)]
    if not bundles:
        raise UnreadableError(path, "has no eval-*.json; name the folder that NeMo Evaluator wrote")
    tasks: dict[str, ImportedTask] = {}
    found: dict[str, _Bundle] = {}
    for bundle in bundles:
        if bundle.name in found:
            both = f"{found[bundle.name].path} and {bundle.path}"
            raise UnreadableError(path, f"{both} are both of {bundle.name}; keep one of them")
        found[bundle.name] = bundle
        tasks[bundle.name] = _task(bundle)
    models = sorted({str(each.of("config", "model") or "") for each in bundles})
    if len(models) > 1:
        raise UnreadableError(
            path, f"holds bundles of {len(models)} models: {', '.join(models)}; keep one of them there"
        )
    config = bundles[-1].config
    noted = {title: masked(_text(config[key])) for key, title in NOTED.items() if config.get(key) is not None}
    silent = [each.name for each in bundles if not any(each.of("config", key) is not None for key in GENERATION)]
    return ImportedSide(
        model=models[0] or path.name,
        library=LIBRARY,
        version=str(bundles[-1].of("sdk_version") or ""),
        files=tuple(hashed(each) for bundle in bundles for each in (bundle.path, bundle.results)),
        tasks=tasks,
        noted=noted,
        notes=(f"the bundles do not say how answers were generated (temperature, limits): {', '.join(silent)}",)
        if silent
        else (),
    )


def _paths(path: Path) -> Iterator[Path]:
    """As `nel compare` finds them: in the folder, and in each folder of it."""
    if path.is_file():
        yield path
        return
    yield from sorted(path.glob("eval-*.json"))
    yield from sorted(path.glob("*/eval-*.json"))


def _bundle(root: Path, path: Path) -> _Bundle:
    source = str(path.relative_to(root.parent)) if root.is_dir() else path.name
    bundle = _Bundle(path=path, content=json_file(path), source=source)
    if not isinstance(bundle.of("benchmark", "name"), str):
        raise UnreadableError(path, "names no benchmark (`benchmark.name`)")
    beside = sorted(each.name for each in path.parent.glob("eval-*.json"))
    if len(beside) > 1:
        raise UnreadableError(
            path.parent, f"has {' and '.join(beside)} beside one {RESULTS}; keep each in its own folder"
        )
    if not bundle.results.is_file():
        raise UnreadableError(path, f"has no {RESULTS} beside it, so no items; get it from where the evaluation ran")
    return bundle


def _task(bundle: _Bundle) -> ImportedTask:
    metrics, fields = _looked_through(bundle)
    config = bundle.config
    agree = {key: masked(_text(config[key])) for key in DECIDES if config.get(key) is not None}
    planned = bundle.of("config", "shuffle", "ds_effective_size")  # what it skipped is not among its samples
    count = planned if isinstance(planned, int) else bundle.of("benchmark", "samples")
    return ImportedTask(
        name=bundle.name,
        kind="generate",
        metrics=tuple(ImportedMetric(name=name) for name in metrics),
        must_agree={**agree, "repeats": str(bundle.of("benchmark", "repeats") or 1)},
        count=count if isinstance(count, int) else None,
        source=str(Path(bundle.source).parent / RESULTS),
        fields=fields,
        items=partial(_items, bundle, metrics),
    )


def _looked_through(bundle: _Bundle) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The metrics of all lines, and the fields that every line has. Raises `UnreadableError`."""
    metrics: dict[str, None] = {REWARD: None}
    fields: dict[str, None] | None = None
    for line in lines(bundle.results):
        metrics |= dict.fromkeys(_scorers(line))
        given = {key: None for key, value in _metadata(line).items() if isinstance(value, str | int | float)}
        fields = given if fields is None else {key: None for key in fields if key in given}
    return tuple(metrics), tuple(fields or ())


def _items(bundle: _Bundle, metrics: Sequence[str], selection: Selection) -> Iterator[ImportedItem]:
    """Problem by problem; at the end also refused where the lines do not give the score that the bundle reports."""
    means: list[float] = []
    for group in together(bundle.results, _problem):
        rewards = []
        for line in sorted(group, key=_repeat):
            item = _item(line, metrics, selection)
            rewards.append(_given(line, line.fields[REWARD]))
            yield item
        means.append(math.fsum(rewards) / len(rewards))
    _check(bundle, means)


def _check(bundle: _Bundle, means: Sequence[float]) -> None:
    """A score that is NaN says nothing; an evaluator's own rewards of 0 for failed problems are part of it."""
    for name in ("mean_reward", "pass@1"):
        reported = bundle.of("benchmark", "scores", name, "value")
        mean = math.fsum(means) / len(means) if means else math.nan
        if isinstance(reported, int | float) and math.isfinite(reported) and abs(mean - reported) > ROUNDED:
            says = f"gives a mean reward of {mean:.4f}, and {bundle.path.name} reports {name} {reported}"
            raise UnreadableError(bundle.results, f"{says}: they are not of the same evaluation")


def _item(line: Line, metrics: Sequence[str], selection: Selection) -> ImportedItem:
    fields = line.fields
    broken = _broken(line)
    given = {REWARD: fields[REWARD], **_scorers(line)}
    values = {name: broken or _value(line, given.get(name)) for name in metrics}
    response = fields.get("model_response") or fields.get("extracted_answer")
    asked = _details(line).get("prompt_sha256")
    return ImportedItem(
        place=line.place,
        id=_problem(line),
        repeat=_repeat(line),
        prompt=_text(fields.get("prompt") or ""),
        asked=_text(asked or ""),
        target=_text(fields.get("expected_answer") if fields.get("expected_answer") is not None else ""),
        answer=None if response is None else ImportedAnswer(text=_text(response)),
        values=values,
        cluster=None if selection.cluster_by is None else _field(line, selection.cluster_by),
        slices={name: _field(line, name) for name in selection.slice_by},
    )


def _problem(line: Line) -> str:
    found = line.fields.get("problem_idx")
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise UnreadableError(line.place, f"expected `problem_idx` to be an integer, got {found!r:.60}")
    if REWARD not in line.fields:
        raise UnreadableError(line.place, "has no `reward`")
    return str(found)


def _repeat(line: Line) -> int:
    found = line.fields.get("repeat") or 0
    if not isinstance(found, int):
        raise UnreadableError(line.place, f"expected `repeat` to be an integer, got {found!r:.60}")
    return found


def _details(line: Line) -> Object:
    return object_in(line.place, "scoring_details", line.fields.get("scoring_details"))


def _broken(line: Line) -> NoValue | None:
    """Why a reward is none of the model's."""
    details = _details(line)
    if str(details.get("method")) in NOT_ASKED:
        return NoValue(reason=f"the evaluation failed: {str(details.get('error') or details.get('method'))[:300]}")
    return None


def _scorers(line: Line) -> Mapping[str, object]:
    """Rewards of further scorers, by name."""
    found = object_in(line.place, "scorer_rewards", line.fields.get("scorer_rewards"))
    return {name.removeprefix("scorer:"): value for name, value in found.items()}


def _given(line: Line, value: object) -> float:
    if not isinstance(value, int | float):
        raise UnreadableError(line.place, f"expected a reward to be a number, got {value!r:.60}")
    return float(value)


def _value(line: Line, value: object) -> float | NoValue:
    if value is None:
        return NoValue(reason="the scorer gave no reward")
    number = _given(line, value)
    return number if math.isfinite(number) else NoValue(reason=f"the reward is {number}")


def _metadata(line: Line) -> Mapping[str, Any]:
    """The problem's fields, with the category as NeMo Evaluator finds it."""
    metadata = object_in(line.place, "metadata", line.fields.get("metadata"))
    category = _details(line).get(CATEGORY)
    return metadata if metadata.get(CATEGORY) is not None or category is None else {**metadata, CATEGORY: category}


def _field(line: Line, name: str) -> str:
    found = _metadata(line).get(name)
    if not isinstance(found, str | int | float):
        have = ", ".join(_metadata(line)) or "no fields"
        raise UnreadableError(
            line.place, f"expected {name!r} in the metadata to be a string or a number; it has {have}"
        )
    return str(found)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
