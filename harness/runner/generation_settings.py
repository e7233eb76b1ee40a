"""The generation settings in a model's own files: the baseline's apply to all variants, differences in others' are
reported.

They are read as transformers reads them: `generation_config.json`, or what `config.json` holds of them where that file
is missing. Loads no weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoints.opened_files import CONFIG, GENERATION
from harness.checkpoints.resolve import resolve
from harness.engines.decoding import Decoding, read_settings
from harness.engines.load_reference import reference_of
from harness.engines.protocol import LoadSpec
from harness.engines.registry import ENGINES
from harness.errors import EngineError, Problem, SuiteError
from harness.planning.task_decoding import suite_rules
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite

TEXT_PARTS = ("text_config", "decoder", "generator")
"""Where `config.json` of a model with several parts holds the settings of the one that writes."""


def own_rules(load: LoadSpec) -> Decoding | None:
    """The rules in the model's own files; None where there are no such files (scripted, a GGUF file alone, a server
    without a tokenizer's folder). Raises `SuiteError` for settings that no model can have."""
    found = _own(load)
    return None if found is None else found.rules


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules for all variants, or why they cannot be read, which matters only where something is generated."""

    decoding: Decoding | None
    unreadable: SuiteError | None = None

    def insist(self, plans: Iterable[TaskPlan]) -> None:
        """Raises `SuiteError` where a task needs rules that cannot be read."""
        if self.unreadable is not None and any(plan.kind == "generate" for plan in plans):
            raise self.unreadable


def rules_for(loaded: LoadedSuite, baseline: LoadSpec, tokenizer: Tokenizer) -> Rules:
    """The baseline's rules, changed as the suite says. Raises `SuiteError` for invalid rules in the suite."""
    try:
        own = own_rules(baseline)
    except SuiteError as error:
        return Rules(decoding=None, unreadable=error)
    return Rules(decoding=suite_rules(loaded, own, tokenizer))


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Generation settings as stored in a file."""

    file: Path | None
    given: Mapping[str, Any]

    @property
    def rules(self) -> Decoding:
        """Raises `SuiteError`."""
        try:
            return read_settings(self.given)
        except ValueError as error:
            raise SuiteError((Problem(place=str(self.file), key="", message=str(error)),)) from error


def _own(load: LoadSpec) -> _Settings | None:
    kind = ENGINES[load.engine].model
    if kind == "folder":
        base = resolve(reference_of(load)).base
        return _settings(base.path, base.revision)
    if kind == "script" or load.tokenizer is None:
        return None
    return _settings(load.tokenizer, None, only_generation=kind == "gguf")


def decoding_notes(load: LoadSpec, rules: Decoding | None) -> tuple[str, ...]:
    """Differences in the variant's own file, as a sentence."""
    if rules is None:
        return ()
    kind = ENGINES[load.engine].model
    if kind == "gguf":
        return _gguf_notes(Path(load.path), rules)
    try:
        found = None if kind == "address" else _own(load)
        if found is None:
            return ()
        own = found.rules
    except (EngineError, SuiteError) as error:
        return (f"its own generation settings cannot be read ({error}); the suite's rules hold",)
    ours, theirs = rules.as_json(), own.as_json()
    if not own.end_tokens:
        theirs["end_tokens"] = ours["end_tokens"]
    told = [
        f"{name} {_shown(theirs.get(name))} where the rules are {_shown(ours.get(name))}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if (beams := found.given.get("num_beams")) not in (None, 1):
        told.append(f"num_beams {_shown(beams)} where every answer is greedy")
    return (f"its own generation settings are not followed: {'; '.join(told)}",) if told else ()


def _shown(value: object) -> str:
    return "none" if value is None else json.dumps(value)


def _gguf_notes(path: Path, rules: Decoding) -> tuple[str, ...]:
    from harness.checkpoints.gguf_header import read_headers

    try:
        first = read_headers(path)[0]
    except (EngineError, OSError):
        return ()  # the engine will say why it cannot be read
    own = first.whole("tokenizer.ggml.eos_token_id")
    if own is None or own in rules.end_tokens:
        return ()
    return (f"its file ends texts with token {own}, which is not followed: the rules end them with "
            f"{_shown(rules.end_tokens)}",)  # fmt: skip


def _settings(path: str, revision: str | None, *, only_generation: bool = False) -> _Settings | None:
    """What a folder or hub id says. `only_generation`: None where it has no file for the settings alone."""
    file = _file(path, GENERATION, revision)
    if file is not None:
        return _Settings(file=file, given=_read(file))
    if only_generation:
        return None
    file = _file(path, CONFIG, revision)
    return _Settings(file=file, given={} if file is None else _from_config(_read(file)))


def _from_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings in a model's configuration; those of its text part where the top level has none."""
    part: Mapping[str, Any] = next((config[name] for name in TEXT_PARTS if isinstance(config.get(name), Mapping)), {})
    return {**part, **{name: value for name, value in config.items() if value is not None}}


def _file(place: str, name: str, revision: str | None) -> Path | None:
    """A file of a folder, or of a hub id: from the local cache, or from the hub where that is allowed."""
    if Path(place).is_dir():
        return file if (file := Path(place) / name).is_file() else None
    from transformers.utils.hub import cached_file

    found = cached_file(
        place,
        name,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        message = f"expected valid JSON: {type(error).__name__}: {error}"
        raise SuiteError((Problem(place=str(file), key="", message=message),)) from error
    if not isinstance(found, dict):
        raise SuiteError((Problem(place=str(file), key="", message="expected a JSON object"),))
    return found
