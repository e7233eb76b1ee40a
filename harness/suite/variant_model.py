"""Variants as people write them: which model, on which engine, how it is loaded; and the model before fine-tuning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from harness.engines.registry import ENGINES, IMPORTED, SERVERS, EngineRow, deduced
from harness.imports.shape import READERS
from harness.suite.quantize_block import AnyQuantization, Quantization
from harness.suite.values import Names, Scalar, Spec


def _variable_name(value: object) -> object:
    """Refuses the key itself, which would be stored with the suite; the value is not shown."""
    if isinstance(value, str):
        long = len(value) > LONGEST_VARIABLE and any(map(str.islower, value)) and any(map(str.isdigit, value))
        if long or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError(
                "expected the name of an environment variable, such as MY_SERVER_KEY; the key itself never goes into "
                "a suite"
            )
    return value


if TYPE_CHECKING:
    Quantize = Quantization
    EngineName = str
    ServerName = str
    ReaderName = str
else:
    Quantize = AnyQuantization
    EngineName, ServerName, ReaderName = Literal[tuple(ENGINES)], Literal[SERVERS], Literal[tuple(READERS)]


class Endpoint(Spec):
    """How to reach a served model. The key itself is never in a suite."""

    model: str | None = None
    """Model name to request; the server's first model if left out."""
    api_key_env: Annotated[str | None, BeforeValidator(_variable_name)] = None
    """Name of the environment variable that holds the key."""
    server: ServerName = "auto"
    concurrency: Annotated[int, Field(ge=1)] = 4
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    retries: Annotated[int, Field(ge=0)] = 4
    top_logprobs: Annotated[int, Field(ge=1)] | None = None
    """How many top log-probabilities to request per position first, where a server gives no others."""


class LlamaCpp(Spec):
    """Settings of llama.cpp. The defaults give reference scores; `shared_prefix` is faster and noisier."""

    threads: Annotated[int, Field(ge=1)] | None = None
    threads_batch: Annotated[int, Field(ge=1)] | None = None
    flash_attention: bool = False
    n_gpu_layers: int | None = None
    n_batch: Annotated[int, Field(ge=1)] | None = None
    """Tokens per decode call."""
    shared_prefix: bool = False


class Import(Spec):
    """Results that were computed elsewhere."""

    path: str
    """Folder or file, relative to the suite."""
    format: ReaderName | None = None
    """By the files that are there when left out."""


def _as_import(value: object) -> object:
    """A plain string is the path."""
    if value is not None and not isinstance(value, str | dict | Import):
        raise ValueError(f"expected a folder or file of results, or a mapping with path and format, got {value!r}")
    return {"path": value} if isinstance(value, str) else value


LONGEST_VARIABLE = 24
"""A longer name with lower-case letters and digits is taken for a key."""
FULL_BITS = 16
"""A method that claims as many bits per weight does not quantize (GGUF's F16)."""


class Variant(Spec):
    """One way of serving the fine-tuned model. Exactly one variant of a suite is the baseline."""

    baseline: bool = False
    engine: EngineName | None = None
    """When left out: llama.cpp for a `.gguf` file and for `quantize: {method: gguf}`, served with a `url`,
    transformers otherwise."""
    environment: str | Names | None = None
    """The environment it runs in: a shipped one, a list of requirements, or the path of a Python interpreter."""
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
    non-baseline variant with a `path` of its own and no `dtype`; otherwise no. Never for a served model or imported
    results, which do not show weights."""
    device: str = "auto"
    device_map: str | dict[str, str | int] | None = None
    max_memory: dict[str, str] | None = None
    trust_remote_code: bool | None = None
    script: dict[str, Scalar] | None = None
    """Only for `engine: scripted` (tests): the fake model's script."""
    imported: Annotated[Import | None, BeforeValidator(_as_import)] = Field(
        default=None, alias="import", exclude_if=lambda imported: imported is None
    )
    """Results that another program computed for this variant: then nothing is run."""

    @property
    def engine_row(self) -> EngineRow:
        """The engine, named or deduced."""
        if self.imported is not None:
            return IMPORTED
        method_engine = self.quantize.row.engine if self.quantize is not None else None
        return ENGINES[self.engine or deduced(url=self.url, method_engine=method_engine, path=self.path)]

    def must_be_quantized(self) -> bool:
        """Whether finding no quantized module makes this variant INVALID."""
        if self.engine_row.model in ("address", "results"):
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
    """Folder or hub id of its tokenizer, if it is not stored with its weights."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """The baseline's when left out."""
    script: dict[str, Scalar] | None = None
    """Only beside a baseline with `engine: scripted` (tests)."""
