"""Evaluations in the results folder: their items, when they are complete, and what is kept beside them.

An evaluation's folder is called by its key, which is the hash of its identity; one whose manifest says otherwise is
another's and is refused. Everything else in the folder is bound to it by its checksums. Nothing is ever removed or
written over: runs point at it.

Where an evaluation or a timing was computed more than once, the latest attempt counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from harness.errors import RecordError, unwritable
from harness.records.chunks import Chunks
from harness.records.columns import Answers, Indices, ItemColumns
from harness.records.evaluation_manifest import (
    Attempt,
    BatchLimits,
    BatchParts,
    EvaluationManifest,
    MemoryLimit,
    evaluation_key,
)
from harness.records.files import check_file, file_sums, read_whole
from harness.records.items import ItemRecord
from harness.records.parse import read_items
from harness.records.record_index import RecordIndex
from harness.records.run_manifest import EarlyStop
from harness.records.seal import Folder

_OLD_BATCHES = TypeAdapter(tuple[BatchLimits, ...])


class Evaluations(Folder):
    """The part of a `Store` below `evaluations/`."""

    def evaluation_folder(self, key: str) -> Path:
        return self.root / "evaluations" / key

    def evaluation(self, key: str) -> EvaluationManifest | None:
        """The manifest of a complete evaluation; None while it is missing or unfinished. Raises `RecordError`."""
        return self._manifest(key, "manifest.json")

    def stopped(self, key: str) -> EvaluationManifest | None:
        """What was known of an evaluation when it was stopped early; None where it never was. Raises `RecordError`."""
        return self._manifest(key, "stopped.json")

    def _manifest(self, key: str, name: str) -> EvaluationManifest | None:
        manifest = self.load(f"evaluations/{key}/{name}", EvaluationManifest)
        if manifest is None or key == manifest.key == evaluation_key(manifest.identity, stored=True):
            return manifest
        raise RecordError(
            f"{self.evaluation_folder(key) / name}: is the record of evaluation {manifest.key[:16]}…, not of the "
            "folder it is in. Run the suite again with --fresh, or put back what was stored."
        )

    def save_stopped(self, manifest: EvaluationManifest) -> None:
        """Keep where an evaluation was stopped. It stays unfinished, and a later run may go on with it."""
        self.save(f"evaluations/{manifest.key}/stopped.json", manifest)

    def begin_anew(self, key: str) -> Chunks:
        """The evaluation's chunks without what an interrupted writer left, for one that is not resumed: nothing points
        at it. Raises `RecordError` where the evaluation is complete or was stopped early."""
        chunks = self.chunks(key)
        if self.evaluation(key) is not None or self.stopped(key) is not None:
            raise RecordError(f"{chunks.path}: is there already, and an evaluation is never written over")
        try:
            chunks.path.unlink(missing_ok=True)
        except OSError as error:
            raise RecordError(unwritable(chunks.path, error)) from error
        return chunks

    def complete(self, manifest: EvaluationManifest, *, with_states: bool = False) -> None:
        """Declare an evaluation complete. It never changes from then on, because runs point at it.

        `with_states`: others will measure from its states, and from no others; they are hashed. Raises `RecordError`.
        """
        address = f"evaluations/{manifest.key}/manifest.json"
        if (self.root / address).exists():
            raise RecordError(f"{self.root / address}: is there already, and an evaluation is never written over")
        if with_states:
            states = file_sums(self.evaluation_folder(manifest.key) / "states")
            manifest = manifest.model_copy(update={"states": states})
        self.save(address, manifest)

    # -- what is kept beside the items

    def batch_tokens(self, key: str) -> int | None:
        """Padded tokens of the largest batch of an evaluation that memory allowed; None where it never ran out."""
        found = self.load(f"evaluations/{key}/memory.json", MemoryLimit)
        return None if found is None else found.tokens

    def save_batch_tokens(self, key: str, tokens: int) -> None:
        self.save(f"evaluations/{key}/memory.json", MemoryLimit(tokens=tokens))

    def batches(self, key: str) -> tuple[BatchLimits, ...]:
        """Limits on batches under which an evaluation's chunks were asked so far. Raises `RecordError`."""
        address = f"evaluations/{key}/batches.json"
        content = read_whole(self.root / address)
        if content is not None and content.startswith(b"["):  # as versions before schema 2 kept them
            try:
                return _OLD_BATCHES.validate_json(content)
            except ValidationError as error:
                raise RecordError(f"{self.root / address}: damaged: {error.errors()[0]['msg']}") from error
        found = self.load(address, BatchParts)
        return () if found is None else found.parts

    def save_batches(self, key: str, parts: tuple[BatchLimits, ...]) -> None:
        self.save(f"evaluations/{key}/batches.json", BatchParts(parts=parts))

    def check_states(self, key: str, name: str) -> None:
        """Before a file of an evaluation's states is read: it is as it was when the evaluation was completed.

        Evaluations of earlier versions have no checksums of their states. Raises `RecordError`.
        """
        sums = self._finished(key).states
        if sums:
            check_file(self.evaluation_folder(key) / "states" / name, sums.get(name))

    def check_head(self, key: str) -> None:
        """As `check_states`, of the output layer beside the states."""
        for name in self._finished(key).states:
            if name.startswith("head"):
                self.check_states(key, name)

    # -- items

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

    def ordered(self, key: str, places: Mapping[str, int]) -> RecordIndex:
        """The records of a complete evaluation by place (item to place), read one at a time.

        Raises `RecordError` as `items`, before anything is read out.
        """
        manifest, chunks = self._finished(key), self.chunks(key)
        records = RecordIndex(chunks, places)
        _check_whole(manifest, chunks, records.count)
        return records

    def ordered_part(self, stop: EarlyStop, places: Mapping[str, int]) -> RecordIndex:
        """As `ordered`, of an evaluation that was stopped early: what the run had of it then. Raises `RecordError`."""
        chunks = self.chunks(stop.evaluation, first=stop.chunks)
        records = RecordIndex(chunks, places)
        if chunks.digest() != stop.digest:
            raise RecordError(
                f"{self.evaluation_folder(stop.evaluation)}: holds other answers than those at which the run was "
                "stopped early; run the suite again."
            )
        return records

    def columns(self, key: str, metrics: Sequence[str], parts: Sequence[str] = ()) -> ItemColumns:
        """The numbers of a complete evaluation's items. Raises `RecordError` as `items`."""
        manifest, chunks = self._finished(key), self.chunks(key)
        columns = read_items(chunks, metrics, parts)
        _check_whole(manifest, chunks, len(columns.items))
        return columns

    def records(self, key: str, answers: Answers, wanted: Iterable[int]) -> list[ItemRecord]:
        """The whole records of a few of an evaluation's `answers`. Raises `RecordError` as `items`."""
        chunks = self.chunks(key)
        return [chunks.record(int(answers.chunks[each]), int(answers.places[each])) for each in wanted]

    def texts(self, key: str, answers: Answers, wanted: Indices) -> Iterator[tuple[str, ...]]:
        """The generated texts of some of an evaluation's `answers`, one at a time, in the order in which they are
        stored (`in_stored_order`). Raises `RecordError` as `items`."""
        offsets, starts = np.unique(answers.chunks[wanted], return_index=True)
        places = np.split(answers.places[wanted], starts)[1:]
        asked = ((offset, each.tolist()) for offset, each in zip(offsets.tolist(), places, strict=True))
        return self.chunks(key).texts(asked)

    def _finished(self, key: str) -> EvaluationManifest:
        manifest = self.evaluation(key)
        if manifest is None:
            raise RecordError(f"{self.evaluation_folder(key)}: the evaluation is missing or unfinished")
        return manifest


def _check_whole(manifest: EvaluationManifest, chunks: Chunks, items: int) -> None:
    """Raises `RecordError` unless the chunks just read are those that the manifest was written for."""
    if chunks.digest() != manifest.digest or items != manifest.items:
        raise RecordError(
            f"{chunks.path}: holds {items} items in {len(chunks.digests)} chunks, the manifest says "
            f"{manifest.items} in {manifest.chunks}; run the suite again with --fresh."
        )


class Attempts(Folder):
    """The part of a `Store` below `attempts/`."""

    def latest_attempt(self, key: str) -> str:
        """The run that computed it last, under the key without an attempt; empty for the first computation.

        Raises `RecordError` for a note that is damaged or another key's.
        """
        found = self.load(_address(key), Attempt)
        if found is not None and found.key != key:
            raise RecordError(
                f"{self.root / _address(key)}: is the note of {found.key[:16]}…. Run the suite again with --fresh."
            )
        return "" if found is None else found.attempt

    def save_attempt(self, key: str, attempt: str) -> None:
        """Records this run as the newest."""
        self.save(_address(key), Attempt(key=key, attempt=attempt))


def _address(key: str) -> str:
    return f"attempts/{key}.json"
