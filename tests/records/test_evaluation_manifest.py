"""An evaluation's key and the limits on its batches, as stored."""

from __future__ import annotations

import hashlib
import json

import pytest

from harness.records.evaluation_manifest import BatchLimits, Identity, batch_words, evaluation_key

PARTS: dict[str, object] = {
    "weights": "w",
    "quantization": "",
    "tokenizer": "t",
    "requests": "r",
    "engine": "scripted",
    "versions": {"b": "2", "a": "1"},
    "dtype": "float32",
    "device_type": "cpu",
    "batching": "blocks-1",
}


def key_of(parts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def test_a_key_is_the_hash_of_every_field() -> None:
    """Those with a default are in it, so that a later default cannot change what was meant."""
    identity = Identity.model_validate(PARTS)
    assert evaluation_key(identity) == key_of(identity.model_dump(mode="json"))
    assert {"server", "attempt", "own_tokenizer"} < identity.model_dump().keys()


def test_a_stored_identity_keeps_the_key_of_its_version() -> None:
    """One that was written by a version that knew fewer fields has the key of what stood there."""
    stored = {**PARTS, "schema_version": 1, "baseline": None}
    assert evaluation_key(Identity.model_validate(stored), stored=True) == key_of(stored)
    assert evaluation_key(Identity.model_validate(stored)) != key_of(stored)


@pytest.mark.parametrize("field", sorted(PARTS))
def test_every_field_decides_the_key(field: str) -> None:
    """Another value anywhere is another evaluation."""
    other = {**PARTS, field: {"a": "1"} if field == "versions" else "other"}
    assert evaluation_key(Identity.model_validate(other)) != evaluation_key(Identity.model_validate(PARTS))


def test_limits_in_words_tell_batches_apart() -> None:
    """Equal words are equal batches, whichever chunk they began with; a budget counts in whole MiB."""
    first = BatchLimits(chunk=0, pass_tokens=2048, cache_tokens=4096, memory_budget=2**30)
    assert first.words == batch_words(2048, 4096, 2**30)
    assert first.words == "at most 2,048 padded tokens a pass and 4,096 of states, within 1,024 MiB"
    assert first.same(first.model_copy(update={"chunk": 7}))
    assert not first.same(first.model_copy(update={"pass_tokens": 1024}))
