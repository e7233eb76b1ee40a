"""The only reader and writer of `results/`.

Owns the layout, completion by rename, and the lock that keeps two runs apart; `chunks.py` and `parse.py` know the
inside of an evaluation's items. It never interprets a record. Layout below the results folder:

    evaluations/KEY/chunks.jsonl     one checksummed line per chunk of items, append only
    evaluations/KEY/states/          the baseline's hidden states, where a divergence needs them
    evaluations/KEY/manifest.json    written last: the evaluation is complete
    evaluations/KEY/batches.json     what batches went by, from which chunk on
    evaluations/KEY/memory.json      the largest batch that memory allowed, where it ran out
    evaluations/KEY/stopped.json     where an early stop left it; it is not complete
    plans/HASH.jsonl                 items of a task as planned
    speed/KEY.json                   timed pairs and memory
    SUITE/runs/RUN/run.json          one run, pointing at evaluations
    SUITE/runs/RUN/verdict.json      its judgement
    SUITE/accepted.jsonl             promoted versions, newest last
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from filelock import FileLock, Timeout
from pydantic import BaseModel, RootModel, ValidationError

from harness.errors import RecordError, RunError, UsageError, unwritable
from harness.records.chunks import Chunks
from harness.records.columns import Answers, ItemColumns, PlanColumns
from harness.records.models import (
    Accepted,
    BatchLimits,
    EarlyStop,
    EvaluationManifest,
    ItemRecord,
    MemoryLimit,
    PlannedItem,
    RunManifest,
    SpeedRecord,
)
from harness.records.ordered import Ordered
from harness.records.parse import read_items, read_plan
from harness.records.summary import VerdictSummary, read_summary
from harness.records.verdict import Verdict

M = TypeVar("M", bound=BaseModel)
TEMPORARY = ("plans/.*", "speed/.*", "evaluations/*/.*", "evaluations/*/states/.*")
"""Files that only a run writes, before they are renamed."""


class _Batches(RootModel[tuple[BatchLimits, ...]]):
    """The file of an evaluation's limits on batches."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` is either the old file or the whole new one, also after a power cut.

    Raises `RecordError` when the disk is full or the folder cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise RecordError(unwritable(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)  # gone by then, unless the write failed or was interrupted


def read_model(path: Path, model: type[M]) -> M:
    """One stored record. Raises `RecordError` naming the file when it is missing, damaged or of another schema."""
    try:
        return model.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record") from None
    except OSError as error:
        raise RecordError(f"{path}: could not be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"{path}: {where + ': ' if where else ''}{first['msg']}. The record is damaged or was written by "
            "another version of quantgate; run the suite again with --fresh to replace it."
        ) from error


def _check_whole(manifest: EvaluationManifest, chunks: Chunks, items: int) -> None:
    """Raises `RecordError` unless the chunks just read are those that the manifest was written for."""
    if chunks.digest() != manifest.digest or items != manifest.items:
        raise RecordError(
            f"{chunks.path}: holds {items} items in {len(chunks.digests)} chunks, the manifest says "
            f"{manifest.items} in {manifest.chunks}; run the suite again with --fresh."
        )


class Store:
    """A results folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- evaluations

    def evaluation_folder(self, key: str) -> Path:
        return self.root / "evaluations" / key

    def evaluation(self, key: str) -> EvaluationManifest | None:
        """The manifest of a complete evaluation; None while it is missing or unfinished."""
        path = self.evaluation_folder(key) / "manifest.json"
        return read_model(path, EvaluationManifest) if path.exists() else None

    def stopped(self, key: str) -> EvaluationManifest | None:
        """What was known of an evaluation when it was stopped early; None where it never was."""
        path = self.evaluation_folder(key) / "stopped.json"
        return read_model(path, EvaluationManifest) if path.exists() else None

    def save_stopped(self, manifest: EvaluationManifest) -> None:
        """Keep where an evaluation was stopped. It stays unfinished, and a later run may go on with it."""
        path = self.evaluation_folder(manifest.key) / "stopped.json"
        write_atomically(path, manifest.model_dump_json(indent=1).encode())

    def batch_tokens(self, key: str) -> int | None:
        """Padded tokens of the largest batch of an evaluation that memory allowed; None where it never ran out."""
        path = self.evaluation_folder(key) / "memory.json"
        return read_model(path, MemoryLimit).tokens if path.exists() else None

    def save_batch_tokens(self, key: str, tokens: int) -> None:
        path = self.evaluation_folder(key) / "memory.json"
        write_atomically(path, MemoryLimit(tokens=tokens).model_dump_json().encode())

    def chunks(self, key: str, *, first: int | None = None) -> Chunks:
        """The evaluation's item records; only the `first` chunks where that is given."""
        return Chunks(self.evaluation_folder(key) / "chunks.jsonl", first=first)

    def part(self, key: str, metrics: Sequence[str], *, first: int) -> tuple[ItemColumns, str]:
        """The numbers of the `first` chunks of an evaluation, finished or not, and SHA-256 over their checksums.

        Raises `RecordError` when there are fewer or they are damaged.
        """
        chunks = self.chunks(key, first=first)
        columns = read_items(chunks, metrics)
        if len(chunks.digests) != first:
            raise RecordError(
                f"{chunks.path}: holds {len(chunks.digests)} chunks, the run was stopped after {first}; "
                "run the suite again with --fresh."
            )
        return columns, chunks.digest()

    def items(self, key: str) -> list[ItemRecord]:
        """All items of a complete evaluation. Raises `RecordError` when incomplete or damaged."""
        manifest, chunks = self._finished(key), self.chunks(key)
        items = [item for chunk in chunks.load() for item in chunk]
        _check_whole(manifest, chunks, len(items))
        return items

    def ordered(self, key: str, places: Mapping[str, int]) -> Ordered:
        """The records of a complete evaluation by place (item to place), read one at a time.

        Raises `RecordError` as `items`, before anything is read out.
        """
        manifest, chunks = self._finished(key), self.chunks(key)
        records = Ordered(chunks, places)
        _check_whole(manifest, chunks, records.count)
        return records

    def ordered_part(self, stop: EarlyStop, places: Mapping[str, int]) -> Ordered:
        """As `ordered`, of an evaluation that was stopped early: what the run had of it then. Raises `RecordError`."""
        chunks = self.chunks(stop.evaluation, first=stop.chunks)
        records = Ordered(chunks, places)
        if chunks.digest() != stop.digest:
            raise RecordError(
                f"{self.evaluation_folder(stop.evaluation)}: holds other answers than those at which the run was "
                "stopped early; run the suite again."
            )
        return records

    def columns(self, key: str, metrics: Sequence[str]) -> ItemColumns:
        """The numbers of a complete evaluation's items. Raises `RecordError` as `items`."""
        manifest, chunks = self._finished(key), self.chunks(key)
        columns = read_items(chunks, metrics)
        _check_whole(manifest, chunks, len(columns.items))
        return columns

    def records(self, key: str, answers: Answers, wanted: Iterable[int]) -> list[ItemRecord]:
        """The whole records of a few of an evaluation's `answers`. Raises `RecordError` as `items`."""
        chunks = self.chunks(key)
        return [chunks.record(int(answers.chunks[each]), int(answers.places[each])) for each in wanted]

    def _finished(self, key: str) -> EvaluationManifest:
        manifest = self.evaluation(key)
        if manifest is None:
            raise RecordError(f"{self.evaluation_folder(key)}: the evaluation is missing or unfinished")
        return manifest

    def batches(self, key: str) -> tuple[BatchLimits, ...]:
        """Limits on batches under which an evaluation's chunks were asked so far. Raises `RecordError`."""
        path = self.evaluation_folder(key) / "batches.json"
        return read_model(path, _Batches).root if path.exists() else ()

    def save_batches(self, key: str, parts: tuple[BatchLimits, ...]) -> None:
        path = self.evaluation_folder(key) / "batches.json"
        write_atomically(path, _Batches(parts).model_dump_json(indent=1).encode())

    def complete(self, manifest: EvaluationManifest) -> None:
        """Declare an evaluation complete."""
        path = self.evaluation_folder(manifest.key) / "manifest.json"
        write_atomically(path, manifest.model_dump_json(indent=1).encode())

    def discard(self, key: str) -> None:
        """Forget an evaluation (for --fresh). Its manifest goes first: what is half deleted is not complete."""
        folder = self.evaluation_folder(key)
        (folder / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    # -- plans

    def save_plan(self, plan_hash: str, items: Iterable[PlannedItem]) -> None:
        path = self.root / "plans" / f"{plan_hash}.jsonl"
        if not path.exists():
            lines = "".join(item.model_dump_json() + "\n" for item in items)
            write_atomically(path, lines.encode())

    def plan(self, plan_hash: str) -> list[PlannedItem]:
        return list(self.planned_items(plan_hash))

    def planned_items(self, plan_hash: str) -> Iterator[PlannedItem]:
        """The items of a plan, one at a time. Raises `RecordError` when it is missing or damaged."""
        with self._plan_lines(plan_hash) as lines:
            for line in lines:
                yield PlannedItem.model_validate_json(line)

    def plan_columns(self, plan_hash: str) -> PlanColumns:
        """The numbers of a plan's items. Raises `RecordError` as `plan`."""
        with self._plan_lines(plan_hash) as lines:
            return read_plan(lines)

    def planned(self, plan_hash: str, offsets: Iterable[int]) -> list[PlannedItem]:
        """The items of a plan whose lines begin at these bytes. Raises `RecordError` as `plan`."""
        items = []
        with self._plan_lines(plan_hash) as lines:
            for offset in offsets:
                lines.seek(offset)
                items.append(PlannedItem.model_validate_json(lines.readline()))
        return items

    @contextmanager
    def _plan_lines(self, plan_hash: str) -> Iterator[BinaryIO]:
        path = self.root / "plans" / f"{plan_hash}.jsonl"
        try:
            with path.open("rb") as lines:
                yield lines
        except FileNotFoundError:
            raise RecordError(f"{path}: no such plan") from None
        except ValidationError as error:
            raise RecordError(f"{path}: damaged: {error.errors()[0]['msg']}") from error
        except ValueError as error:
            raise RecordError(f"{path}: damaged: {error}") from error

    # -- speed

    def speed(self, key: str) -> SpeedRecord | None:
        path = self.root / "speed" / f"{key}.json"
        return read_model(path, SpeedRecord) if path.exists() else None

    def save_speed(self, record: SpeedRecord) -> None:
        write_atomically(self.root / "speed" / f"{record.key}.json", record.model_dump_json().encode())

    # -- runs

    def run_folder(self, suite: str, run: str) -> Path:
        return self.root / suite / "runs" / run

    def save_run(self, manifest: RunManifest) -> None:
        path = self.run_folder(manifest.suite, manifest.run) / "run.json"
        write_atomically(path, manifest.model_dump_json(indent=1).encode())

    def runs(self, suite: str | None = None) -> list[Path]:
        """Folders of complete runs, oldest first."""
        pattern = f"{suite or '*'}/runs/*/run.json"
        return sorted((path.parent for path in self.root.glob(pattern)), key=lambda path: path.name)

    def find_run(self, name: str) -> RunManifest:
        """The run called `name`: a run id or its unique beginning, `SUITE` or `latest` (its newest), or a folder.

        Raises `UsageError` when there is no such run or the name fits several.
        """
        given = Path(name)
        if (given / "run.json").is_file():
            return read_model(given / "run.json", RunManifest)
        folders = self.runs()
        if not folders:
            raise UsageError(f"{self.root}: no runs here yet; make one with `quantgate run SUITE`")
        if name == "latest":
            found = [folders[-1]]
        else:
            of_suite = [folder for folder in folders if folder.parent.parent.name == name]
            found = of_suite[-1:] or [folder for folder in folders if folder.name.startswith(name)]
        if len(found) != 1:
            names = ", ".join(folder.name for folder in (found or folders)[-5:])
            reason = "fits several runs" if found else f"is no run in {self.root}"
            raise UsageError(f"{name!r} {reason}; there are: {names}")
        return read_model(found[0] / "run.json", RunManifest)

    def save_verdict(self, verdict: Verdict) -> Path:
        path = self.run_folder(verdict.suite, verdict.run) / "verdict.json"
        write_atomically(path, verdict.model_dump_json(indent=1).encode())
        return path

    def verdict(self, suite: str, run: str) -> Verdict:
        return read_model(self.run_folder(suite, run) / "verdict.json", Verdict)

    def summary(self, suite: str, run: str) -> VerdictSummary:
        """The figures of a verdict. Raises `RecordError` as `verdict`."""
        return read_summary(self.run_folder(suite, run) / "verdict.json")

    # -- promoted versions

    def accepted(self, suite: str) -> list[Accepted]:
        """Promoted versions of a suite, oldest first."""
        path = self.root / suite / "accepted.jsonl"
        if not path.exists():
            return []
        try:
            return [Accepted.model_validate_json(line) for line in path.read_bytes().splitlines()]
        except ValidationError as error:
            raise RecordError(f"{path}: damaged: {error.errors()[0]['msg']}") from error

    def accept(self, suite: str, version: Accepted) -> None:
        versions = [*self.accepted(suite), version]
        content = "".join(each.model_dump_json() + "\n" for each in versions)
        write_atomically(self.root / suite / "accepted.jsonl", content.encode())

    # -- the folder itself

    def check_writable(self, needed_bytes: int) -> None:
        """Find out before any model is loaded that the folder cannot hold the results. Raises `RunError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(b"\0" * 65536)
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise RunError(
                f"{self.root}: the results folder cannot be written: {error.strerror or error}. What was stored "
                "before is kept: make room there and run the same command again, or choose another with --results."
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < needed_bytes:
            raise RunError(
                f"{self.root}: {free / 1e6:.0f} MB free, this run may need {needed_bytes / 1e6:.0f} MB. "
                "Free some space or choose another folder with --results."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run. Raises `RunError` at once when another run holds it.

        Whoever holds it is alone, so temporary files in it are what a killed run left; they are removed.
        """
        lock = FileLock(self.root / ".lock", timeout=0)
        owner = self.root / ".lock.owner"
        try:
            lock.acquire()
        except Timeout:
            who = ""
            with suppress(OSError):  # it may end just now
                who = owner.read_text().strip()
            raise RunError(
                f"{self.root}: in use by {who or 'another process'}. Wait for it, or choose another folder with "
                "--results."
            ) from None
        try:
            with suppress(OSError):  # a courtesy to whoever comes second
                owner.write_text(f"quantgate run, process {os.getpid()} on {os.uname().nodename}")
            for pattern in TEMPORARY:
                for path in self.root.glob(pattern):
                    path.unlink(missing_ok=True)
            yield
        finally:
            owner.unlink(missing_ok=True)
            lock.release()
