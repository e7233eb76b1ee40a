"""The suite as people write it. Strict: an unknown key or a wrong type is an error, never a guess.

Owns the shape of a suite and the rules that need nothing but the suite itself. Reading files, line numbers
and the nearest valid name live in `load.py`; what a metric means lives in `harness/metrics`.
"""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import BeforeValidator, Field, model_validator

from harness.suite.gate_model import Gate, Waiver
from harness.suite.task_model import Task
from harness.suite.values import Name, Spec
from harness.suite.variant_model import Base, Variant


class SpeedWorkload(Spec):
    """One timed shape: `batch` sequences of `prompt_tokens`, `new_tokens` generated, end of text ignored."""

    batch: Annotated[int, Field(ge=1)] = 1
    prompt_tokens: Annotated[int, Field(ge=1)] = 512
    new_tokens: Annotated[int, Field(ge=2)] = 128


class Speed(Spec):
    """What is timed, in adjacent baseline/candidate pairs."""

    workloads: Annotated[tuple[SpeedWorkload, ...], Field(strict=False, min_length=1)]
    pairs: Annotated[int, Field(ge=2)] = 10


class NoiseFloor(Spec):
    """How much of each task the baseline computes a second time, in other batches."""

    items: Annotated[int, Field(ge=1)] | None = None
    """A seeded sample of this many; when left out 64, at most a quarter of the task, at least 8."""
    documents: Annotated[int, Field(ge=1)] | None = None
    """Of a perplexity task; when left out 4, at most a quarter of the task, at least 2."""


def _as_noise_floor(value: object) -> object:
    """`true` means the defaults, `false` disables it."""
    if isinstance(value, bool):
        return NoiseFloor() if value else None
    if not isinstance(value, dict | NoiseFloor):
        raise ValueError(f"expected true, false or a mapping with items and documents, got {value!r}")
    return value


class DecodingRules(Spec):
    """How answers are generated, for every variant on every engine alike. Keys left out take the baseline's own
    settings."""

    inherit: bool = True
    """Start from the baseline's generation settings; false starts from greedy decoding and its end tokens."""
    end_tokens: Annotated[tuple[int | str, ...], Field(strict=False)] | None = None
    """Ids or texts of single tokens that end an answer."""
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    suppress_tokens: Annotated[tuple[int | str, ...], Field(strict=False)] | None = None
    """Ids or texts of single tokens that are never generated."""


def _as_path(value: object) -> object:
    """A plain string is the path."""
    if value is not None and not isinstance(value, str | dict | Base):
        raise ValueError(f"expected a folder, a hub id, or a mapping with path, got {value!r}")
    return {"path": value} if isinstance(value, str) else value


class Suite(Spec):
    """A whole suite file."""

    suite: Name
    model: str
    revision: str | None = None
    base: Annotated[Base | None, BeforeValidator(_as_path)] = None
    """The model before fine-tuning: measures how much of the fine-tuning gain each candidate retains."""
    tokenizer: str | None = None
    trust_remote_code: bool = False
    allow_pickle: bool = False
    allow_task_code: bool = False
    """Whether Python that belongs to a task may run: a metric of your own or one that `evaluate` loads, and what a
    local lm-eval YAML names (`!function`, a metric, `process_docs`)."""
    seed: int = 0
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    variants: dict[Name, Variant]
    tasks: dict[Name, Task]
    decoding: DecodingRules | None = None
    speed: Speed | None = None
    noise_floor: Annotated[NoiseFloor | None, BeforeValidator(_as_noise_floor)] = NoiseFloor()
    """The baseline against itself: flips and divergence between two passes, beside every result. false leaves the
    second pass out."""
    gates: Annotated[tuple[Gate, ...], Field(strict=False)] = ()
    waivers: Annotated[tuple[Waiver, ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _imports_need_no_model(cls, value: object) -> object:
        """Nothing is loaded, and the files say which tasks there are."""
        variants = value.get("variants") if isinstance(value, dict) else None
        if not isinstance(variants, dict) or not any(isinstance(v, dict) and "import" in v for v in variants.values()):
            return value
        return {"model": "", "tasks": {}, **cast(dict[str, object], value)}

    @model_validator(mode="after")
    def _one_baseline(self) -> Suite:
        flagged = [name for name, variant in self.variants.items() if variant.baseline]
        if len(flagged) != 1:
            raise ValueError(
                "variants: expected exactly one with baseline: true, "
                + (f"got {', '.join(flagged)}" if flagged else "got none")
            )
        return self

    @property
    def baseline(self) -> str:
        """Name of the full-precision variant that every candidate is compared with."""
        return next(name for name, variant in self.variants.items() if variant.baseline)

    @property
    def imports(self) -> bool:
        """Whether its results are imported: then those of every variant are."""
        return self.variants[self.baseline].imported is not None

    @property
    def tasks_in_files(self) -> bool:
        """Whether the suite names no task, and those of the imported files count: known once they are read."""
        return self.imports and not self.tasks

    @property
    def candidates(self) -> tuple[str, ...]:
        return tuple(name for name, variant in self.variants.items() if not variant.baseline)
