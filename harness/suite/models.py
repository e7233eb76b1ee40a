"""The suite as people write it. Strict: an unknown key or a wrong type is an error, never a guess.

Owns the shape of a suite and the rules that need nothing but the suite itself. Reading files, line numbers
and the nearest valid name live in `load.py`; what a metric means lives in `harness/metrics`.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.forms import FORMS, Form
from harness.suite.quantize_block import AnyQuantization, Quantization


class Spec(BaseModel):
    """What every part of a suite shares: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _percent(value: object) -> object:
    """`2%` is 0.02. Only where a relative amount is meant; anything else passes through unchanged."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            return value
    return value


def _as_path(value: object) -> object:
    """A text alone is the path."""
    if value is not None and not isinstance(value, str | dict | Base):
        raise ValueError(f"expected a folder, a hub id, or a mapping with path, got {value!r}")
    return {"path": value} if isinstance(value, str) else value


Relative = Annotated[float, BeforeValidator(_percent)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Scalar = str | int | float | bool | None


def _iso_date(value: object) -> object:
    """`2026-12-31` and no other way of writing a date."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # such as the 31st of February
    if isinstance(value, date):
        return value
    raise ValueError(f"expected a date such as 2026-12-31, got {value!r}")


def _written(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("is empty; whoever reads the report wants to know")
    return value


def _variable_name(value: object) -> object:
    """Not the key itself, which would be stored with the suite; what came is not shown."""
    if isinstance(value, str):
        long = len(value) > LONGEST_VARIABLE and any(map(str.islower, value)) and any(map(str.isdigit, value))
        if long or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError(
                "expected the name of an environment variable, such as MY_SERVER_KEY; the key itself never stands in "
                "a suite"
            )
    return value


IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Words = Annotated[str, BeforeValidator(_written)]

if TYPE_CHECKING:
    Quantize = Quantization
else:
    Quantize = AnyQuantization


class Endpoint(Spec):
    """How a served model is talked to. The key itself never stands in a suite."""

    model: str | None = None
    """Name to ask for; the server's first model when left out."""
    api_key_env: Annotated[str | None, BeforeValidator(_variable_name)] = None
    """Name of the environment variable that holds the key."""
    server: Literal["auto", "llama.cpp", "vllm", "sglang", "tgi", "openai"] = "auto"
    concurrency: Annotated[int, Field(ge=1)] = 4
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    retries: Annotated[int, Field(ge=0)] = 4
    top_logprobs: Annotated[int, Field(ge=1)] | None = None
    """How many of a position's best log-probabilities to ask for first, where a server gives no others."""


class LlamaCpp(Spec):
    """Settings of llama.cpp. The defaults give reference scores; `shared_prefix` is faster and noisier."""

    threads: Annotated[int, Field(ge=1)] | None = None
    threads_batch: Annotated[int, Field(ge=1)] | None = None
    flash_attention: bool = False
    n_gpu_layers: int | None = None
    n_batch: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one decode."""
    shared_prefix: bool = False


LONGEST_VARIABLE = 24
"""A longer name with small letters and digits in it is a key."""
FULL_BITS = 16
"""A method that claims as many bits a weight does not quantize (GGUF's F16)."""


class Variant(Spec):
    """One way of serving the fine-tuned model. Exactly one variant of a suite is the baseline."""

    baseline: bool = False
    engine: Literal["transformers", "llama.cpp", "vllm", "served", "scripted"] | None = None
    """When left out: llama.cpp for a `.gguf` file and for `quantize: {method: gguf}`, served with a `url`,
    transformers otherwise."""
    environment: str | Names | None = None
    """Where it runs: a shipped environment, a list of requirements, or the path of a Python interpreter."""
    path: str | None = None
    """Folder, hub id, adapter or .gguf file with these weights; the suite's `model` when left out."""
    gguf_file: str | None = None
    """A .gguf file inside the folder or hub id, dequantised by transformers: quality only."""
    url: str | None = None
    """Address of a served model, such as http://localhost:8000/v1."""
    endpoint: Endpoint | None = None
    llama_cpp: LlamaCpp | None = None
    revision: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    quantize: Quantize | None = None
    """How this variant is quantized: while loading, or by making a checkpoint first."""
    quantized: bool | None = None
    """Whether the loaded model must hold quantized modules. When left out: yes with `quantize`, and yes for a
    non-baseline variant with a `path` of its own and no `dtype`; otherwise no. Never for a served model, which
    does not show its weights."""
    device: str = "auto"
    device_map: str | dict[str, str | int] | None = None
    max_memory: dict[str, str] | None = None
    trust_remote_code: bool | None = None
    script: dict[str, Scalar] | None = None
    """Only for `engine: scripted` (tests): how the fake model answers."""

    @property
    def runtime(self) -> Literal["transformers", "llama.cpp", "vllm", "served", "scripted"]:
        """The engine, named or deduced."""
        if self.engine is not None:
            return self.engine
        if self.url is not None:
            return "served"
        if self.quantize is not None:
            return self.quantize.row.engine
        return "llama.cpp" if self.path is not None and self.path.endswith(".gguf") else "transformers"

    def must_be_quantized(self) -> bool:
        """Whether finding no quantized module makes this variant INVALID."""
        if self.runtime == "served":
            return False
        if self.quantized is not None:
            return self.quantized
        if self.quantize is not None:
            return self.quantize.claimed_bits < FULL_BITS
        return not self.baseline and self.path is not None and self.dtype is None and self.adapter is None


class Base(Spec):
    """The model before fine-tuning, run in full precision with the baseline's engine and device."""

    path: str
    """Folder or hub id; `auto` is the base that the fine-tuned model's PEFT adapter names."""
    revision: str | None = None
    tokenizer: str | None = None
    """Folder or hub id of its tokenizer, where that is not beside its weights."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """The baseline's when left out."""
    script: dict[str, Scalar] | None = None
    """Only beside a baseline with `engine: scripted` (tests)."""


class Choice(Spec):
    """Multiple choice over a local file: the option with the highest log-likelihood is the answer."""

    data: str
    """JSONL, JSON, CSV, TSV (each also with .gz) or Parquet, relative to the suite."""
    prompt: str | None = None
    """Jinja template over the row's fields."""
    messages: str | None = None
    """Instead of `prompt`: a field (`"{{messages}}"`) with chat messages, put through the chat template."""
    choices: str | Names
    """Fixed options, or a template that names the field which holds them (`"{{options}}"`)."""
    answer: str | int
    """Template giving the right option's text or its zero-based index."""
    answer_is: Literal["text", "index"] | None = None
    """Which of the two `answer` gives: the one that fits every row when left out; needed where both do and differ."""
    delimiter: str = " "
    """Between prompt and option."""
    few_shot: str | None = None
    """File with worked examples of the same shape; `num_few_shot` of them stand in front of every prompt."""
    num_few_shot: Annotated[int, Field(ge=0)] = 0


class Generate(Spec):
    """Greedy generation over a local file, scored against a reference answer."""

    data: str
    prompt: str | None = None
    messages: str | None = None
    answer: str
    """Template of the reference, or the field (`"{{aliases}}"`) with a list of accepted answers."""
    metric: str | Names = "exact_match"
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    until: Names = ()
    ignore_case: bool = False
    ignore_punctuation: bool = False
    regex: str | None = None
    """Take the first match of this pattern (its first group when it has one) as the answer."""
    few_shot: str | None = None
    num_few_shot: Annotated[int, Field(ge=0)] = 0


class Perplexity(Spec):
    """Perplexity and divergence from the baseline over documents."""

    data: str
    field: str = "text"
    window: Annotated[int, Field(ge=2)] = 1024
    stride: Annotated[int, Field(ge=1)] | None = None
    """Tokens scored per window after the first; the window itself when left out (no overlap)."""
    divergence: bool = True


class Task(Spec):
    """What is asked of every variant. Exactly one of choice, generate, perplexity, lm_eval."""

    choice: Choice | None = None
    generate: Generate | None = None
    perplexity: Perplexity | None = None
    lm_eval: str | None = None
    """Name of an lm-eval task, or the path of an lm-eval YAML (relative to the suite)."""
    num_few_shot: Annotated[int, Field(ge=0)] | None = None
    """lm_eval only: overrides the task's own number of examples."""
    apply_chat_template: bool = False
    """lm_eval only: wrap prompts in the model's chat template."""
    id: str | None = None
    """Field with the item's own id; when left out an item is named by its content."""
    slice_by: Names = ()
    cluster_by: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """A seeded sample of this many items, the same for every variant."""
    reference_in_prompt: bool = False
    """The reference may stand in its own prompt, as in copying or extracting; otherwise that makes the task INVALID."""

    @model_validator(mode="after")
    def _one_kind(self) -> Task:
        kinds = [k for k in ("choice", "generate", "perplexity", "lm_eval") if getattr(self, k) is not None]
        if len(kinds) != 1:
            raise ValueError(
                "expected exactly one of choice, generate, perplexity, lm_eval, "
                + (f"got {' and '.join(kinds)}" if kinds else "got none")
            )
        if self.lm_eval is None and (self.num_few_shot is not None or self.apply_chat_template):
            raise ValueError("num_few_shot and apply_chat_template at this level belong to lm_eval")
        return self

    @property
    def kind(self) -> Literal["choice", "generate", "perplexity", "lm_eval"]:
        if self.choice is not None:
            return "choice"
        if self.generate is not None:
            return "generate"
        return "perplexity" if self.perplexity is not None else "lm_eval"


class SpeedWorkload(Spec):
    """One timed shape: `batch` sequences of `prompt_tokens`, `new_tokens` generated, end of text ignored."""

    batch: Annotated[int, Field(ge=1)] = 1
    prompt_tokens: Annotated[int, Field(ge=1)] = 512
    new_tokens: Annotated[int, Field(ge=2)] = 128


class Speed(Spec):
    """What is timed, in adjacent baseline/candidate pairs."""

    workloads: Annotated[tuple[SpeedWorkload, ...], Field(strict=False, min_length=1)]
    pairs: Annotated[int, Field(ge=2)] = 10


class Gate(Spec):
    """One limit. Exactly one of the forms; fractions everywhere (0.02 is 2 percentage points)."""

    metric: str
    task: str | None = None
    name: Name | None = None
    """What waivers and people call this gate; a position in the list moves when a gate is added."""
    max_drop: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Largest absolute loss of a higher-is-better metric."""
    max_relative_drop: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Largest loss as a share of the baseline's value."""
    min_recovery: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Smallest candidate / baseline; 0.97 is the same as max_relative_drop 3%."""
    min_retained: Annotated[Relative, Field(gt=0, lt=1)] | None = None
    """Smallest share of what fine-tuning gained over `base` that is kept: (candidate - base) / (fine-tuned - base)."""
    max_increase: Annotated[Relative, Field(gt=0)] | None = None
    """Largest relative rise of a lower-is-better metric (perplexity)."""
    min: float | None = None
    max: float | None = None
    min_ratio: Annotated[Relative, Field(gt=0)] | None = None
    max_ratio: Annotated[Relative, Field(gt=0)] | None = None
    on: Literal["candidate", "baseline"] = "candidate"
    """Whose value `min` and `max` look at."""
    against: Literal["baseline", "reference"] = "baseline"
    """What a drop is measured from: the full-precision baseline, or the last promoted version."""
    slice: str | None = None
    """`field=value`, or `each` for every slice of the task."""
    workload: str | None = None
    """Speed metrics: `batchxprompt+new` such as `1x512+128`; every workload when left out."""
    variants: Names = ()
    """Only these candidates; all when left out."""
    severity: Literal["block", "warn"] = "block"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        forms = [form for form in FORMS if getattr(self, form) is not None]
        if len(forms) != 1:
            raise ValueError(
                f"expected exactly one limit ({', '.join(FORMS)}), "
                + (f"got {' and '.join(forms)}" if forms else "got none")
            )
        if self.on == "baseline" and forms[0] not in ("min", "max"):
            raise ValueError(f"on: baseline goes with min or max, not with {forms[0]}")
        return self

    @property
    def form(self) -> Form:
        found: Any = next(form for form in FORMS if getattr(self, form) is not None)
        return found  # type: ignore[no-any-return]  # the validator left exactly one

    @property
    def limit(self) -> float:
        value: float = getattr(self, self.form)
        return value


class Waiver(Spec):
    """Excuses the FAIL of one gate for one variant until a date. Nothing but a FAIL can be waived."""

    gate: str
    """The gate's `name`, or `task/metric/form` in full, such as `intents/acc/max_drop` or `weight_bytes/max_ratio`."""
    variant: str
    slice: str | None = None
    """Needed where the gate looks at each slice."""
    workload: str | None = None
    """Needed where the gate looks at several workloads."""
    reason: Words
    by: Words
    """Who answers for it."""
    until: IsoDate
    """From this day on, in UTC, it no longer counts."""


class NoiseFloor(Spec):
    """How much of each task the baseline is asked a second time, in other batches."""

    items: Annotated[int, Field(ge=1)] | None = None
    """A seeded sample of this many; when left out 64, at most a quarter of the task, at least 8."""
    documents: Annotated[int, Field(ge=1)] | None = None
    """Of a perplexity task; when left out 4, at most a quarter of the task, at least 2."""


def _as_noise_floor(value: object) -> object:
    """`true` is the defaults, `false` is none."""
    if isinstance(value, bool):
        return NoiseFloor() if value else None
    if not isinstance(value, dict | NoiseFloor):
        raise ValueError(f"expected true, false, or a mapping with items and documents, got {value!r}")
    return value


class DecodingRules(Spec):
    """How answers are generated, for every variant on every engine alike. What is left out is the baseline's own."""

    inherit: bool = True
    """Start from the baseline's generation settings; false starts from the likeliest token and its end tokens."""
    end_tokens: Annotated[tuple[int | str, ...], Field(strict=False)] | None = None
    """Ids or texts of single tokens that end an answer."""
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    no_repeat_ngram_size: Annotated[int, Field(ge=0)] | None = None
    min_new_tokens: Annotated[int, Field(ge=0)] | None = None
    suppress_tokens: Annotated[tuple[int | str, ...], Field(strict=False)] | None = None
    """Ids or texts of single tokens that are never generated."""


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
    """Whether Python that a local lm-eval YAML names (`!function`, a metric, `process_docs`) may run."""
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
    def candidates(self) -> tuple[str, ...]:
        return tuple(name for name, variant in self.variants.items() if not variant.baseline)
