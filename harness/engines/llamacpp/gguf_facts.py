"""What a GGUF model really holds, read off its tensor table and its bytes: types, bits, damaged values, a digest."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.checkpoints.gguf_header import TYPES, Header, Tensor
from harness.engines.llamacpp.c_model import Model, Settings
from harness.engines.protocol import Facts
from harness.errors import EngineError

LIBRARIES = ("llama-cpp-python", "numpy")
NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}
"""What the rest of the world calls the plain types."""
MOST_NAMES = 20
BLOCK = 1 << 24
"""Bytes looked at at once."""
HALVES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("Q4_0", "Q5_0", "Q8_0", "Q1_0", "Q2_0"), (0,)),
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S", "IQ4_NL", "IQ4_XS"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
}
"""Bytes within a block at which a scale or minimum of 16 float bits begins."""
_BLOCK_BYTES = {name: size for name, _, size in TYPES.values()}


def gather_facts(headers: Sequence[Header], model: Model, *, device: str, shared_prefix: bool, load_s: float) -> Facts:
    """Facts of a loaded model. Costs one pass over the files."""
    first = headers[0]
    tensors = [each for header in headers for each in header.tensors]
    linear = [each for each in tensors if each.linear]
    kinds = Counter(each.type for each in linear)
    quantized = {kind: count for kind, count in sorted(kinds.items()) if kind not in NAMES}
    weights = sum(each.elements for each in linear)
    architecture = first.text("general.architecture") or "unknown"
    digest, broken = _inspect(headers)
    return Facts(
        engine="llama.cpp",
        architecture=architecture,
        model_type=architecture,
        parameters=sum(each.elements for each in tensors if not each.name.startswith("rope_")),
        dtype=_dtype(linear or tensors),
        device=device,
        linear_modules=len(linear),
        quantized_modules=sum(quantized.values()),
        quantized_kinds=quantized,
        packed_parameters=sum(each.elements for each in tensors if each.quantized),
        matrix_parameters=weights,
        packed_matrix_parameters=sum(each.elements for each in linear if each.type not in NAMES),
        bits_per_weight=8 * sum(each.size for each in linear) / weights if weights else None,
        weight_bytes=sum(each.size for each in tensors),
        disk_bytes=sum(header.file_bytes for header in headers),
        kernels=tuple(f"llama.cpp {kind}" for kind in sorted(kinds)),
        vocabulary=model.vocabulary,
        context_length=model.context_length,
        versions=_versions(),
        non_finite=broken,
        weights_digest=digest,
        weights_digest_full=True,
        scoring_path="tree" if shared_prefix else "plain",
        load_s=load_s,
        notes=_notes(model.settings, model.system, tensors, shared_prefix=shared_prefix),
    )


def _notes(settings: Settings, system: str, tensors: Sequence[Tensor], *, shared_prefix: bool) -> tuple[str, ...]:
    others = Counter(each.type for each in tensors if not each.linear and len(each.shape) > 1)
    notes = [
        f"flash attention {'on' if settings.flash_attention else 'off'}, key-value cache F16",
        f"{settings.threads} threads a step, {settings.threads_batch} for prompts, {settings.n_batch} tokens a decode",
        "embeddings and output: " + ", ".join(f"{count} × {kind}" for kind, count in sorted(others.items())),
        f"llama.cpp: {system}",
    ]
    if shared_prefix:
        notes.insert(0, "options share the context's cache: faster, with noise that scoring one by one does not have")
    return tuple(notes)


def _dtype(tensors: Sequence[Tensor]) -> str:
    """The type most of the weights have."""
    count: Counter[str] = Counter()
    for each in tensors:
        count[each.type] += each.elements
    kind = count.most_common(1)[0][0]
    return NAMES.get(kind, kind)


def _inspect(headers: Sequence[Header]) -> tuple[str, tuple[str, ...]]:
    """SHA-256 over every byte of every tensor, and the names of tensors that hold NaN or infinity."""
    digest = hashlib.sha256()
    broken: list[str] = []
    for header in headers:
        try:
            with header.path.open("rb") as stream:
                for tensor in header.tensors:
                    digest.update(f"{tensor.name} {tensor.type} {tensor.shape}".encode())
                    finite = True
                    for part in _parts(stream, tensor):
                        digest.update(part.data)
                        finite = finite and _finite(tensor.type, part)
                    if not finite and len(broken) < MOST_NAMES:
                        broken.append(tensor.name)
        except OSError as error:
            raise EngineError(f"{header.path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest(), tuple(broken)


def _parts(stream: BinaryIO, tensor: Tensor) -> Iterator[NDArray[np.uint8]]:
    """The tensor's bytes, in whole blocks: [blocks, bytes of a block]."""
    block = _BLOCK_BYTES[tensor.type]
    step = BLOCK // block * block
    stream.seek(tensor.offset)
    for start in range(0, tensor.size, step):
        yield np.frombuffer(stream.read(min(step, tensor.size - start)), dtype=np.uint8).reshape(-1, block)


def _finite(kind: str, blocks: NDArray[np.uint8]) -> bool:
    """No float in these blocks has all bits of its exponent set, which is what NaN and infinity have.

    True for types without floats to look at.
    """
    if kind not in HALVES and kind not in NAMES:
        return True
    if kind == "F64":
        return bool(np.isfinite(blocks.view(np.float64)).all())
    if kind == "F32":
        return not bool(((blocks.view(np.uint32) & 0x7F800000) == 0x7F800000).any())
    if kind == "BF16":
        return not bool(((blocks.view(np.uint16) & 0x7F80) == 0x7F80).any())
    places = (0,) if kind == "F16" else HALVES[kind]
    halves = [np.ascontiguousarray(blocks[:, place : place + 2]).view(np.uint16) for place in places]
    return not any(bool(((half & 0x7C00) == 0x7C00).any()) for half in halves)


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name.replace("-", "_")] = version(name)
        except PackageNotFoundError:
            continue
    return found
