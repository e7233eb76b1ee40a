"""The narrow protocol between quantgate and a runtime: what every engine is asked and what it answers.

Owns the vocabulary only. It needs nothing but the standard library, because the worker process that
imports it may live in an interpreter that has numpy and the engine's library and nothing else.
All values cross the worker's pipe as JSON (`dataclasses.asdict`); large arrays go through `.npy` files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

from harness.engines.decoding import Decoding

Scalar = str | int | float | bool | None
SCRATCH = "QUANTGATE_SCRATCH"
"""Environment variable with a folder for an engine's temporary files. The process that started this one removes it,
also when the process is killed."""

Span = tuple[int, int]
"""From this character of a text up to, and without, that one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pieces:
    """A text's own tokens, nothing added, and the characters that each stands for."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...] | None
    """None where the tokenizer does not say."""


@dataclass(frozen=True, kw_only=True)
class LoadSpec:
    """What to load and how. Paths are absolute; `path` may be a hub id when `is_hub` is set."""

    variant: str
    engine: str
    path: str
    is_hub: bool = False
    revision: str | None = None
    adapter: str | None = None
    tokenizer: str | None = None
    """Folder or hub id of the tokenizer when it is not in `path`."""
    dtype: str | None = None
    """float32, float16 or bfloat16; None is what the checkpoint says."""
    device: str = "cpu"
    """cpu, cuda or cuda:N, already resolved from `auto` by the driver."""
    device_map: str | Mapping[str, str | int] | None = None
    max_memory: Mapping[str, str] | None = None
    gguf_file: str | None = None
    """A .gguf file in `path` that transformers dequantises."""
    quantize: Mapping[str, Scalar] | None = None
    """`method` and its parameters, as the suite wrote them."""
    trust_remote_code: bool = False
    allow_pickle: bool = False
    offline: bool = False
    threads: int | None = None
    beside: bool = False
    """Another model loads at the same time: transformers leaves it half of the cores until this one is loaded."""
    memory_budget: int | None = None
    """Bytes that scoring may take beside the weights; None is half of what is free once they are loaded."""
    seed: int = 0
    options: Mapping[str, Scalar] | None = None
    """What only this engine knows (`llama.cpp`, `served`), as the suite wrote it."""
    script: Mapping[str, Scalar] | None = None
    """Only for the scripted engine: how it answers."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was really loaded, read off the model and never off its name."""

    engine: str
    architecture: str
    model_type: str
    parameters: int
    """Number of logical weights (a 4-bit packed matrix counts its unpacked entries; tied weights once)."""
    dtype: str
    device: str
    device_names: tuple[str, ...] = ()
    linear_modules: int = 0
    """Linear layers and fused experts including the quantized ones, without the output head."""
    quantized_modules: int = 0
    quantized_kinds: Mapping[str, int] = field(default_factory=dict)
    """Class of quantized module (for example `Linear8bitLt`) to count."""
    dequantised: str | None = None
    """Why quantized values are held in full precision here. Quality is theirs; speed and memory are not."""
    bits_per_weight: float | None = None
    """Resident bits over logical weights of linear modules and fused experts, quantization state included."""
    packed_parameters: int | None = None
    """Logical weights that are quantized, of all `parameters`: of linear modules, experts, embeddings, output layer."""
    matrix_parameters: int | None = None
    """Logical weights of linear modules and fused experts, which is what a method quantizes."""
    packed_matrix_parameters: int | None = None
    """The quantized ones of those."""
    excepted_parameters: int = 0
    """Those that are not, because the configuration of the quantization names their modules."""
    claimed_bits: float | None = None
    """Bits per weight that the checkpoint's own configuration claims."""
    weight_bytes: int | None = None
    """Bytes over distinct storages, quantization state included, wherever a device map put them; where that is more
    than one place, `notes` say how much lies where."""
    disk_bytes: int | None = None
    kernels: tuple[str, ...] = ()
    vocabulary: int = 0
    context_length: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    non_finite: tuple[str, ...] = ()
    """Names of loaded tensors that hold NaN or infinity (first 20)."""
    weights_digest: str | None = None
    """SHA-256 over every loaded weight; equal for equal models in one precision, and for no others."""
    weights_digest_full: bool = False
    """It is over every value; False for an older one, over a sample."""
    scoring_path: str = "plain"
    """`tree` when the options of an item share one pass, `plain` otherwise; the reason stands in `notes`."""
    pass_tokens: int | None = None
    """Padded tokens of a forward pass at most; None for an engine that goes by no such limit."""
    cache_tokens: int | None = None
    """Tokens whose keys and values are held at most."""
    memory_budget: int | None = None
    """Bytes beside the weights from which both limits follow."""
    load_s: float = 0.0
    server_digest: str | None = None
    """SHA-256 over what a server says of itself and of its model; None for a model that is loaded here."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Log-probabilities of several continuations after one context. Both are token ids; neither is empty."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]
    shared: int = 0
    """Leading tokens of `context` that other requests of the task begin with too, fewer than all of them. An engine
    may compute them once."""
    root_prefix: int = 0
    """Leading tokens of that prefix that other prefixes have too, fewer than all of it: a system prompt in front
    of documents, each with its questions."""

    @property
    def own_tokens(self) -> int:
        """Tokens it adds to a batch."""
        return len(self.context) - self.shared + sum(map(len, self.continuations))


@dataclass(frozen=True, kw_only=True)
class ContinuationScore:
    """Natural-log probability of each continuation token, and whether each was the arg-max."""

    log_probs: tuple[float, ...]
    greedy: bool


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Continuation of `prompt` (token ids) until a stop string, end of text or the token limit: greedy, or sampled
    where the temperature is above 0."""

    prompt: tuple[int, ...]
    max_new_tokens: int
    until: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    """Samples from the likeliest tokens that together have this probability; 1 from all."""
    top_k: int = 0
    """Samples from so many of the likeliest tokens; 0 from all."""
    min_p: float = 0.0
    """Samples from the tokens that have this share of the likeliest one's probability."""
    seed: int = 0
    """Of a sampled answer: with the position of a token it decides the random numbers, and nothing else does."""
    shared: int = 0
    """As in `ScoreRequest`, of `prompt`."""
    root_prefix: int = 0
    decoding: Decoding | None = None
    """The rules that hold, whatever the model's own files say; None leaves it to those."""

    @property
    def own_tokens(self) -> int:
        """Tokens it adds to a batch, its answer included."""
        return len(self.prompt) - self.shared + self.max_new_tokens


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The generated tokens (stop token excluded), their text cut before the stop string, and why it ended."""

    tokens: tuple[int, ...]
    text: str
    finish: str
    """`stop` (end of text or a stop string) or `length`."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Teacher-forced scoring of `tokens[scored_from:]`, each given all tokens before it; `scored_from` >= 1."""

    tokens: tuple[int, ...]
    scored_from: int

    @property
    def own_tokens(self) -> int:
        """Tokens it adds to a batch."""
        return len(self.tokens)


@dataclass(frozen=True, kw_only=True)
class WindowScore:
    """Sums and per-position values over the scored positions of one window. Logarithms are natural.

    The divergence fields are None unless baseline states were given. KL is KL(P_baseline || P_variant) over
    the whole vocabulary in nats; delta_p is p_variant(true token) - p_baseline(true token); ear is
    sum min(P_baseline, P_variant), the expected acceptance of a speculated token; the tops are most likely tokens.
    """

    log_probs: tuple[float, ...]
    kl: tuple[float, ...] | None = None
    top1_agree: tuple[bool, ...] | None = None
    delta_p: tuple[float, ...] | None = None
    ear: tuple[float, ...] | None = None
    baseline_top: tuple[int, ...] | None = None
    top: tuple[int, ...] | None = None


DIVERGENCES = tuple(each.name for each in fields(WindowScore) if each.name != "log_probs")
"""The divergence fields."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One timed shape. End of text is ignored, so that the token counts are exact."""

    batch: int
    prompt_tokens: int
    new_tokens: int
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Wall-clock seconds of one run of a workload."""

    ttft_s: float
    """From the request to the first new token (prefill and one decode of the head)."""
    end_to_end_s: float
    inter_token_s: tuple[float, ...]
    """Seconds between consecutive new tokens: `new_tokens - 1` entries."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes; None where a figure is not available, never 0."""

    weight_bytes: int | None = None
    disk_bytes: int | None = None
    process_peak_load_bytes: int | None = None
    process_peak_inference_bytes: int | None = None
    allocator_peak_allocated_bytes: int | None = None
    allocator_peak_reserved_bytes: int | None = None
    device_process_peak_bytes: int | None = None


class OutOfMemoryError(Exception):
    """Raised by an engine for a batch that does not fit; the worker halves it and goes on."""


class Engine(Protocol):
    """One loaded model. Every list answer has the order and length of its requests.

    An engine raises `EngineError` when it cannot do a thing at all and `OutOfMemoryError` when the batch is
    too large. It never turns a failure into a number: a NaN stays a NaN and is judged by the driver.
    """

    def facts(self) -> Facts: ...

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        """Token ids by the variant's own tokenizer; used only to check that it agrees with the plan."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        """One batch."""
        ...

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        """Score a batch of windows: one chunk, or a part of it where the whole did not fit.

        `states_out`: an `.npy` file to write (by rename) with this model's final post-norm hidden states at
        every scored position, [sum of scored positions, d_model], 16 bits. Beside it, in the same folder, the
        engine keeps the output head once (`head.npy`, `head.json`).
        `states_in`: such a file, written by the baseline for the same windows.
        """
        ...

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]: ...

    def time(self, workload: Workload) -> Timing: ...

    def device_peaks(self) -> tuple[int | None, int | None]:
        """Peak bytes allocated and reserved on the device since `reset_device_peaks`; None off CUDA."""
        ...

    def reset_device_peaks(self) -> None: ...

    def close(self) -> None: ...
