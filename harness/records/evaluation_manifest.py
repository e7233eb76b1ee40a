"""An evaluation as stored: what it is of, its key, the engine's facts, the limits on its batches."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated

from pydantic import Field

from harness.records.model import SCHEMA, Key, Model, Name

IDENTITY_SCHEMA = 2
"""Increased when more inputs determine an evaluation, or more is checked when a model is loaded. 2: tokenizers,
generation settings, indexes, bases and all parts of a model are part of it."""


class ImportFacts(Model):
    """What is known of a model whose results were imported. None of it was seen here."""

    model: str
    """As the files name it."""
    library: str
    version: str
    """Of the library; empty where the files do not say."""
    files: dict[str, str]
    """File, as it was named, to its SHA-256."""
    noted: dict[str, str] = Field(default_factory=dict)
    """What may differ between the sides: dtype, batch size, device."""


class EngineFacts(Model):
    """`engines.protocol.Facts` as stored; see there for units."""

    engine: str
    architecture: str
    model_type: str
    parameters: int
    dtype: str
    device: str
    device_names: tuple[str, ...] = ()
    linear_modules: int = 0
    quantized_modules: int = 0
    quantized_kinds: dict[str, int] = Field(default_factory=dict)
    dequantised: str | None = None
    bits_per_weight: float | None = None
    packed_parameters: int | None = None
    matrix_parameters: int | None = None
    packed_matrix_parameters: int | None = None
    excepted_parameters: int = 0
    claimed_bits: float | None = None
    weight_bytes: int | None = None
    disk_bytes: int | None = None
    kernels: tuple[str, ...] = ()
    vocabulary: int = 0
    context_length: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    non_finite: tuple[str, ...] = ()
    weights_digest: str | None = None
    weights_digest_full: bool = False
    scoring_path: str = "plain"
    pass_tokens: int | None = None
    cache_tokens: int | None = None
    memory_budget: int | None = None
    load_s: float = 0.0
    server_digest: str | None = None
    imported: Annotated[ImportFacts | None, Field(exclude_if=lambda imported: imported is None)] = None
    """Of results that were computed elsewhere; None for a model that was run."""
    notes: tuple[str, ...] = ()


class Host(Model):
    """Where figures were measured. Speed and memory are compared only between equal fingerprints."""

    fingerprint: str
    system: str
    machine: str
    processor: str
    cores: int
    memory_bytes: int
    accelerators: tuple[str, ...] = ()
    python: str


class Identity(Model):
    """Everything that determines an evaluation. Its hash is the evaluation's key."""

    schema_version: int = IDENTITY_SCHEMA
    weights: str
    """Hash of the weight files that are opened and of what decides how they are read, adapters and the base behind them
    included; a hub id with its commit."""
    quantization: str
    """Canonical JSON of the `quantize` block; empty for none."""
    tokenizer: str
    requests: Key
    """Hash of the task plan: every token id, option, stop string and limit."""
    engine: str
    versions: dict[str, str]
    dtype: str
    device_type: str
    batching: str
    """A code for which items are asked together; older evaluations have a sentence (`harness.planning.batching`)."""
    baseline: str | None = None
    """Key of the baseline evaluation that a divergence was measured from; empty for the model before fine-tuning,
    whose evaluations neither keep states nor measure a divergence."""
    own_tokenizer: str = ""
    """Hash of the variant's own tokenizer and chat template; `tokenizer` is that of the plan."""
    generation: str = ""
    """Hash of the variant's own generation settings."""
    server: str = ""
    """Hash of what a server reports about itself; empty for a model that is loaded here."""
    attempt: str = ""
    """The run that computed it again (--fresh), or because its model could not be identified before."""


class Attempt(Model):
    """The newest attempt at what is computed under a key."""

    schema_version: int = SCHEMA
    key: Key
    """The identity without its attempt."""
    attempt: Name
    """A run."""


def evaluation_key(identity: Identity, *, stored: bool = False) -> str:
    """SHA-256 of the canonical JSON of an identity. `stored`: it was read, and only the fields that were stored count,
    so that an evaluation of a version that knew fewer keeps its key."""
    parts = identity.model_dump(mode="json", exclude_unset=stored)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class BatchLimits(Model):
    """The batch limits from one chunk of an evaluation on."""

    chunk: int
    """The first chunk, counted from 0."""
    pass_tokens: int
    cache_tokens: int
    memory_budget: int
    """See `engines.protocol.Facts`."""

    def same(self, other: BatchLimits) -> bool:
        """Whether batches of both are the same."""
        return self.words == other.words

    @property
    def words(self) -> str:
        return batch_words(self.pass_tokens, self.cache_tokens, self.memory_budget)


def batch_words(pass_tokens: int, cache_tokens: int, memory_budget: int) -> str:
    """The batch limits as a sentence."""
    return (
        f"at most {pass_tokens:,} padded tokens a pass and {cache_tokens:,} of states, "
        f"within {memory_budget / 2**20:,.0f} MiB"
    )


class TokenText(Model):
    """One of the evaluation's most divergent tokens in words: foreign text, as it is."""

    item: str
    place: int
    """Among the document's scored tokens, from 0."""
    before: str
    """The last characters before it."""
    text: str
    baseline_top: str | None = None
    """The most likely token of the baseline there; None where the engine does not tell."""
    top: str | None = None
    """The same of the variant."""


class EvaluationManifest(Model):
    """Written last, by rename: its existence means the evaluation is complete."""

    schema_version: int = SCHEMA
    key: Key
    identity: Identity
    variant: Name
    task: Name
    items: int
    chunks: int
    digest: str
    """SHA-256 over the chunk checksums: equal digests mean byte-equal item records."""
    facts: EngineFacts
    host: Host
    started_at: str
    """UTC, ISO 8601."""
    elapsed_s: float
    """Seconds of model time over all sessions that contributed."""
    batch_limit: int | None = None
    """As `batch_tokens`, in requests; older runs kept that."""
    batches: tuple[BatchLimits, ...] = ()
    """Limits on batches, more than one where the evaluation was resumed with others; empty where an engine has none."""
    batch_tokens: int | None = None
    """Padded tokens of the largest batch that was asked, where memory ran out with a larger one."""
    states: dict[str, str] = Field(default_factory=dict)
    """File of the kept hidden states and output layer to its SHA-256; empty where none are kept."""
    divergent: Annotated[tuple[TokenText, ...], Field(exclude_if=lambda texts: not texts)] = ()
    """The tokens with the highest KL, the highest first; empty where no divergence was measured, and of earlier
    versions."""


class BatchParts(Model):
    """Limits on batches under which an evaluation's chunks were asked so far."""

    schema_version: int = SCHEMA
    parts: tuple[BatchLimits, ...]


class MemoryLimit(Model):
    """What an evaluation, finished or not, found out about memory."""

    schema_version: int = SCHEMA
    tokens: int
    """Padded tokens of the largest batch that is asked, where memory ran out with a larger one."""
