"""Inspect's logs as one model's results: which of them count, and what both sides must have in common.

A log holds one task. Refused are logs that did not end with `success`, that were marked invalid or hold fewer samples
than they report, two models in one folder, and logs of one task with different settings. Of several with the same the
newest counts, and it is said which. What a sample is worth is in `inspect_samples.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.imports.inspect_files import LogFile, log_file
from harness.imports.inspect_samples import Scoring, scoring_of
from harness.imports.lines import hashed
from harness.imports.shape import ImportedSide, ImportedTask, UnreadableError
from harness.masking import masked
from harness.notation import count_is

LIBRARY = "inspect_ai"
LISTINGS = frozenset({"logs.json", "listing.json", "eval-set.json", "_eval-set.json"})
"""JSON files in a folder of logs that are no logs."""
PER_RUN = frozenset({
    "max_retries", "timeout", "attempt_timeout", "stream_idle_timeout", "max_connections", "adaptive_connections",
    "cache", "cache_prompt", "batch", "extra_headers",
})  # fmt: skip
"""Generation settings that say how a server is asked, not what."""
LIMITS = ("message_limit", "token_limit", "token_limit_type", "turn_limit", "time_limit", "working_limit", "cost_limit")
MUST_AGREE: Mapping[str, tuple[str, ...]] = {
    "task version": ("eval", "task_version"),
    "task arguments": ("eval", "task_args"),
    "data set": ("eval", "dataset", "name"),
    "shuffled data set": ("eval", "dataset", "shuffled"),
    "solver": ("eval", "solver"),
    "solver arguments": ("eval", "solver_args"),
    "scorers": ("eval", "scorers"),
    "model roles": ("eval", "model_roles"),
    "sandbox": ("eval", "sandbox"),
    "sample limit": ("eval", "config", "limit"),
}
"""What was asked and how it was scored, and where it stands in the header."""
NOTED: Mapping[str, tuple[str, ...]] = {
    "model arguments": ("eval", "model_args"),
    "model address": ("eval", "model_base_url"),
    "packages": ("eval", "packages"),
    "commit": ("eval", "revision", "commit"),
    "failing on errors": ("eval", "config", "fail_on_error"),
}
LONGEST = 400
"""Characters of a noted value."""


def read(path: Path) -> ImportedSide:
    """The logs at a path: one `.eval` or `.json` file, or a folder of them. Raises `UnreadableError`."""
    logs = [log_file(each) for each in _paths(path)]
    if not logs:
        raise UnreadableError(path, "has no log of Inspect (*.eval, or *.json written with --log-format json)")
    models = sorted({str(log.of("eval", "model")) for log in logs})
    if len(models) > 1:
        raise UnreadableError(path, f"holds logs of {len(models)} models: {', '.join(models)}; keep one of them there")
    chosen, notes = _newest(logs)
    tasks = {}
    for name, log in sorted(chosen.items()):
        _check_whole(log)
        scoring = scoring_of(log)
        notes += [f"{name}: {note}" for note in (*_notes(log), *scoring.notes)]
        if scoring.metrics:
            tasks[name] = _task(path, name, log, scoring)
    last = max(chosen.values(), key=_created)
    return ImportedSide(
        model=models[0],
        library=LIBRARY,
        version=str(last.of("eval", "packages", LIBRARY) or ""),
        files=tuple(hashed(log.path) for log in chosen.values()),
        tasks=tasks,
        noted={
            name: _noted(last.of(*keys)) for name, keys in NOTED.items() if last.of(*keys) not in (None, {}, [], "")
        },
        notes=tuple(notes),
    )


def _paths(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.suffix not in (".eval", ".json"):
            raise UnreadableError(path, "expected an Inspect log: a .eval or a .json file")
        yield path
        return
    for each in sorted(path.rglob("*")):
        is_log = each.suffix == ".eval" or (each.suffix == ".json" and each.name not in LISTINGS)
        if is_log and each.is_file() and not each.name.startswith("."):
            yield each


def _created(log: LogFile) -> str:
    return str(log.of("eval", "created") or "")


def _newest(logs: Sequence[LogFile]) -> tuple[dict[str, LogFile], list[str]]:
    """Task to its newest log, and what is to be said where there are several."""
    by_task: dict[str, list[LogFile]] = {}
    for log in logs:
        name = log.of("eval", "task")
        if not isinstance(name, str) or not name:
            raise UnreadableError(log.path, "names no task (`eval.task`)")
        by_task.setdefault(name, []).append(log)
    chosen, notes = {}, []
    for name, found in by_task.items():
        found.sort(key=_created)
        chosen[name] = found[-1]
        if len(found) > 1 and _created(found[-1]) == _created(found[-2]):
            both = f"{found[-2].path} and {found[-1].path}"
            raise UnreadableError(found[-1].path, f"{both} hold {name} of the same moment; keep one of them")
        for other in found[:-1]:
            if differing := [title for title, text in _agreed(other).items() if _agreed(found[-1])[title] != text]:
                both = f"{other.path.name} and {found[-1].path.name}"
                says = f"holds {both} of {name}, which differ in {', '.join(differing)}; keep one of them there"
                raise UnreadableError(found[-1].path.parent, says)
        if len(found) > 1:
            notes.append(f"{name}: {len(found)} logs, the newest is taken: {found[-1].path.name}")
    return chosen, notes


def _check_whole(log: LogFile) -> None:
    """Raises `UnreadableError` for a log that is no complete evaluation."""
    status = log.of("status")
    if status != "success":
        why = log.of("error", "message")
        says = f"ended with status {status!r}" + (f" ({str(why)[:LONGEST]})" if why else "")
        raise UnreadableError(log.path, f"{says}; only `success` counts: run it to its end (inspect eval-retry)")
    if log.of("invalidated"):
        raise UnreadableError(log.path, "was marked invalid; evaluate the invalid samples again (inspect eval-retry)")
    planned = log.of("results", "total_samples")
    if not isinstance(planned, int):
        raise UnreadableError(log.path, "does not say how many samples it has (`results.total_samples`)")
    if not log.logged:
        raise UnreadableError(log.path, "has no samples; evaluate again without --no-log-samples")
    if planned != log.logged:
        says = f"holds {log.logged:,} samples over all epochs, and its results say {planned:,}"
        raise UnreadableError(log.path, f"{says}: it is not whole; copy it again or evaluate again")
    if planned % _epochs(log):
        raise UnreadableError(log.path, f"has {planned:,} samples, which are not {_epochs(log)} epochs of each")


def _epochs(log: LogFile) -> int:
    epochs = log.of("eval", "config", "epochs")
    return epochs if isinstance(epochs, int) and epochs > 0 else 1


def _notes(log: LogFile) -> Iterator[str]:
    if log.rewritten:
        yield f"{count_is(log.rewritten, 'sample')} in the log twice; the last counts, as in Inspect"
    reducers = log.listing("eval", "config", "epochs_reducer") or ["mean"]
    if _epochs(log) > 1 and reducers != ["mean"]:
        yield f"its epochs were reduced by {', '.join(map(str, reducers))}; here an item's value is their mean"


def _task(path: Path, name: str, log: LogFile, scoring: Scoring) -> ImportedTask:
    return ImportedTask(
        name=name,
        kind="generate",
        metrics=scoring.metrics,
        must_agree=_agreed(log),
        count=log.logged // _epochs(log),
        source=str(log.path.relative_to(path.parent)) if path.is_dir() else log.path.name,
        fields=scoring.fields,
        items=scoring.items,
    )


def _agreed(log: LogFile) -> dict[str, str]:
    """What was asked and how it was scored, by a name that people understand."""
    agree = {title: _text(log.of(*keys)) for title, keys in MUST_AGREE.items()}
    steps = log.listing("plan", "steps")
    agree["solver steps"] = _text(
        [[each.get("solver"), each.get("params")] if isinstance(each, dict) else each for each in steps]
    )
    settings = {**log.table("eval", "model_generate_config"), **log.table("plan", "config")}
    agree["generation settings"] = _text({key: value for key, value in settings.items() if key not in PER_RUN})
    agree["limits"] = _text({key: log.of("eval", "config", key) for key in LIMITS if log.of("eval", "config", key)})
    agree["epochs"] = str(_epochs(log))
    return {title: masked(text) for title, text in agree.items()}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _noted(value: Any) -> str:
    text = masked(_text(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
