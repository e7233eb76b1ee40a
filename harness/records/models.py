"""What is stored: items, evaluations and runs. Frozen, strict, schema versioned.

Owns shapes only; `store.py` is the one reader and writer, `verdict.py` holds the verdict's shape. Names and keys that
become parts of a path are refused here when they could lead anywhere else.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 2
"""2: every record carries a checksum (`seal.py`)."""
IDENTITY_SCHEMA = 2
"""Raised when an evaluation is decided by more than before, or more is checked when a model is loaded. 2: tokenizers,
generation settings, indexes, bases and all parts of a model are part of it."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$")]
"""Of a suite, run, variant or task: as suites allow them, and a space for the `base model`. No path leads out of it."""
Key = Name
"""Of an evaluation, a plan or a timing: a hash, and part of a path too."""


class Model(BaseModel):
    """What every record shares. Finite numbers only: NaN and infinity are a `Failed`, never a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scored(Model):
    """A score the harness computed from the model's answer."""

    kind: Literal["scored"] = "scored"
    value: float


class Failed(Model):
    """The harness could not get or score an answer: out of memory, a NaN, a prompt that is too long."""

    kind: Literal["failed"] = "failed"
    stage: Literal["load", "score", "generate", "too_long"]
    error: str


Outcome = Annotated[Scored | Failed, Field(discriminator="kind")]


def outcome(value: float, *, stage: Literal["load", "score", "generate", "too_long"] = "score") -> Outcome:
    """`Scored`, or `Failed` when the value is not a finite number."""
    if math.isfinite(value):
        return Scored(value=float(value))
    return Failed(stage=stage, error=f"the model gave {value}, which is no score")


class PlannedItem(Model):
    """One item as planned: the same for every variant, stored once per task plan."""

    item: str
    """Stable id: the row's own id, or a hash of its content."""
    index: int
    prompt_hash: str
    """SHA-256 over the token ids of every request of the item (over the text for a served endpoint)."""
    prompt: str
    """What the model is shown, for people; a perplexity document's beginning."""
    options: tuple[str, ...] = ()
    """Multiple choice: the options' text in scoring order."""
    expected: str = ""
    """The reference answer as text."""
    slices: dict[str, str] = {}
    cluster: str | None = None
    tokens: int = 0
    """Prompt tokens over all requests, a shared context counted once."""
    bytes: int = 0
    """UTF-8 bytes of the scored text (perplexity)."""
    too_long: str | None = None
    """Why the item cannot be asked within the model's context, when it cannot."""


class OptionAnswer(Model):
    """A scored option: its summed log-likelihood in nats (None when not finite) and token count."""

    log_likelihood: float | None
    tokens: int
    greedy: bool


class TextAnswer(Model):
    """A generated answer."""

    text: str
    tokens: int
    finish: Literal["stop", "length"]


class DocumentScore(Model):
    """Teacher-forced scoring of one document."""

    nll: float | None
    """Negative log-likelihood in nats over the scored tokens; None when not finite."""
    tokens: int
    kl: float | None = None
    """Sum of KL over the scored tokens, in nats. None for the baseline and where no divergence was asked."""
    top1_agree: int | None = None
    delta_p: float | None = None
    """Sum over the scored tokens of p_variant(true token) - p_baseline(true token)."""
    delta_p_squared: float | None = None
    kl_values: str | None = None
    """KL of every scored token: base64 of little-endian float32, for quantiles and the histogram."""


class ItemRecord(Model):
    """What one variant did on one item."""

    item: str
    prompt_hash: str
    options: tuple[OptionAnswer, ...] = ()
    answer: TextAnswer | None = None
    document: DocumentScore | None = None
    metrics: dict[str, Outcome]
    """Per-item value of every metric of the task."""


class EngineFacts(Model):
    """`engines.seam.Facts` as stored; see there for units."""

    engine: str
    architecture: str
    model_type: str
    parameters: int
    dtype: str
    device: str
    device_names: tuple[str, ...] = ()
    linear_modules: int = 0
    quantized_modules: int = 0
    quantized_kinds: dict[str, int] = {}
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
    versions: dict[str, str] = {}
    non_finite: tuple[str, ...] = ()
    weights_digest: str | None = None
    weights_digest_full: bool = False
    scoring_path: str = "plain"
    pass_tokens: int | None = None
    cache_tokens: int | None = None
    memory_budget: int | None = None
    load_s: float = 0.0
    server_digest: str | None = None
    notes: tuple[str, ...] = ()


class TokenDisagreement(Model):
    """The first planned text on which a variant's tokenizer differs from the baseline's."""

    task: str
    item: str
    text: str
    baseline_ids: tuple[int, ...]
    variant_ids: tuple[int, ...]


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
    """Everything that, when changed, makes it another evaluation. Its hash is the evaluation's key."""

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
    """Hash of what a server says of itself; empty for a model that is loaded here."""
    attempt: str = ""
    """The run that computed it although it was there (--fresh), or although its model could not be known before."""


class Attempt(Model):
    """The newest attempt at what is computed under a key."""

    schema_version: int = SCHEMA
    key: Key
    """As it is without an attempt."""
    attempt: Name
    """A run."""


def evaluation_key(identity: Identity, *, stored: bool = False) -> str:
    """SHA-256 of the canonical JSON of an identity. `stored`: it was read, and only the fields that stood there count,
    so that an evaluation of a version that knew fewer keeps its key."""
    parts = identity.model_dump(mode="json", exclude_unset=stored)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class BatchLimits(Model):
    """What batches went by from one chunk of an evaluation on."""

    chunk: int
    """The first chunk, counted from 0."""
    pass_tokens: int
    cache_tokens: int
    memory_budget: int
    """See `engines.seam.Facts`."""

    def same(self, other: BatchLimits) -> bool:
        """Whether batches of both are the same."""
        return self.words == other.words

    @property
    def words(self) -> str:
        return batch_words(self.pass_tokens, self.cache_tokens, self.memory_budget)


def batch_words(pass_tokens: int, cache_tokens: int, memory_budget: int) -> str:
    """Limits of batches, for people."""
    return (
        f"at most {pass_tokens:,} padded tokens a pass and {cache_tokens:,} of states, "
        f"within {memory_budget / 2**20:,.0f} MiB"
    )


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
    states: dict[str, str] = {}
    """File of the kept hidden states and output layer to its SHA-256; empty where none are kept."""


class BatchParts(Model):
    """Limits on batches under which an evaluation's chunks were asked so far."""

    schema_version: int = SCHEMA
    parts: tuple[BatchLimits, ...]


class MemoryLimit(Model):
    """What an evaluation, finished or not, found out about memory."""

    schema_version: int = SCHEMA
    tokens: int
    """Padded tokens of the largest batch that is asked, where memory ran out with a larger one."""


class TimingSample(Model):
    """One run of a workload, in seconds."""

    ttft_s: float
    end_to_end_s: float
    inter_token_s: tuple[float, ...]


class TimedPair(Model):
    """Two adjacent runs; `order` says which came first."""

    order: Literal["AB", "BA"]
    baseline: TimingSample
    candidate: TimingSample


class WorkloadTimes(Model):
    batch: int
    prompt_tokens: int
    new_tokens: int
    pairs: tuple[TimedPair, ...]

    @property
    def name(self) -> str:
        return f"{self.batch}x{self.prompt_tokens}+{self.new_tokens}"


class MemoryFigures(Model):
    """Bytes of one fresh process; None where a figure cannot be had."""

    weight_bytes: int | None = None
    disk_bytes: int | None = None
    process_peak_load_bytes: int | None = None
    process_peak_inference_bytes: int | None = None
    allocator_peak_allocated_bytes: int | None = None
    allocator_peak_reserved_bytes: int | None = None
    device_process_peak_bytes: int | None = None
    workload: str | None = None
    """The batch and context at which the inference figures were taken."""


MEMORY_FIELDS: dict[str, str] = {
    "weight_bytes": "weight_bytes",
    "disk_bytes": "disk_bytes",
    "process_peak_bytes": "process_peak_inference_bytes",
    "allocator_peak_bytes": "allocator_peak_allocated_bytes",
    "allocator_reserved_bytes": "allocator_peak_reserved_bytes",
    "device_peak_bytes": "device_process_peak_bytes",
}
"""Memory metric of a suite to its field of `MemoryFigures`."""


class SpeedRecord(Model):
    """Speed and memory of one candidate beside the baseline, both in fresh processes of one host."""

    schema_version: int = SCHEMA
    key: Key
    variant: Name
    baseline: Name
    host: Host
    workloads: tuple[WorkloadTimes, ...]
    memory: MemoryFigures
    baseline_memory: MemoryFigures
    measured_at: str


GRAM, SHORT_GRAM = 13, 8
"""Words in a row that count as copied; the shorter for items of under `GRAM` words."""


class CalibrationOverlap(Model):
    """What a task's items share with the data a variant was calibrated on."""

    task: str
    items: int
    exact: int
    """Items that stand in the calibration data word for word."""
    exact_items: tuple[str, ...] = ()
    copied: int
    """Further items that share `GRAM` words in a row with it (`SHORT_GRAM` for short items)."""
    copied_items: tuple[str, ...] = ()
    distance: float
    """Jensen-Shannon distance of the word frequencies, 0 to 1."""
    calibration_words: float
    evaluation_words: float
    """Median words of a text."""


class EarlyStop(Model):
    """Where a variant was stopped because a limit could no longer be held. Its records stay, and are no evaluation.

    The test of `harness.stats.betting` over the first `chunks` chunks: whole blocks of the shuffled order.
    """

    task: Name
    metric: str
    gate: str
    """The gate that stopped it, as the verdict names it."""
    limit: float
    """That gate's `max_drop`, a fraction."""
    alpha: float
    """That gate's, shared among the gates that can stop the variant."""
    evaluation: Key
    """Key of the unfinished evaluation."""
    chunks: int
    digest: str
    """SHA-256 over the checksums of these chunks."""
    items: int
    """Items asked."""
    planned: int
    """Items of the task."""
    drop: float
    """Mean drop over the items asked, a fraction; positive is worse. What stopped early overstates it."""
    wealth: float
    """Of the bet against the limit; it stopped at 1 / alpha or more."""
    saved_s: float | None = None
    """About how many seconds the rest of the variant's tasks would have taken, without its timing."""


class VariantRun(Model):
    """What a run knows of one variant: its evaluations, or why it has none."""

    variant: Name
    weights: str | None = None
    quantization: str | None = None
    """As in `Identity`, of every evaluation of the variant; None in runs of before this was kept, and without any."""
    evaluations: dict[Name, Key] = {}
    """Task to evaluation key."""
    second_pass: dict[Name, Key] = {}
    """The baseline's: task to the evaluation of a part of its items in other batches, for the noise floor."""
    second_pass_failure: str | None = None
    """Why a second pass was wanted and is not there."""
    stopped: EarlyStop | None = None
    """Why the remaining tasks, and its timing, were left out."""
    facts: EngineFacts | None = None
    speed: Key | None = None
    """Key of its speed record."""
    token_disagreement: TokenDisagreement | None = None
    failure: str | None = None
    """The engine refused or died: what it said."""
    log: str | None = None
    must_be_quantized: bool = False
    environment: str | None = None
    """The environment it ran in; None is quantgate's own."""
    artifact: dict[str, Any] | None = None
    """The card of the checkpoint that quantgate made for it."""
    calibration: tuple[CalibrationOverlap, ...] = ()

    @property
    def answered(self) -> dict[str, str]:
        """Task to the key under which its answers lie, that of an evaluation that was stopped early included."""
        part = {} if self.stopped is None else {self.stopped.task: self.stopped.evaluation}
        return part | self.evaluations


class Leak(Model):
    """References that stand in their own prompts where the prompt gives the answer away."""

    items: int
    of: int
    """Items of the task."""
    first: tuple[str, ...]
    """The first few of them."""
    where: str
    """Where they stand: `behind 'Answer: '`."""

    @property
    def matters(self) -> bool:
        """From one item in a hundred on: a question that a large data set has twice, once as an example, is noted."""
        return 100 * self.items >= self.of


class TaskRun(Model):
    """What a run knows of one task."""

    task: Name
    plan: Key
    """Hash of the task plan."""
    kind: Literal["choice", "generate", "perplexity"]
    items: int
    tokens: int
    too_long: int
    metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...] = ()
    """Those of `metrics` where less is better."""
    source: str
    """Where the items came from, for people."""
    definition: str = ""
    """Hash of the task as the suite defined it."""
    data_file: str | None = None
    """The data file as the suite names it, where there is one."""
    data_hash: str | None = None
    """SHA-256 of the data file."""
    notes: tuple[str, ...] = ()
    """What the plan says of its prompts and metrics, for people."""
    leak: Leak | None = None
    """References in their own prompts, where the suite does not say that they belong there."""


class RunManifest(Model):
    """One run of a suite: pointers to evaluations. Written last, by rename."""

    schema_version: int = SCHEMA
    run: Name
    suite: Name
    suite_file: str
    suite_hash: str
    suite_text: str
    """The suite as it was, so that a run can be judged again on its own terms."""
    baseline: Name
    variants: dict[Name, VariantRun]
    base: VariantRun | None = None
    """The model before fine-tuning, where the suite names one: neither baseline nor candidate."""
    tasks: dict[Name, TaskRun]
    host: Host
    quantgate: str
    started_at: str
    elapsed_s: float
    partial: bool = False
    """Made with --limit, --variant or --task: not the whole suite."""
    limit: int | None = None
    """At most this many items of each task (--limit)."""
    label: str = ""
    """The version as its makers call it (--label): a tag, a commit."""
    reference: Name | None = None
    """Run of the last promoted version when this run was made."""
    reference_variant: Name | None = None


class Accepted(Model):
    """A promoted version: the last one is the reference that later runs are compared with."""

    run: Name
    variant: Name
    promoted_at: str
    note: str = ""
    name: str = ""
    """What people call it, such as v12; empty: `variant@run`."""
    waivers: tuple[str, ...] = ()
    """The waivers it passed under, in sentences."""
