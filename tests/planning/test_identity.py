"""Identities: what makes an evaluation another one, and what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.planning.identity import evaluation_key, quantization_text, weights_identity
from harness.records.evaluation_manifest import Identity
from harness.suite.variant_model import Variant


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path) -> Iterator[Path]:
    """Hashes are remembered in a cache of this test's own."""
    before = os.environ.get("QUANTGATE_CACHE")
    os.environ["QUANTGATE_CACHE"] = str(tmp_path / "cache")
    yield tmp_path / "cache"
    if before is None:
        del os.environ["QUANTGATE_CACHE"]
    else:
        os.environ["QUANTGATE_CACHE"] = before


def model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def local(folder: Path) -> str:
    return weights_identity(str(folder), is_hub=False, revision=None)


def test_weights_are_named_by_content(tmp_path: Path) -> None:
    """A copy elsewhere is the same model; what is not weights or configuration does not count."""
    one, two = model(tmp_path / "one"), model(tmp_path / "two")
    assert local(one) == local(two)
    (two / "README.md").write_text("hello")
    assert local(one) == local(two)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json", "modeling_own.py"])
def test_changed_weights_configuration_or_code_is_another_model(tmp_path: Path, name: str) -> None:
    """Also where the size stays the same and only the bytes differ."""
    folder = model(tmp_path / "m")
    before = local(folder)
    (folder / name).write_bytes(b"WEIGHTS")
    assert local(folder) != before


def test_hashes_are_remembered_and_their_loss_costs_nothing(tmp_path: Path, own_cache: Path) -> None:
    """A remembered hash is used until size, a time or inode change; a broken or unwritable cache is only slower."""
    folder = model(tmp_path / "m")
    time.sleep(0.2)  # a file that has just changed is not remembered
    before = local(folder)
    entries = json.loads((own_cache / "hashes.json").read_text())
    assert len(entries) == 2
    (own_cache / "hashes.json").write_text(json.dumps(dict.fromkeys(entries, "remembered")))
    assert local(folder) != before
    os.utime(folder / "model.safetensors", ns=(1, 1))
    os.utime(folder / "config.json", ns=(1, 1))
    assert local(folder) == before
    (own_cache / "hashes.json").write_text("not json")
    assert local(folder) == before
    (own_cache / "hashes.json").unlink()
    own_cache.rmdir()
    own_cache.write_text("a file where the folder should be")
    assert local(folder) == before


def test_a_hub_model_is_named_by_its_revision() -> None:
    """A commit names itself; a branch that no cache knows is named as it is."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert weights_identity("org/m", is_hub=True, revision=commit) == f"hub:org/m@{commit}"
    assert weights_identity("org/never-cached", is_hub=True, revision=None) == "hub:org/never-cached@main"


def test_a_branch_is_named_by_the_commit_that_is_cached(tmp_path: Path) -> None:
    """A branch moves; what was downloaded for it does not. So a newer download is another model."""
    refs = tmp_path / "hub" / "models--org--m" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("fedc" * 10)
    program = (
        "from harness.planning.identity import weights_identity\n"
        "print(weights_identity('org/m', is_hub=True, revision=None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub")},
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == f"hub:org/m@{'fedc' * 10}"


def identity(**changes: object) -> Identity:
    fields: dict[str, object] = {
        "weights": "w",
        "quantization": "",
        "tokenizer": "t",
        "requests": "r",
        "engine": "transformers",
        "versions": {"torch": "2.13", "transformers": "5.23"},
        "dtype": "float32",
        "device_type": "cpu",
        "batching": "b",
    }
    return Identity.model_validate({**fields, **changes})


def test_every_part_of_an_identity_is_in_the_key() -> None:
    """Changing any one of them is another evaluation; the order of library versions is not."""
    changes: list[dict[str, object]] = [
        {"weights": "x"},
        {"quantization": "x"},
        {"tokenizer": "x"},
        {"requests": "x"},
        {"engine": "x"},
        {"versions": {"torch": "2.14", "transformers": "5.23"}},
        {"dtype": "bfloat16"},
        {"device_type": "cuda"},
        {"batching": "x"},
        {"baseline": "x"},
    ]
    keys = {evaluation_key(identity(**each)) for each in [{}, *changes]}
    assert len(keys) == len(changes) + 1
    turned = identity(versions={"transformers": "5.23", "torch": "2.13"})
    assert evaluation_key(turned) == evaluation_key(identity())
    assert all(len(key) == 64 for key in keys)


def test_quantization_and_placement_are_text() -> None:
    """Nothing for a plain variant; every parameter of a quantized one; where layers lie counts too."""
    assert quantization_text(Variant(baseline=True, dtype="float32")) == ""
    block = {"method": "bitsandbytes", "bits": 4}
    nf4 = quantization_text(Variant.model_validate({"quantize": {**block, "type": "nf4"}}))
    fp4 = quantization_text(Variant.model_validate({"quantize": {**block, "type": "fp4"}}))
    assert json.loads(nf4)["quantize"]["type"] == "nf4"
    assert nf4 != fp4
    assert quantization_text(Variant(device_map="auto")) not in ("", nf4)
