"""Plans in the results folder: the planned items of a task. Owns their files, one checksum per file.

A plan is named by the hash of all its requests, so an existing one is never rewritten unless it is damaged.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import ValidationError

from harness.errors import RecordError, unwritable
from harness.records.columns import Floats, PlanColumns
from harness.records.files import unreadable, write_atomically
from harness.records.items import PlannedItem, WordCounts
from harness.records.parse import read_plan
from harness.records.seal import Folder, lines_with_checksum, open_lines, room_for_checksum, seal_lines


class Plans(Folder):
    """The part of a `Store` below `plans/`."""

    def save_plan(self, plan_hash: str, items: Iterable[PlannedItem]) -> None:
        """Store a plan, unless an intact one exists."""
        address = _address(plan_hash)
        try:
            with self._plan_lines(plan_hash):
                return
        except RecordError:  # missing or damaged: the items below are what was stored
            lines = "".join(item.model_dump_json() + "\n" for item in items)
            write_atomically(self.root / address, lines_with_checksum(lines.encode(), address))

    def save_streamed_plan(self, settings: str, items: Iterable[PlannedItem]) -> str:
        """Store a plan of which only one item at a time is in memory; returns its hash, which is over the settings and
        the items as `TaskPlan.hash` is. Raises `RecordError`, and whatever `items` raises; then nothing is stored.
        """
        folder, digest = self.root / "plans", hashlib.sha256(settings.encode())
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".streamed.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(room_for_checksum())
                for item in items:
                    line = item.model_dump_json().encode()
                    digest.update(line)
                    stream.write(line + b"\n")
            plan_hash = digest.hexdigest()
            try:
                with self._plan_lines(plan_hash):
                    pass
            except RecordError:  # missing or damaged
                seal_lines(temporary, _address(plan_hash))
                temporary.replace(self.root / _address(plan_hash))
            return plan_hash
        except OSError as error:
            raise RecordError(unwritable(folder, error)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def plan(self, plan_hash: str) -> list[PlannedItem]:
        return list(self.planned_items(plan_hash))

    def planned_items(self, plan_hash: str) -> Iterator[PlannedItem]:
        """The items of a plan, one at a time. Raises `RecordError` when it is missing or damaged."""
        with self._plan_lines(plan_hash) as lines:
            for line in lines:
                yield PlannedItem.model_validate_json(line)

    def plan_columns(self, plan_hash: str, words: str | None = None) -> PlanColumns:
        """The numbers of a plan's items. `words`: the key of what `save_words` stored of them. Raises `RecordError` as
        `plan`."""
        with self._plan_lines(plan_hash) as lines:
            columns = read_plan(lines)
        return columns if words is None else replace(columns, words=self._words(words, len(columns.items)))

    def save_words(self, words: Sequence[int]) -> str:
        """Store the words of a plan's documents, in its order; returns their key. They are no part of the plan: they
        determine no answer, and plans from before they were counted stay as they are."""
        counts = WordCounts(words=tuple(words))
        key = hashlib.sha256(counts.model_dump_json().encode()).hexdigest()
        try:
            if self.load(_words_address(key), WordCounts) is not None:
                return key
        except RecordError:  # damaged: the counts are what was stored
            pass
        self.save(_words_address(key), counts)
        return key

    def _words(self, key: str, items: int) -> Floats:
        path = self.root / _words_address(key)
        counts = self.load(_words_address(key), WordCounts)
        if counts is None:
            raise RecordError(f"{path}: no such file, and a run refers to it; run the suite again")
        if len(counts.words) != items:
            raise RecordError(f"{path}: counts the words of {len(counts.words)} documents, the plan has {items}")
        return np.asarray(counts.words, dtype=np.float64)

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
        """The plan's lines, behind its checksum, which is looked at once for a file that stays the same."""
        address = _address(plan_hash)
        path = self.root / address
        try:
            with path.open("rb") as lines:
                facts = os.fstat(lines.fileno())
                same = facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
                known = self._looked_at.get(address) == same
                if open_lines(path, lines, address, known=known):
                    self._looked_at[address] = same
                else:
                    self.without_checksum.add(address)
                yield lines
        except FileNotFoundError:
            raise RecordError(f"{path}: no such plan") from None
        except OSError as error:
            raise unreadable(path, error) from error
        except ValidationError as error:
            raise RecordError(f"{path}: damaged: {error.errors()[0]['msg']}") from error
        except ValueError as error:
            raise RecordError(f"{path}: damaged: {error}") from error


def _address(plan_hash: str) -> str:
    return f"plans/{plan_hash}.jsonl"


def _words_address(key: str) -> str:
    return f"plans/{key}.words.json"
