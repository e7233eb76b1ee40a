"""The engines, one row each: everything that suites, planning, runs and the doctor need to know of an engine.

A row names the module in the engine's folder; only a worker that hosts the engine imports it. Nobody else compares an
engine's name: what depends on the engine reads a field. Standard library only: suites and workers read the table.
Adding an engine is described in CONTRIBUTING.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Model = Literal["folder", "gguf", "address", "script", "results"]
"""What an engine is given as a variant's model: a folder or hub id, one .gguf file, the address of a server, only a
script of how it answers, or what another program computed."""
SERVERS = ("auto", "llama.cpp", "vllm", "sglang", "tgi", "openai")
"""Kinds of servers that the served engine knows how to ask; `auto` finds out."""


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """What is known of an engine before it is loaded."""

    name: str
    module: str
    """Imported in the worker for its `load(spec: LoadSpec) -> Engine`. With `model="script"` it has a `tokenizer()`
    too, which plans for a baseline on it."""
    model: Model
    packages: tuple[str, ...]
    """Modules that the interpreter must have; their versions are part of what results are stored under."""
    extra: str = "transformers"
    """`pip install 'quantgate[extra]'` brings them."""
    environment: str | None = None
    """The shipped environment that has them where this interpreter does not."""
    keys: tuple[str, ...] = ()
    """Keys of a suite's variant that only engines which list them take."""
    settings: str | None = None
    """The one of `keys` whose block becomes `LoadSpec.options`."""
    full_distribution: bool = True
    """It shows the log-probability of every token, so that a divergence can be measured."""
    every_file: bool = False
    """It opens every weights file of a folder, not only the ones that transformers would choose."""
    named_readers: bool = False
    """A checkpoint's `quantization_config` names a library that it reads the weights with."""
    loads_made: bool = False
    """It loads checkpoints that methods of other engines make."""
    preload: bool = False
    """The next variant may load while the one before it works."""
    spins: bool = False
    """On a CPU its threads may spin while they wait, where nobody else needs the processors."""
    trial: Mapping[str, str] | None = None
    """Keys of the variant that `quantgate doctor` tries, for an engine that no row of the methods tries."""

    @property
    def opens_files(self) -> bool:
        """Whether it reads a model's files; a server has read its own, and a script needs none."""
        return self.model in ("folder", "gguf")


ENGINES: Mapping[str, EngineRow] = {
    row.name: row
    for row in (
        EngineRow(
            name="transformers",
            module="harness.engines.transformers.transformers_engine",
            model="folder",
            packages=("torch", "transformers", "tokenizers"),
            keys=("gguf_file", "adapter", "device_map", "max_memory"),
            named_readers=True,
            preload=True,
            spins=True,
        ),
        EngineRow(
            name="llama.cpp",
            module="harness.engines.llamacpp.llamacpp_engine",
            model="gguf",
            packages=("llama_cpp",),
            environment="llama.cpp",
            keys=("llama_cpp",),
            settings="llama_cpp",
            preload=True,
        ),
        EngineRow(
            name="vllm",
            module="harness.engines.vllm.vllm_engine",
            model="folder",
            packages=("vllm",),
            environment="vllm",
            full_distribution=False,
            every_file=True,
            loads_made=True,
            trial={"dtype": "float16"},
        ),
        EngineRow(
            name="served",
            module="harness.engines.served.served_engine",
            model="address",
            packages=("httpx2", "tenacity"),
            extra="served",
            keys=("url", "endpoint"),
            settings="endpoint",
            full_distribution=False,
        ),
        EngineRow(
            name="scripted",
            module="harness.engines.scripted",
            model="script",
            packages=("numpy",),
            keys=("script",),
        ),
    )
}
IMPORTED = EngineRow(name="import", module="harness.imports", model="results", packages=())
"""In the place of an engine where a variant's results are imported: nothing is loaded, and no suite can name it."""


def takers(key: str) -> tuple[str, ...]:
    """The engines that a variant's key belongs to; empty for a key that all take."""
    return tuple(row.name for row in ENGINES.values() if key in row.keys)


def deduced(*, url: str | None, method_engine: str | None, path: str | None) -> str:
    """The engine of a variant that names none: by its address, by its quantization method, by its file. Of several
    engines for one kind of model it is the first in the table."""
    if url is None and method_engine is not None:
        return method_engine
    kind: Model = "address" if url is not None else "gguf" if path is not None and path.endswith(".gguf") else "folder"
    return next(row.name for row in ENGINES.values() if row.model == kind)
