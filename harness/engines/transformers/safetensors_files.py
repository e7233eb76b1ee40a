"""What a checkpoint's safetensors files say of themselves before anything is loaded: names, types, shapes, claims.

Reads headers only (8 bytes of length, then JSON: https://huggingface.co/docs/safetensors). Standard library: it is
asked before torch is. Holds the claim of config.json against what the files hold, in both directions.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EngineError
from harness.methods.already_quantized import named_method

LONGEST = 100_000_000
"""Bytes of a header; the format's own limit."""
PACKED_TYPES = frozenset({"U8", "I8", "I32"})
"""Types of a tensor named `weight` that holds quantized values."""
PACKED_NAMES = {
    "qweight": "GPTQ or AWQ",
    "qzeros": "GPTQ or AWQ",
    "weight.absmax": "bitsandbytes",
    "weight.quant_map": "bitsandbytes",
    "SCB": "bitsandbytes",
    "weight_packed": "compressed-tensors",
    "weight_global_scale": "compressed-tensors",
    "weight_scale": "float8 or compressed-tensors",
    "weight_scale_inv": "float8 or compressed-tensors",
    "weight_zero_point": "compressed-tensors",
    "W_q": "HQQ",
    "_blocks": "MXFP4",
    "weight._data": "quanto",
    "_weight_qdata": "torchao",
}
"""Endings of names of tensors that only quantized layers have, and whose they are."""
CLAIMS_PACKED = frozenset({"bitsandbytes", "gptq", "awq"})
"""Methods whose checkpoints always hold packed tensors; others also have ways to store plain ones."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One tensor of a file."""

    name: str
    type: str
    """As safetensors writes it: F32, BF16, I32, U8, F8_E4M3 …"""
    shape: tuple[int, ...]
    file: Path
    begin: int
    """Its first byte in the file."""
    end: int

    @property
    def packed_as(self) -> str | None:
        """Whose layout a quantized tensor is of; None for a plain one."""
        for ending, whose in PACKED_NAMES.items():
            if self.name.endswith(ending) and (ending.startswith("_") or self.name[: -len(ending)][-1:] in ("", ".")):
                return whose
        return "packed integers" if self.name.endswith("weight") and self.type in PACKED_TYPES else None


def stored_tensors(files: Iterable[Path]) -> tuple[Stored, ...]:
    """Tensors of those files that are there and are safetensors. Raises `EngineError` for a header that is none."""
    return tuple(each for file in files if file.suffix == ".safetensors" and file.is_file() for each in _header(file))


def _header(file: Path) -> Iterator[Stored]:
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > LONGEST:
                raise ValueError(f"a header of {length} bytes")
            found = json.loads(stream.read(length))
        for name, entry in found.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                yield Stored(
                    name=name,
                    type=str(entry["dtype"]),
                    shape=tuple(entry["shape"]),
                    file=file,
                    begin=8 + length + begin,
                    end=8 + length + end,
                )
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise EngineError(
            f"{file}: a weights file is damaged or cut off ({error}); download or export it again"
        ) from error


def check_claim(place: str, folder: Path, tensors: tuple[Stored, ...]) -> None:
    """Raises `EngineError` where config.json and the files disagree on whether the weights are quantized.

    Tensors of packed layouts without a word in the configuration would be read as plain ones, or not at all; a claim
    over plain tensors makes libraries pack random or wrongly shaped weights.
    """
    named = named_method(folder)
    packed = [each for each in tensors if each.packed_as is not None]
    if named is None and packed:
        first = packed[0]
        raise EngineError(
            f"{place}: its weights are quantized ({first.name} is {first.type} {list(first.shape)}, a tensor of "
            f"{first.packed_as}), its config.json has no quantization_config; copy the one that the quantizer wrote"
        )
    if named in CLAIMS_PACKED and tensors and not packed:
        first = next((each for each in tensors if len(each.shape) == 2), tensors[0])
        raise EngineError(
            f"{place}: its config.json claims {named}, its weights do not: none of its {len(tensors)} tensors is "
            f"packed ({first.name} is {first.type} {list(first.shape)}); take quantization_config out of config.json, "
            "or export the quantized weights again"
        )


def packed_modules(tensors: tuple[Stored, ...]) -> Mapping[str, str]:
    """Names of modules and fused parameters whose values the files hold packed, to whose layout it is."""
    found: dict[str, str] = {}
    for each in tensors:
        if (whose := each.packed_as) is not None:
            stem = next((each.name.removesuffix(end) for end in PACKED_NAMES if each.name.endswith(end)), each.name)
            found.setdefault(stem.removesuffix(".weight").rstrip("."), whose)
    return found


FIXED = {"fp8": 8.0, "fbgemm_fp8": 8.0, "mxfp4": 4.0, "bitnet": 2.0, "eetq": 8.0}
"""Methods of one width."""
BITS = ("bits", "w_bit", "nbits", "num_bits")


def claimed_by_config(config: object) -> float | None:
    """The widest of its weights; None for no configuration, and for one that does not say."""
    found = described(config)
    if found.get("load_in_4bit"):
        return 4.0
    if found.get("load_in_8bit"):
        return 8.0
    method = found.get("quant_method")
    if (fixed := FIXED.get(str(getattr(method, "value", method)))) is not None:
        return fixed
    return max(_bits(found, depth=4), default=None)


def _bits(found: Mapping[str, Any], *, depth: int) -> Iterator[float]:
    """Widths that it names for weights, at any depth; those of activations and caches are not asked."""
    for key, value in found.items():
        if key in BITS and isinstance(value, int | float) and 0 < value <= 16:
            yield float(value)
        inner = described(value)
        if inner and depth and not any(part in str(key) for part in ("activation", "kv_cache", "dynamic")):
            yield from _bits(inner, depth=depth - 1)


def described(value: object) -> Mapping[str, Any]:
    """A mapping, or a configuration object as one; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    to_dict: Any = getattr(value, "to_dict", None)
    if callable(to_dict):
        return dict(to_dict())
    if value is not None and type(value).__name__.endswith(("Config", "Scheme", "Args")) and hasattr(value, "__dict__"):
        return vars(value)
    return {}
