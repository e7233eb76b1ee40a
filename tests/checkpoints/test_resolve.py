"""A model reference becomes the files that loading opens, by one place for planning and engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.checkpoints.resolve import Reference, resolve
from harness.errors import EngineError


def write(folder: Path, **files: object) -> Path:
    """A folder; a dot in a name is written as two underscores, a mapping as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def base(folder: Path) -> Path:
    return write(
        folder,
        config__json={"max_position_embeddings": 64},
        model__safetensors="base weights",
        tokenizer__json="{}",
        generation_config__json={},
    )


def adapter(folder: Path, on: str, **files: object) -> Path:
    described = {"base_model_name_or_path": on}
    return write(folder, adapter_config__json=described, adapter_model__safetensors="adapter weights", **files)


def names(files: tuple[Path, ...]) -> list[str]:
    return [each.name for each in files]


@pytest.mark.fault("M25", "stray weight files beside the ones that are loaded", "sizes count what is opened")
def test_only_what_is_opened_counts(tmp_path: Path) -> None:
    """One whole file is taken before pickles, shards and what an optimizer left."""
    folder = base(tmp_path / "m")
    write(folder, pytorch_model__bin="pickle", optimizer__bin="optimizer", README__md="hello")
    write(folder, **{"model-00001-of-00002__safetensors": "shard"})
    found = resolve(Reference(path=str(folder)))
    assert names(found.weights) == ["model.safetensors"]
    assert names(found.settings) == ["config.json"]
    assert found.disk_bytes == len("base weights")


@pytest.mark.fault("M3", "a safetensors index that names other shards", "the index decides what is opened")
def test_an_index_decides_which_shards_are_opened(tmp_path: Path) -> None:
    """The index is read, also for what is missing; shards that it does not name are none of the model's."""
    table = {"a": "one.safetensors", "b": "two.safetensors"}
    folder = write(
        tmp_path / "m",
        config__json={},
        **{"model.safetensors.index__json": {"weight_map": table}, "one__safetensors": "1", "three__safetensors": "3"},
    )
    found = resolve(Reference(path=str(folder)))
    assert names(found.weights) == ["one.safetensors", "two.safetensors"]
    assert names(found.settings) == ["model.safetensors.index.json", "config.json"]


@pytest.mark.fault("M13", "an adapter folder without a tokenizer as the model", "its base's tokenizer is taken")
@pytest.mark.fault("M33", "an adapter folder as the model", "its base's configuration gives the longest text")
def test_an_adapter_without_a_tokenizer_takes_its_base_s(tmp_path: Path) -> None:
    """Weights are the base's and the adapter's; tokenizer, longest text and generation settings are the base's."""
    base(tmp_path / "base")
    folder = adapter(tmp_path / "tuned", "../base")
    found = resolve(Reference(path=str(folder)))
    assert names(found.weights) == ["model.safetensors", "adapter_model.safetensors"]
    assert found.base.path == str(tmp_path / "base")
    assert found.tokenizer == found.base
    assert found.context_length == 64
    assert found.generation == tmp_path / "base" / "generation_config.json"


@pytest.mark.fault("M11", "an adapter folder with added tokens", "its own tokenizer is taken by everybody")
def test_an_adapter_s_own_tokenizer_comes_first(tmp_path: Path) -> None:
    """Also where the adapter is put on by the suite; a tokenizer that is asked for comes before both."""
    own = base(tmp_path / "base")
    folder = adapter(tmp_path / "tuned", "../base", tokenizer__json='{"own": 1}')
    for reference in (Reference(path=str(folder)), Reference(path=str(own), adapter=str(folder))):
        assert resolve(reference).tokenizer.path == str(folder)
    other = write(tmp_path / "other", tokenizer__json="{}")
    assert resolve(Reference(path=str(folder), tokenizer=str(other))).tokenizer.path == str(other)


def test_adapters_on_adapters_are_followed(tmp_path: Path) -> None:
    """The innermost comes first; one that leads back to itself is refused, as is one without a base."""
    base(tmp_path / "base")
    adapter(tmp_path / "inner", "../base")
    outer = adapter(tmp_path / "outer", "../inner")
    found = resolve(Reference(path=str(outer)))
    assert [Path(each.path).name for each in found.adapters] == ["inner", "outer"]
    adapter(tmp_path / "base", "../outer")
    with pytest.raises(EngineError, match="leads back"):
        resolve(Reference(path=str(outer)))
    write(tmp_path / "inner", adapter_config__json={})
    with pytest.raises(EngineError, match="base_model_name_or_path is missing"):
        resolve(Reference(path=str(tmp_path / "inner")))


def test_every_part_of_a_split_file_is_opened(tmp_path: Path) -> None:
    """Parts are named by the first; what lies beside a .gguf file by itself is not its."""
    parts = [tmp_path / f"m-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    for part in parts:
        part.write_bytes(b"GGUF")
    base(tmp_path)
    found = resolve(Reference(path=str(parts[0])))
    assert list(found.weights) == parts
    assert not found.settings
    assert not found.tokenizer_files
    assert found.generation is None


@pytest.mark.fault("M29", "a hub snapshot of links, space and ö in its path", "it is read as a folder")
def test_a_cached_hub_id_is_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch goes by the commit that was downloaded; nothing cached leaves everything to whoever loads it."""
    cache = tmp_path / "a spacé ö"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    commit = "0123456789abcdef0123456789abcdef01234567"
    blobs = base(cache / "models--org--m" / "blobs")
    snapshot = cache / "models--org--m" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for each in blobs.iterdir():
        (snapshot / each.name).symlink_to(each)
    refs = cache / "models--org--m" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    found = resolve(Reference(path="org/m", is_hub=True))
    assert found.base.revision == commit
    assert list(found.weights) == [snapshot / "model.safetensors"]
    assert found.disk_bytes == len("base weights")
    absent = resolve(Reference(path="org/never", is_hub=True, revision="v2"))
    assert not absent.weights
    assert absent.base.revision == "v2"
