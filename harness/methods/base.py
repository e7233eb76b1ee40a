"""A quantization method's row. Standard library only: suites, workers and recipes read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Scalar = str | int | float | bool | None
Block = Mapping[str, Scalar]
"""A `quantize` block: `method` and its parameters, as the suite wrote them, with defaults filled in."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One key of the block. Either `choices`, or a `kind` with bounds."""

    name: str
    choices: tuple[Scalar, ...] = ()
    kind: type[int] | type[float] | type[bool] | type[str] = int
    low: float | None = None
    high: float | None = None
    between: bool = False
    """The bounds themselves are not allowed."""
    default: Scalar = None
    required: bool = False
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a tool needs to make a checkpoint. Runs in the tool's own interpreter."""

    source: str
    """Folder of the full-precision model."""
    out: str
    """An empty folder; the recipe leaves the checkpoint in it, or one .gguf file."""
    block: Block
    samples: Sequence[Sequence[int]] = ()
    """Calibration: token ids, one sequence a sample; empty for methods without calibration."""
    length: int = 0
    """Tokens per sample."""
    seed: int = 0
    device: str = "cpu"
    trust_remote_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A library that makes checkpoints of a method."""

    name: str
    environment: str
    """The shipped environment that holds it."""
    packages: tuple[str, ...]
    make: Callable[[Recipe], None]
    needs_cuda: bool = False


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table. `load` methods quantize when the model is loaded; `make` methods first make a checkpoint."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    bits: Callable[[Block], float]
    """Bits per weight that the block claims; the loaded model is checked against it."""
    packages: tuple[str, ...] = ()
    """Packages required to load the model, besides torch and transformers."""
    other_readers: tuple[str, ...] = ()
    """What reads its checkpoints in other environments, in place of the packages. Versions of both are recorded."""
    extra: str | None = None
    """`pip install 'quantgate[extra]'` brings the packages."""
    environment: str | None = None
    """The shipped environment that has the packages."""
    engine: str = "transformers"
    """What loads it: a name in the table of the engines."""
    rules: Callable[[Block], str | None] = lambda block: None
    """Problems of a block whose parameters are individually valid."""
    not_here: Callable[[Block, bool], str | None] = lambda block, cuda: None
    """Why this block is not available on this hardware; `cuda`: a GPU is visible."""
    config: Callable[[Block], Any] | None = None
    """transformers' quantization config, for methods it applies while loading."""
    apply: Callable[[Any, Block, str], Any] | None = None
    """Quantize a loaded model on a device; returns the model."""
    calibrates: Callable[[Block], bool] = lambda block: True
    """Whether a block uses calibration data, for methods that make checkpoints. One that does not accepts none."""
    tools: tuple[Tool, ...] = ()
    """The first is used unless the block's `tool` names another; empty for methods that make no checkpoint."""
    kernels: Mapping[str, str] = field(default_factory=dict)
    """Class of quantized module, or of weight tensor, to what computes with it."""
    examples: tuple[Block, ...] = ()
    """What the method matrix runs; the first also stands for the method in `quantgate doctor`."""

    def tool(self, block: Block) -> Tool | None:
        """The tool that makes the block's checkpoint."""
        wanted = block.get("tool")
        return next((tool for tool in self.tools if wanted in (None, tool.name)), None)


def dtype_of(name: Scalar) -> Any:
    """`torch.bfloat16` for `bfloat16`; None for None."""
    import torch

    return None if name is None else getattr(torch, str(name))


def bits_key(block: Block) -> float:
    """The claim of every method whose block has `bits`."""
    bits = block["bits"]
    assert isinstance(bits, int)
    return float(bits)
