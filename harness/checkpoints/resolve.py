"""The one place that turns a model reference into weights, base, adapters, tokenizer, context length and generation
settings. Used by planning and every engine. It loads nothing, queries no hub and refuses what is ambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.checkpoints.gguf_header import read_header
from harness.checkpoints.opened_files import (
    ADAPTER,
    ANY_WEIGHTS,
    CONFIG,
    GENERATION,
    SETTINGS,
    TOKENIZER,
    adapter_files,
    commit_of,
    gguf_parts,
    has_tokenizer,
    matching,
    read_json,
    snapshot_of,
    weight_files,
)
from harness.errors import EngineError

LENGTHS = ("max_position_embeddings", "n_positions", "n_ctx", "seq_length")
"""Keys of a configuration that give the longest text, by family."""
DEEPEST = 8
"""Adapters on adapters."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What is said of a model."""

    path: str
    """A model's folder, an adapter's folder, a .gguf file, or a hub id."""
    is_hub: bool = False
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    adapter: str | None = None
    """A folder or hub id of an adapter to put on it."""
    tokenizer: str | None = None
    """A folder or hub id, where another tokenizer is wanted than the model's own."""
    gguf_file: str | None = None
    """A .gguf file in the folder that is taken instead of its weights."""
    every_file: bool = False
    """It is loaded by an engine that opens every weights file, not the ones that transformers would choose."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where one part of a model is."""

    path: str
    """What a library is given: an absolute folder, a .gguf file, or a hub id."""
    is_hub: bool
    revision: str | None
    """Of a hub id: the commit, where the local cache knows it."""
    folder: Path | None
    """Where its files are on this machine; None for a hub id of which nothing is cached."""

    @property
    def is_file(self) -> bool:
        """A .gguf file by itself: its neighbours do not belong to it."""
        return not self.is_hub and self.folder != Path(self.path)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One location with the files of it that are opened."""

    place: Location
    weights: tuple[Path, ...] = ()
    settings: tuple[Path, ...] = ()
    """What decides how they are read: an index, configurations, code."""

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.weights, *self.settings)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model reference, resolved."""

    base: Location
    """The weights that adapters, if any, are put on."""
    adapters: tuple[Location, ...]
    """In the order in which they are put on."""
    tokenizer: Location
    """Its own, or the adapter's, or the base's."""
    gguf: Path | None
    """The .gguf file whose weights are taken."""
    gguf_tokenizer: bool
    """The tokenizer is in that file too."""
    parts: tuple[Part, ...]
    """The base's weights, then those of the adapters."""
    generation: Path | None
    """The file of the generation settings; None where there is none."""

    @property
    def weights(self) -> tuple[Path, ...]:
        """Weight files that are opened: of the base, then of the adapters."""
        return tuple(each for part in self.parts for each in part.weights)

    @property
    def places(self) -> tuple[Location, ...]:
        return (*(part.place for part in self.parts), self.tokenizer)

    @property
    def settings(self) -> tuple[Path, ...]:
        return tuple(each for part in self.parts for each in part.settings)

    @property
    def tokenizer_files(self) -> tuple[Path, ...]:
        if self.gguf_tokenizer or self.tokenizer.folder is None:
            return ()
        patterns = TOKENIZER if self.tokenizer == self.base else (*TOKENIZER, CONFIG)
        return matching(self.tokenizer.folder, patterns)

    @property
    def disk_bytes(self) -> int | None:
        """Bytes of the weight files that are opened; None where they are not on this machine."""
        return sum(each.stat().st_size for each in self.weights if each.is_file()) or None

    @cached_property
    def config(self) -> Mapping[str, object] | None:
        """The base's configuration; None where there is none on this machine. Raises `EngineError`."""
        folder = self.base.folder
        if folder is None or not (folder / CONFIG).is_file():
            return None
        return read_json(folder / CONFIG)

    @cached_property
    def code(self) -> tuple[str, ...]:
        """Classes of its own that its configuration names, `module.Class` or `repository--module.Class`: what runs
        where its code is trusted."""
        named = (self.config or {}).get("auto_map")
        return tuple(sorted(str(each) for each in named.values())) if isinstance(named, dict) else ()

    @cached_property
    def context_length(self) -> int | None:
        """Tokens the model can see, as its configuration or its .gguf file says; None where neither does."""
        if self.gguf is not None and self.gguf.is_file():
            header = read_header(self.gguf)
            return header.whole(f"{header.text('general.architecture')}.context_length")
        config = self.config or {}
        text = config.get("text_config")
        return length_in(text if isinstance(text, dict) else config)


def length_in(config: Mapping[str, object]) -> int | None:
    """The longest text by the configuration of a language model; None where it does not say."""
    found = (config.get(name) for name in LENGTHS)
    return next((each for each in found if isinstance(each, int) and each > 0), None)


def resolve(reference: Reference) -> Checkpoint:
    """Find every part of a model. Raises `EngineError` for an adapter without a base, and for files that say nothing.

    A missing file is left to the loader, whose message is better.
    """
    first = locate(reference.path, is_hub=reference.is_hub, revision=reference.revision)
    base, adapters = _chain(first)
    if reference.adapter is not None:
        if adapters:
            raise EngineError(f"{reference.path} is an adapter itself; it cannot take another adapter")
        adapters = (located(reference.adapter),)
    gguf = _gguf(base, reference.gguf_file)
    generation = base.folder / GENERATION if base.folder is not None and not base.is_file else None
    return Checkpoint(
        base=base,
        adapters=adapters,
        tokenizer=_tokenizer(reference, base, adapters),
        gguf=gguf,
        gguf_tokenizer=gguf is not None and reference.tokenizer is None,
        parts=(_base_part(base, gguf, every_file=reference.every_file), *map(_adapter_part, adapters)),
        generation=generation if generation is not None and generation.is_file() else None,
    )


def locate(path: str, *, is_hub: bool, revision: str | None = None) -> Location:
    """A folder, file or hub id, with what the local cache knows of it."""
    if not is_hub:
        place = Path(path)
        return Location(path=path, is_hub=False, revision=None, folder=place.parent if place.is_file() else place)
    commit = commit_of(path, revision)
    return Location(path=path, is_hub=True, revision=commit or revision, folder=snapshot_of(path, revision))


def located(path: str, revision: str | None = None) -> Location:
    """A folder where there is one, else a hub id."""
    is_folder = Path(path).is_dir()
    return locate(str(Path(path).resolve()) if is_folder else path, is_hub=not is_folder, revision=revision)


def _chain(place: Location) -> tuple[Location, tuple[Location, ...]]:
    """The base behind a place, and the adapters on the way to it, the innermost first."""
    adapters: list[Location] = []
    while place.folder is not None and not place.is_file and (place.folder / ADAPTER).is_file():
        if len(adapters) == DEEPEST or place in adapters:
            raise EngineError(f"{place.folder / ADAPTER}: base_model_name_or_path leads back to an adapter on the way")
        adapters.append(place)
        place = base_of(place)
    return place, tuple(reversed(adapters))


def base_of(adapter: Location) -> Location:
    """What an adapter's configuration names as its base: beside it, from here, or on a hub. Raises `EngineError`."""
    assert adapter.folder is not None
    file = adapter.folder / ADAPTER
    described = read_json(file)
    named, revision = described.get("base_model_name_or_path"), described.get("revision")
    if not isinstance(named, str) or not named:
        raise EngineError(f"{file}: base_model_name_or_path is missing; give the base as path and this as adapter")
    beside = adapter.folder / named
    if not adapter.is_hub and beside.is_dir():
        return locate(str(beside.resolve()), is_hub=False)
    return located(named, revision if isinstance(revision, str) else None)


def _gguf(base: Location, named: str | None) -> Path | None:
    if named is not None:
        return base.folder / named if base.folder is not None else None
    return Path(base.path) if base.is_file else None


def _base_part(base: Location, gguf: Path | None, *, every_file: bool) -> Part:
    weights: tuple[Path, ...] = ()
    settings: list[Path] = []
    if gguf is not None:
        weights = gguf_parts(gguf)
    elif base.folder is not None:
        weights, index = weight_files(base.folder)
        weights = matching(base.folder, ANY_WEIGHTS) if every_file else weights
        settings += [index] if index is not None else []
    if base.folder is not None and not base.is_file:
        settings += matching(base.folder, SETTINGS)
    return Part(place=base, weights=weights, settings=tuple(settings))


def _adapter_part(adapter: Location) -> Part:
    if adapter.folder is None:
        return Part(place=adapter)
    return Part(
        place=adapter, weights=adapter_files(adapter.folder), settings=matching(adapter.folder, (ADAPTER, "*.py"))
    )


def _tokenizer(reference: Reference, base: Location, adapters: tuple[Location, ...]) -> Location:
    """The one that is asked for, else the outermost adapter's that has one, else the base's."""
    if reference.tokenizer is not None:
        return located(reference.tokenizer)
    own = (each for each in reversed(adapters) if each.folder is not None and has_tokenizer(each.folder))
    return next(own, base)
