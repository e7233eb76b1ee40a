"""Whatever byte is opened decides whose answers they are; what is not opened, and where a folder lies, does not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checkpoints.contents import Content, Stamp, content_of, opened_files
from harness.checkpoints.resolve import Reference, resolve
from harness.errors import EngineError
from harness.masking import without_secrets
from harness.runner.session import check_loaded

WEIGHTS, TOKENIZER, GENERATION = "weights", "tokenizer", "generation"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A checkpoint of small files, and which of them a loader opens, by what they decide."""

    reference: Reference
    opened: dict[Path, str]
    idle: tuple[Path, ...]


def text(place: Path, content: object) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content if isinstance(content, str) else json.dumps(content))
    return place


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hashes are remembered in a cache of these tests' own."""
    before = os.environ.get("QUANTGATE_CACHE")
    os.environ["QUANTGATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["QUANTGATE_CACHE"]
    else:
        os.environ["QUANTGATE_CACHE"] = before


@st.composite
def layouts(draw: st.DrawFn) -> Callable[[Path], Made]:
    """A folder with one weight file, shards or pickles; with or without an adapter, each with a tokenizer or not."""
    kind = draw(st.sampled_from(["whole", "shards", "pickle", "gguf", "gguf parts"]))
    shards = draw(st.integers(1, 4))
    named = draw(st.sets(st.integers(0, shards - 1), min_size=1))
    has_generation, is_tuned, own_tokenizer = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    template = draw(st.booleans())

    def make(root: Path) -> Made:
        base = root / "base"
        if kind.startswith("gguf"):
            return _gguf(root, parts=shards if kind == "gguf parts" else 1)
        opened = {text(base / "config.json", {"n_ctx": 8}): WEIGHTS, text(base / "modeling_own.py", "pass"): WEIGHTS}
        idle = [text(base / name, name) for name in ("README.md", "optimizer.bin", "scheduler.pt", "training_args.bin")]
        files = [base / f"part-{number}.safetensors" for number in range(shards)]
        if kind == "whole":
            opened[text(base / "model.safetensors", "weights")] = WEIGHTS
            idle += [text(each, each.name) for each in files]
            idle.append(text(base / "model.safetensors.index.json", {"weight_map": {"a": "part-0.safetensors"}}))
        elif kind == "shards":
            table = {f"tensor {number}": f"part-{number}.safetensors" for number in named}
            opened[text(base / "model.safetensors.index.json", {"weight_map": table})] = WEIGHTS
            for number, each in enumerate(files):
                text(each, each.name)
                opened |= {each: WEIGHTS} if number in named else {}
                idle += [] if number in named else [each]
            idle.append(text(base / "pytorch_model.bin", "pickle"))
        else:
            opened[text(base / "pytorch_model.bin", "pickle")] = WEIGHTS
        if has_generation:
            opened[text(base / "generation_config.json", {})] = GENERATION
        folders = [base]
        if is_tuned:
            folders.append(root / "tuned")
            opened[text(root / "tuned" / "adapter_config.json", {"base_model_name_or_path": "../base"})] = WEIGHTS
            opened[text(root / "tuned" / "adapter_model.safetensors", "adapter")] = WEIGHTS
            idle.append(text(root / "tuned" / "adapter_model.bin", "older"))
        for place, folder in enumerate(folders):
            if place == 0 or own_tokenizer:
                taken = folder == folders[-1] or not own_tokenizer
                mine = [text(folder / "tokenizer.json", {}), text(folder / "tokenizer_config.json", {})]
                mine += [text(folder / "chat_template.jinja", "{{ messages }}")] if template else []
                opened |= dict.fromkeys(mine, TOKENIZER) if taken else {}
                idle += [] if taken else mine
        return Made(reference=Reference(path=str(folders[-1])), opened=opened, idle=tuple(idle))

    return make


def _gguf(root: Path, parts: int) -> Made:
    names = [f"m-{number:05d}-of-{parts:05d}.gguf" for number in range(1, parts + 1)] if parts > 1 else ["m.gguf"]
    files = [text(root / name, name) for name in names]
    idle = [
        text(root / name, name) for name in ("config.json", "other.gguf", "tokenizer.json", "generation_config.json")
    ]
    return Made(reference=Reference(path=str(files[0])), opened=dict.fromkeys(files, WEIGHTS), idle=tuple(idle))


def known(made: Made) -> Content:
    return content_of(resolve(made.reference))


def told(content: Content) -> dict[str, str]:
    return {WEIGHTS: content.weights, TOKENIZER: content.tokenizer, GENERATION: content.generation}


def alter(file: Path) -> None:
    """Another last byte but one, the same size, and the time of change put back. JSON stays JSON."""
    before, content = file.stat(), bytearray(file.read_bytes())
    if content[-1:] == b"}":
        file.write_bytes(content[:-1] + b" }")
    else:
        content[-1] ^= 1
        file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.fault("M3", "a shard or an index changed in place", "kind: every byte that is opened is in the identity")
@pytest.mark.fault("M2", "the base behind an adapter changed in place")
@pytest.mark.fault("F1", "weights changed in place, size and time of change as before", "the time of status tells")
@pytest.mark.fault("F4", "the base weights of an adapter's folder overwritten")
@pytest.mark.fault("kind: identity", "any one opened file of any layout of a checkpoint changed by a byte")
@settings(max_examples=60, deadline=None)
@given(layouts(), st.data())
def test_every_opened_byte_decides_and_no_other(make: Callable[[Path], Made], data: st.DataObject) -> None:
    """A changed file changes just the part of the identity that it decides; an idle one changes nothing; nor does a
    move of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "here"
        made = make(root)
        before = known(made)
        assert set(opened_files(resolve(made.reference))) == set(made.opened)
        for idle in made.idle:
            alter(idle)
        assert told(known(made)) == told(before)
        moved = Path(folder) / "a spacé ö"
        shutil.copytree(root, moved)
        path = moved / Path(made.reference.path).relative_to(root)
        assert told(content_of(resolve(Reference(path=str(path))))) == told(before)
        changed = data.draw(st.sampled_from(sorted(made.opened)))
        alter(changed)
        parts = {name for name, value in told(known(made)).items() if value != told(before)[name]}
        assert parts - ({TOKENIZER} if changed.suffix == ".py" else set()) == {made.opened[changed]}


@pytest.mark.fault("M3", "a folder without its index, which cannot be loaded", "it is another model than with it")
def test_a_folder_without_its_index_is_another(tmp_path: Path) -> None:
    """It shares nobody's evaluation, and loading it fails as it does."""
    for name in ("one", "two"):
        text(tmp_path / name / "part.safetensors", "weights")
        text(tmp_path / name / "config.json", {})
    text(tmp_path / "one" / "model.safetensors.index.json", {"weight_map": {"a": "part.safetensors"}})
    one, two = (content_of(resolve(Reference(path=str(tmp_path / name)))) for name in ("one", "two"))
    assert one.weights != two.weights


@pytest.mark.fault("F1", "weights changed between hashing and loading", "refused by the file's name")
def test_what_was_loaded_is_what_was_hashed(tmp_path: Path) -> None:
    """A file that was only touched is the same; one that changed, went or came is named."""
    folder = tmp_path / "m"
    text(folder / "config.json", {})
    weights = text(folder / "model.safetensors", "weights")
    content = known(Made(reference=Reference(path=str(folder)), opened={}, idle=()))

    def opened() -> list[Stamp]:
        files = opened_files(resolve(Reference(path=str(folder))))
        return [each for each in map(Stamp.of, files) if each is not None]

    check_loaded(content, opened())
    os.utime(weights, ns=(1, 1))
    check_loaded(content, opened())
    alter(weights)
    with pytest.raises(EngineError, match=r"model\.safetensors: changed between hashing and loading"):
        check_loaded(content, opened())
    alter(weights)
    come = text(folder / "generation_config.json", {})
    with pytest.raises(EngineError, match=r"generation_config\.json: came between hashing and loading"):
        check_loaded(content, opened())
    come.unlink()
    weights.unlink()
    with pytest.raises(EngineError, match=r"model\.safetensors: changed between"):
        check_loaded(content, opened())


@pytest.mark.fault("F1", "weights whose hash is remembered changed in place, size and time of change as before")
def test_a_time_of_change_that_was_put_back_hides_nothing(tmp_path: Path) -> None:
    """The file's state as the system keeps it has another time, so that it is hashed again."""
    folder = tmp_path / "m"
    text(folder / "config.json", {})
    weights = text(folder / "model.safetensors", "weights")
    time.sleep(0.2)  # what has just changed is not remembered at all
    found = resolve(Reference(path=str(folder)))
    before = content_of(found)
    assert str(weights) in (Path(os.environ["QUANTGATE_CACHE"]) / "hashes.json").read_text()
    alter(weights)
    assert weights.stat().st_mtime_ns == before.stamps[0].mtime_ns
    time.sleep(0.2)
    assert content_of(found).weights != before.weights


@pytest.mark.fault("F1", "what was remembered of a file is wrong", "--fresh hashes again")
def test_fresh_believes_nothing_that_is_remembered(tmp_path: Path) -> None:
    """Whatever is written in the cache of hashes."""
    folder = tmp_path / "m"
    text(folder / "config.json", {})
    text(folder / "model.safetensors", "weights")
    time.sleep(0.2)
    found = resolve(Reference(path=str(folder)))
    right = content_of(found)
    cache = Path(os.environ["QUANTGATE_CACHE"]) / "hashes.json"
    wrong = dict.fromkeys(json.loads(cache.read_text()), "wrong")
    cache.write_text(json.dumps(wrong))
    assert content_of(found).weights != right.weights
    assert content_of(found, fresh=True) == right


@pytest.mark.fault("M1", "a user and a password in a served model's address", "neither is in the identity")
def test_no_password_is_in_an_identity() -> None:
    """Nor does another user make it another model."""
    for url in ("http://u:p@h:8/v1", "http://u:p%40x@h:8/v1", "http://h:8/v1", "http://a:b@c@h:8/v1"):
        assert without_secrets(url) == "http://h:8/v1"
    assert without_secrets("http://[::1]:8/v1@x") == "http://[::1]:8/v1@x"


@pytest.mark.fault("M29", "a hub's cache whose file was changed in place", "it is not what its name in the cache says")
def test_a_damaged_hub_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit stands for the content, so what is cached has to be that; small files go by git's hash."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    commit, home = "ab" * 20, tmp_path / "models--org--m"
    contents = {"model.safetensors": b"weights", "config.json": b"{}"}
    names = {
        "model.safetensors": hashlib.sha256(b"weights").hexdigest(),
        "config.json": hashlib.sha1(b"blob 2\0{}", usedforsecurity=False).hexdigest(),
    }
    for name, content in contents.items():
        blob = home / "blobs" / names[name]
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = home / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    found = content_of(resolve(Reference(path="org/m", is_hub=True, revision=commit)))
    assert found.weights == f"hub:org/m@{commit}"
    assert found.is_complete
    unknown = content_of(resolve(Reference(path="org/m", is_hub=True)))
    assert not unknown.is_complete
    (home / "blobs" / names["config.json"]).write_bytes(b"[]")
    with pytest.raises(EngineError, match="is not what its hub's commit holds"):
        content_of(resolve(Reference(path="org/m", is_hub=True, revision=commit)))
