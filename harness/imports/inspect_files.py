"""Inspect's log files (inspect_ai 0.3.285, `EvalLog.version` 2): the header, and the samples one at a time.

`.eval` is a ZIP archive with `header.json` and `samples/{id}_epoch_{n}.json`; a long sample is a folder with
`sample.json` and the parts that are not needed here beside it. `.json` is one object with `samples` in it. Of a sample
that an archive holds twice the last counts, as in Inspect, which appends when it tries a sample again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.imports.lines import Object, json_file, list_in, object_in, parsed
from harness.imports.shape import UnreadableError
from harness.imports.zip_members import Archive, opened

LOG_VERSION = 2
HEADER = "header.json"
_SAMPLE = re.compile(r"samples/(?P<id>.+)_epoch_(?P<epoch>\d+)(?:\.json|/sample\.json)", re.DOTALL)
_REFERENCE = re.compile(r"attachment://(?P<key>.+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample in one epoch, as the file holds it."""

    place: str
    fields: Object


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One log: one task, evaluated once."""

    path: Path
    header: Object
    """Everything but the samples."""
    logged: int
    """Samples in it, over all epochs."""
    rewritten: int = 0
    """Samples that it holds twice."""

    @property
    def is_archive(self) -> bool:
        return self.path.suffix == ".eval"

    def of(self, *keys: str) -> Any:
        """A value of the header; None where a part of the way is missing."""
        value: Any = self.header
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def table(self, *keys: str) -> Object:
        """An object of the header, empty where there is none. Raises `UnreadableError` for anything else."""
        return object_in(str(self.path), ".".join(keys), self.of(*keys))

    def listing(self, *keys: str) -> list[Any]:
        """As `table`, of a list."""
        return list_in(str(self.path), ".".join(keys), self.of(*keys))

    def samples(self) -> Iterator[Sample]:
        """In the data set's order, the epochs of each sample together. Raises `UnreadableError`."""
        if not self.is_archive:
            return self._listed()
        return self._members()

    def _order(self) -> Mapping[str, int]:
        return {str(each): place for place, each in enumerate(self.listing("eval", "dataset", "sample_ids"))}

    def _listed(self) -> Iterator[Sample]:
        order = self._order()
        found = json_file(self.path)["samples"]
        places = dict(enumerate(found))
        keys = {place: _key(f"{self.path}:samples[{place}]", fields) for place, fields in places.items()}
        first: dict[str, int] = {}
        for place, (name, _) in keys.items():
            first.setdefault(name, order.get(name, len(order) + place))
        for place in sorted(keys, key=lambda place: (first[keys[place][0]], keys[place][1])):
            yield Sample(place=f"{self.path}:samples[{place}]", fields=found[place])

    def _members(self) -> Iterator[Sample]:
        order = self._order()
        with opened(self.path) as archive:
            members = sample_members(archive)
            first: dict[str, int] = {}
            for name, _ in members:
                first.setdefault(name, order.get(name, len(order) + len(first)))
            for key in sorted(members, key=lambda key: (first[key[0]], key[1])):
                place = f"{self.path}:{members[key]}"
                fields = _with_parts(archive, members[key], parsed(place, archive.read(members[key])))
                if _key(place, fields) != key:
                    says = f"holds sample {fields.get('id')!r} of epoch {fields.get('epoch')!r}"
                    raise UnreadableError(place, f"{says}, and its name says {key[0]!r} and {key[1]}")
                yield Sample(place=place, fields=fields)


def _key(place: str, fields: object) -> tuple[str, int]:
    """Id and epoch of a sample."""
    if isinstance(fields, dict) and isinstance(fields.get("id"), str | int) and isinstance(fields.get("epoch"), int):
        return str(fields["id"]), int(fields["epoch"])
    raise UnreadableError(place, "expected a sample with an `id` and an `epoch`, as inspect_ai writes them")


def sample_members(archive: Archive) -> dict[tuple[str, int], str]:
    """Id and epoch to the member that holds the sample. Raises `UnreadableError` for two of them."""
    found: dict[tuple[str, int], str] = {}
    for name in archive.names:
        if (parts := _SAMPLE.fullmatch(name)) is None:
            continue
        key = parts["id"], int(parts["epoch"])
        if key in found:
            raise UnreadableError(f"{archive.path}:{name}", f"is the same sample as {found[key]}; keep one of them")
        found[key] = name
    return found


def _with_parts(archive: Archive, member: str, fields: Object) -> Object:
    """A sample with its metadata, which stand in a file of their own where the sample is a folder."""
    folder = member.removesuffix("sample.json")
    if folder == member:
        return fields
    name = f"{folder}metadata.json"
    more = {"metadata": parsed(f"{archive.path}:{name}", archive.read(name))} if name in archive.names else {}
    return {**fields, **more}


def resolved(sample: Sample, text: str) -> str:
    """A text, or what it refers to in the sample's attachments. Raises `UnreadableError` where that is not there."""
    reference = _REFERENCE.fullmatch(text)
    if reference is None:
        return text
    attachments = sample.fields.get("attachments")
    found = attachments.get(reference["key"]) if isinstance(attachments, dict) else None
    if not isinstance(found, str):
        raise UnreadableError(sample.place, f"refers to {text[:80]!r}, which is not among its attachments")
    return found


def log_file(path: Path) -> LogFile:
    """A log with its header. Raises `UnreadableError` for a file that is not a finished log of this version."""
    if path.suffix == ".eval":
        with opened(path) as archive:
            if HEADER not in archive.names:
                says = f"has no {HEADER}: the evaluation did not finish; run it to its end (inspect eval-retry)"
                raise UnreadableError(path, says)
            header = parsed(f"{path}:{HEADER}", archive.read(HEADER))
            samples = sample_members(archive)
            rewritten = len(set(archive.repeated) & set(samples.values()))
        found = LogFile(path=path, header=header, logged=len(samples), rewritten=rewritten)
    else:
        header = json_file(path)
        listed = list_in(str(path), "samples", header.pop("samples", None))
        found = LogFile(path=path, header=header, logged=len(listed))
    if found.of("version") != LOG_VERSION or not isinstance(found.of("eval"), dict):
        says = f"expected a log of version {LOG_VERSION} with `eval` and `status`, got version {found.of('version')!r}"
        raise UnreadableError(path, f"{says}; convert it with `inspect log convert`")
    return found
