"""What a .gguf file holds, read off its tensor table with the gguf library: types, sizes, damaged values."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EngineError

FULL = ("F32", "F16", "BF16")
"""Tensor types that are not quantized."""
_LINEAR = re.compile(r"^blk\.\d+\.(attn|ffn|ssm)_\w+\.weight$")
_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")
SAMPLED = 64
MOST_NAMES = 20
SCALES = {"Q4_0": (18, (0,)), "Q4_1": (20, (0, 2)), "Q5_0": (22, (0,)), "Q5_1": (24, (0, 2)), "Q8_0": (34, (0,)),
          "Q2_K": (84, (80, 82)), "Q3_K": (110, (108,)), "Q4_K": (144, (0, 2)), "Q5_K": (176, (0, 2)),
          "Q6_K": (210, (208,))}  # fmt: skip
"""Bytes of a block and where its float16 scales lie (ggml-common.h)."""


@dataclass(frozen=True, kw_only=True)
class GgufFacts:
    """One model, over all its files."""

    architecture: str
    parameters: int
    weight_bytes: int
    disk_bytes: int
    linear: dict[str, int]
    """ggml type to number of linear tensors."""
    linear_bits: float | None
    """Bits a weight over the linear tensors, scales included."""
    non_finite: tuple[str, ...]
    digest: str


def parts_of(file: Path) -> list[Path]:
    """The files of a split model, or the file alone."""
    found = _SPLIT.search(file.name)
    if found is None:
        return [file]
    return sorted(file.parent.glob(f"{file.name[: found.start()]}-*-of-{found[1]}.gguf"))


def read_gguf(file: Path) -> GgufFacts:
    """Read every tensor's type, size and scales. Raises `EngineError` for a file that is no whole GGUF file."""
    digest = hashlib.sha256()
    linear: Counter[str] = Counter()
    parameters = weight_bytes = linear_bytes = linear_weights = 0
    broken: list[str] = []
    architecture = ""
    for part in parts_of(file):
        reader = _open(part)
        field = reader.get_field("general.architecture")
        architecture = architecture or (str(field.contents()) if field is not None else "")
        for tensor in reader.tensors:
            kind, count, size = tensor.tensor_type.name, int(tensor.n_elements), int(tensor.n_bytes)
            parameters += count
            weight_bytes += size
            if _LINEAR.match(tensor.name) and len(tensor.shape) >= 2 and min(tensor.shape) > 1:
                linear[kind] += 1
                linear_bytes += size
                linear_weights += count
            raw = tensor.data.reshape(-1).view("uint8")
            digest.update(f"{tensor.name}/{kind}/{tuple(int(each) for each in tensor.shape)}".encode())
            digest.update(raw[:: max(1, raw.size // SAMPLED)][:SAMPLED].tobytes())
            if len(broken) < MOST_NAMES and not _finite(kind, raw):
                broken.append(tensor.name)
    return GgufFacts(
        architecture=architecture,
        parameters=parameters,
        weight_bytes=weight_bytes,
        disk_bytes=sum(part.stat().st_size for part in parts_of(file)),
        linear=dict(linear),
        linear_bits=8 * linear_bytes / linear_weights if linear_weights else None,
        non_finite=tuple(broken),
        digest=digest.hexdigest(),
    )


def linear_types(file: Path) -> dict[str, int]:
    """ggml type to number of linear tensors."""
    return read_gguf(file).linear


def _open(file: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise EngineError("gguf is not installed: pip install 'quantgate[gguf]'") from error
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise EngineError(f"{file}: cannot be read: {error.strerror or error}") from error
    if magic != b"GGUF":
        raise EngineError(f"{file}: no GGUF file: it begins with {magic!r}, expected b'GGUF'")
    try:
        return GGUFReader(file)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise EngineError(
            f"{file}: the GGUF file is damaged or cut off ({str(error)[:160]}); download or convert it again"
        ) from error


def _finite(kind: str, raw: Any) -> bool:
    """Whether a tensor's floats, or the scales of its blocks, are all finite."""
    import numpy as np

    if kind == "F32":
        return bool(np.isfinite(raw.view(np.float32)).all())
    if kind == "F16":
        return bool(np.isfinite(raw.view(np.float16)).all())
    if kind == "BF16":
        return bool((raw.view(np.uint16) & 0x7F80 != 0x7F80).all())
    if kind not in SCALES:
        return True
    width, places = SCALES[kind]
    blocks = raw.reshape(-1, width)
    return all(bool(np.isfinite(blocks[:, at : at + 2].copy().view(np.float16)).all()) for at in places)
