"""lm-eval's `--log_samples` output, versions 0.4.5 to 0.4.13: which files make up one model's results.

`OUT/MODEL/results_DATE.json` says what was run, `OUT/MODEL/samples_TASK_DATE.jsonl` holds a line for each document and
filter (lm_eval/loggers/evaluation_tracker.py, lm_eval/result_schema.py). Of several dates each task's newest counts,
and it is said which; refused are files of two models, and dates that were run with other settings. Lines are read by
`lm_eval_samples.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.imports.lines import Object, hashed, json_file
from harness.imports.lm_eval_samples import Samples, task_of
from harness.imports.shape import ImportedFile, ImportedSide, ImportedTask, UnreadableError
from harness.masking import masked

_DATE = r"(?P<date>\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)"
_RESULTS = re.compile(rf"(?P<stem>.+)_{_DATE}\.json")
_SAMPLES = re.compile(rf"samples_(?P<task>.+)_{_DATE}\.jsonl")
LIBRARY = "lm-eval"
LOG_SAMPLES = "run lm-eval again with --log_samples and --output_path"
IDENTIFIES = ("model", "model_args", "model_sha", "model_revision")
"""Keys of `config` that say which model was run, and how it was loaded."""
NOTED = {
    "dtype": ("config", "model_dtype"),
    "batch size": ("config", "batch_size"),
    "device": ("config", "device"),
    "backend": ("config", "model"),
    "model arguments": ("config", "model_args"),
    "context length": ("max_length",),
    "transformers": ("transformers_version",),
    "lm-eval commit": ("git_hash",),
}
"""What may differ between two sides, and where it stands in the results."""


@dataclass(frozen=True, kw_only=True)
class _Results:
    """One results file, and the samples written with it."""

    path: Path
    date: str
    content: Object
    samples: Mapping[str, Path]

    @property
    def ran(self) -> str:
        """Which model it is of, as text that two runs of the same model share."""
        config = self.content.get("config") or {}
        return json.dumps([config.get(key) for key in IDENTIFIES], sort_keys=True)

    @property
    def model(self) -> str:
        return str(self.content.get("model_name") or self.content.get("model_source") or self.path.parent.name)


def read(path: Path) -> ImportedSide:
    """The results at a path: a folder, or one results file of it. Raises `UnreadableError`."""
    found = sorted(_found(path), key=lambda each: each.date)
    newest = {task: each for each in found for task in each.samples}
    used = [each for each in found if each in newest.values()]
    if not used:
        raise _without_samples(path, found)
    _one_model(path, found, used)
    files: list[ImportedFile] = [hashed(each.path) for each in used]
    tasks: dict[str, ImportedTask] = {}
    notes: list[str] = []
    for name, results in sorted(newest.items()):
        samples = results.samples[name]
        files.append(hashed(samples))
        task, said = task_of(Samples(path=samples, name=name, results=results.content, source=_shown(path, samples)))
        notes += said
        if task is not None:
            tasks[name] = task
    last = used[-1].content
    return ImportedSide(
        model=used[-1].model,
        library=LIBRARY,
        version=str(last.get("lm_eval_version") or ""),
        files=tuple(files),
        tasks=tasks,
        noted={name: masked(text) for name, keys in NOTED.items() if (text := _text(last, keys))},
        notes=(*_dates(found, newest), *_unlogged(used), *notes),
    )


def _found(path: Path) -> Iterator[_Results]:
    """Every results file below a folder, with the samples of its date; or the one that is named."""
    one = _RESULTS.fullmatch(path.name) if path.is_file() else None
    if path.is_file() and one is None:
        raise UnreadableError(path, "expected a folder, or a results file such as results_2026-01-31T10-00-00.json")
    folder = path.parent if one is not None else path
    for file in sorted(folder.glob("*.json") if one is not None else folder.rglob("*.json")):
        named = _RESULTS.fullmatch(file.name)
        if named is None or (one is not None and file != path):
            continue
        content = json_file(file)
        if not isinstance(content.get("results"), dict) or not isinstance(content.get("configs"), dict):
            raise UnreadableError(file, "expected `results` and `configs`, as lm-eval 0.4.5 and later write them")
        samples = {}
        for each in sorted(file.parent.glob("samples_*.jsonl")):
            parts = _SAMPLES.fullmatch(each.name)
            if parts is not None and parts["date"] == named["date"]:
                samples[parts["task"]] = each
        yield _Results(path=file, date=named["date"], content=content, samples=samples)


def _without_samples(path: Path, found: list[_Results]) -> UnreadableError:
    if not found:
        return UnreadableError(path, f"has no results_DATE.json with the samples; {LOG_SAMPLES}")
    return UnreadableError(found[-1].path, f"has no samples_TASK_{found[-1].date}.jsonl beside it; {LOG_SAMPLES}")


def _one_model(path: Path, found: list[_Results], used: list[_Results]) -> None:
    """Raises `UnreadableError` for files of two models, or of one model that was loaded in two ways."""
    folders = {each.path.parent for each in found}
    if len(folders) > 1:
        names = ", ".join(sorted(str(each) for each in folders))
        raise UnreadableError(path, f"holds the results of {len(folders)} models; name one of {names}")
    if len({each.ran for each in used}) > 1:
        dates = "; ".join(f"{each.path.name}: {_text(each.content, ('config', 'model_args'))}" for each in used)
        says = "holds results of several dates for its tasks, and they were run with other model arguments"
        raise UnreadableError(path, f"{says} ({dates}); name one results file, or keep one run in the folder")


def _dates(found: list[_Results], newest: Mapping[str, _Results]) -> Iterator[str]:
    """What was taken where there are several dates."""
    if len(found) > 1:
        by_date: dict[str, list[str]] = {}
        for task, each in sorted(newest.items()):
            by_date.setdefault(each.date, []).append(task)
        taken = "; ".join(f"{', '.join(tasks)} of {date}" for date, tasks in sorted(by_date.items()))
        yield f"{len(found)} dates are in the folder, each task's newest is taken: {taken}"


def _unlogged(used: list[_Results]) -> Iterator[str]:
    for each in used:
        lacking = [name for name in each.content["configs"] if name not in each.samples]
        if lacking:
            yield f"{each.path.name}: no samples were stored for {', '.join(lacking)}, which cannot be compared"


def _text(content: Object, keys: tuple[str, ...]) -> str:
    """A value as text; empty where there is none."""
    value: Any = content
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if value in (None, "", {}, []):
        return ""
    return str(value).removeprefix("torch.") if isinstance(value, str | int | float) else json.dumps(value)


def _shown(path: Path, file: Path) -> str:
    """Relative to what the user named, with its last folder."""
    root = path if path.is_dir() else path.parent
    return str(Path(root.name) / file.relative_to(root))
