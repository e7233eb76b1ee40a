"""A run as stored: its variants and tasks with pointers to evaluations, and the versions that were promoted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from harness.records.evaluation_manifest import EngineFacts, Host
from harness.records.model import SCHEMA, Key, Model, Name


class TokenDisagreement(Model):
    """The first planned text on which a variant's tokenizer differs from the baseline's."""

    task: str
    item: str
    text: str
    baseline_ids: tuple[int, ...]
    variant_ids: tuple[int, ...]


GRAM, SHORT_GRAM = 13, 8
"""Consecutive words that count as copied; the shorter for items of under `GRAM` words."""


class CalibrationOverlap(Model):
    """What a task's items share with the data a variant was calibrated on."""

    task: str
    items: int
    exact: int
    """Items that occur verbatim in the calibration data."""
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
    """Where a variant was stopped because a limit could no longer hold. Its records stay, but are not a complete
    evaluation.

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
    """Items answered."""
    planned: int
    """Items of the task."""
    drop: float
    """Mean drop over the items asked, a fraction; positive is worse. Early stopping overstates it."""
    wealth: float
    """Wealth of the bet against the limit; it stopped at 1 / alpha or more."""
    saved_s: float | None = None
    """About how many seconds the rest of the variant's tasks would have taken, without its timing."""


class VariantRun(Model):
    """A run's record of one variant: its evaluations, or why it has none."""

    variant: Name
    weights: str | None = None
    quantization: str | None = None
    """As in `Identity`, of every evaluation of the variant; None in runs from before it was stored, and without any."""
    evaluations: dict[Name, Key] = Field(default_factory=dict)
    """Task to evaluation key."""
    second_pass: dict[Name, Key] = Field(default_factory=dict)
    """The baseline's: task to the evaluation of a part of its items in other batches, for the noise floor."""
    second_pass_failure: str | None = None
    """Why a requested second pass is missing."""
    stopped: EarlyStop | None = None
    """Why the remaining tasks and the timing were skipped."""
    facts: EngineFacts | None = None
    speed: Key | None = None
    """Key of its speed record."""
    token_disagreement: TokenDisagreement | None = None
    failure: str | None = None
    """The engine's error, where it refused or died."""
    log: str | None = None
    must_be_quantized: bool = False
    environment: str | None = None
    """The environment it ran in; None is quantgate's own."""
    artifact: dict[str, Any] | None = None
    """The card of the checkpoint that quantgate made for it."""
    calibration: tuple[CalibrationOverlap, ...] = ()

    @property
    def answered(self) -> dict[str, str]:
        """Task to the key under which its answers are stored, that of an evaluation that was stopped early included."""
        part = {} if self.stopped is None else {self.stopped.task: self.stopped.evaluation}
        return part | self.evaluations


class Leak(Model):
    """References that occur in their own prompts where the prompt gives the answer away."""

    items: int
    of: int
    """Items of the task."""
    first: tuple[str, ...]
    """The first few of them."""
    where: str
    """Where they occur: `behind 'Answer: '`."""

    @property
    def matters(self) -> bool:
        """From one item in a hundred on: a question that a large data set has twice, once as an example, is noted."""
        return 100 * self.items >= self.of


class TaskRun(Model):
    """A run's record of one task."""

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
    whole: Annotated[tuple[str, ...], Field(exclude_if=lambda whole: not whole)] = ()
    """Metrics of the whole, which no item has a value of (corpus BLEU)."""
    source: str
    """Where the items came from, for people."""
    definition: str = ""
    """Hash of the task as the suite defined it."""
    data_file: str | None = None
    """The data file as the suite names it, where there is one."""
    data_hash: str | None = None
    """SHA-256 of the data file."""
    notes: tuple[str, ...] = ()
    """The plan's notes on prompts and metrics, for people."""
    leak: Leak | None = None
    """References in their own prompts, where the suite does not say that they belong there."""
    words: Annotated[Key | None, Field(exclude_if=lambda words: words is None)] = None
    """Key of the words of its documents; None for items, and for a run from before they were counted."""


class RunManifest(Model):
    """One run of a suite: pointers to evaluations. Written last, by rename."""

    schema_version: int = SCHEMA
    run: Name
    suite: Name
    suite_file: str
    suite_hash: str
    suite_text: str
    """The suite of the run, so that it can be judged again unchanged."""
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
    """The version's label (--label): a tag, a commit."""
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
