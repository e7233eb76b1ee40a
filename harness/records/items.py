"""Items as stored: the planned requests, and one variant's answers."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from harness.records.model import SCHEMA, Model


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
    slices: dict[str, str] = Field(default_factory=dict)
    cluster: str | None = None
    tokens: int = 0
    """Prompt tokens over all requests, a shared context counted once."""
    bytes: int = 0
    """UTF-8 bytes of the scored text (perplexity)."""
    too_long: str | None = None
    """Why the item does not fit the model's context, if it does not."""


class WordCounts(Model):
    """How many words each document of a plan has, in the plan's order; as lm-eval or the task's own code counts."""

    schema_version: int = SCHEMA
    words: tuple[int, ...]


class OptionAnswer(Model):
    """A scored option: its summed log-likelihood in nats (None when not finite) and token count."""

    log_likelihood: float | None
    tokens: int | None
    """None in an import whose files do not say."""
    greedy: bool


class TextAnswer(Model):
    """A generated answer."""

    text: str
    tokens: int | None
    """None in an import whose files do not say; so is `finish`."""
    finish: Literal["stop", "length"] | None
    score: Annotated[float | None, Field(exclude_if=lambda score: score is None)] = None
    """What the task's first metric gives for this answer alone, where there are several to the item."""


def _missing(value: object) -> bool:
    return value is None


Later = Field(default=None, exclude_if=_missing)
"""Of a field that earlier versions did not have: not written where there is nothing in it."""


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
    ear: Annotated[float | None, Later] = None
    """Sum over the scored tokens of EAR, Σ min(p_baseline, p_variant). None in records from before it was measured."""
    delta_p_values: Annotated[str | None, Later] = None
    """p_variant - p_baseline of every scored token: base64 of little-endian float16, for percentiles. None as `ear`."""
    tops: Annotated[str | None, Later] = None
    """Of the tokens with the highest KL, three little-endian uint32 each in base64: the token's place among the scored
    ones, and the most likely token of the baseline and of the variant there. None as `ear`."""


PACKED = frozenset({"kl_values", "delta_p_values", "tops"})
"""Fields of `DocumentScore` that hold numbers of many tokens as text."""


class ItemRecord(Model):
    """One variant's result on one item."""

    item: str
    prompt_hash: str
    options: tuple[OptionAnswer, ...] = ()
    answer: TextAnswer | None = None
    """The generated answer; of several to the same question, the first."""
    repeats: Annotated[tuple[TextAnswer, ...], Field(exclude_if=lambda repeats: not repeats)] = ()
    """The further answers of a question that is asked several times."""
    document: DocumentScore | None = None
    reasons: Annotated[dict[str, str], Field(exclude_if=lambda reasons: not reasons)] = Field(default_factory=dict)
    """Metric to why the answer scores 0, where it says so (the first thing that a JSON Schema does not allow)."""
    parts: Annotated[dict[str, tuple[float, ...]], Field(exclude_if=lambda parts: not parts)] = Field(
        default_factory=dict
    )
    """Metric of the whole to what this item adds to its sums; without one that could not be scored."""
    metrics: dict[str, Outcome]
    """Per-item value of every metric of the task; of several answers, their mean."""

    @property
    def answers(self) -> tuple[TextAnswer, ...]:
        """Every generated answer, in the order in which they were asked for."""
        return () if self.answer is None else (self.answer, *self.repeats)
