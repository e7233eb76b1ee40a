"""What was really loaded, read off the tensors: quantized modules, bits, bytes, damaged weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.engines.protocol import Facts
from harness.engines.transformers.generate import Generator
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import Loaded, core_of, input_device
from harness.engines.transformers.matmul import Processor, products_notes
from harness.engines.transformers.packed_weights import (
    bits_a_weight,
    inspect,
    left_plain,
    parameters,
    parts_of,
    shape_of,
    sizes,
    tensors_of,
)
from harness.engines.transformers.placement import places, places_note, runs_on
from harness.engines.transformers.safetensors_files import claimed_by_config, packed_modules
from harness.engines.transformers.score import Scorer
from harness.methods import kernel_of

LIBRARIES = (
    *("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "numpy", "bitsandbytes"),
    *("gptqmodel", "auto-gptq", "auto-round", "autoawq", "hqq", "optimum", "optimum-quanto", "torchao"),
    *("compressed-tensors", "gguf"),
)


def gather_facts(
    loaded: Loaded,
    head: LmHead,
    scorer: Scorer,
    generator: Generator,
    load_s: float,
    processor: Processor | None = None,
) -> Facts:
    """Facts of a loaded model. Costs one pass over the weights."""
    model = loaded.model
    core = core_of(model)
    text = core.config.get_text_config()
    parts = parts_of(core, packed_modules(loaded.stored))
    matrices = [each for each in parts if each.is_matrix]
    packed = [each for each in matrices if each.state == "packed"]
    carried = [each for each in matrices if each.state == "decompressed"]
    kinds = dict(Counter(each.kind for each in packed))
    kernels = sorted({kernel_of(kind) for kind in kinds})
    if carried:
        kinds["decompressed"] = len(carried)
    config = getattr(core.config, "quantization_config", None)
    claim = claimed_by_config(config)
    from_file = _gguf_kinds(loaded)
    device = input_device(model)
    slower = "scored option by option" if scorer.path == "plain" else "shared prefixes are computed for every item"
    notes = [*loaded.notes, *([f"{slower}: {scorer.reason}"] if scorer.reason else [])]
    if generator.reason:
        notes.append(f"answers by transformers' own loop: {generator.reason}")
    notes += scorer.limits.notes
    if head.why_not:
        notes.append(f"no stored states: {head.why_not}")
    if core.config._attn_implementation:
        notes.append(f"attention: {core.config._attn_implementation}")
    placed_bytes = sizes(model)
    if (placed := places_note(placed_bytes, str(device))) is not None:
        notes.append(placed)
    notes += products_notes(model, processor)
    notes += _coarser([each.module for each in packed if each.parameter is None])
    digest, broken = inspect(model)
    return Facts(
        engine="transformers",
        architecture=type(core).__name__,
        model_type=str(core.config.model_type),
        parameters=parameters(model, parts),
        packed_parameters=sum(each.logical for each in parts if each.state != "plain"),
        matrix_parameters=sum(each.logical for each in matrices),
        packed_matrix_parameters=sum(each.logical for each in (*packed, *carried)),
        excepted_parameters=left_plain(parts, config),
        claimed_bits=claim,
        dtype=str(core.dtype).removeprefix("torch."),
        device=places(getattr(model, "hf_device_map", None), str(device)),
        device_names=_device_names(device),
        linear_modules=len(matrices),
        quantized_modules=len(packed) + len(carried) + sum(from_file.values()),
        quantized_kinds={**kinds, **from_file},
        dequantised=_dequantised(loaded) if (carried or from_file) and not packed else None,
        bits_per_weight=bits_a_weight(matrices),
        weight_bytes=sum(placed_bytes.values()),
        disk_bytes=loaded.checkpoint.disk_bytes,
        kernels=tuple(kernels),
        vocabulary=_width(core.get_output_embeddings()) or int(text.vocab_size),
        context_length=getattr(text, "max_position_embeddings", None),
        versions=_versions(),
        non_finite=broken,
        weights_digest=digest,
        weights_digest_full=True,
        scoring_path=scorer.path,
        pass_tokens=scorer.budget.pass_tokens,
        cache_tokens=scorer.budget.cache_tokens,
        memory_budget=scorer.budget.total_bytes,
        load_s=load_s,
        notes=tuple(notes),
    )


def _width(output: Any) -> int | None:
    """Tokens of the output layer, which its configuration may not know."""
    shape = None if output is None else shape_of(output)
    return None if shape is None else shape[1]


def _coarser(modules: Sequence[Any]) -> list[str]:
    """A sentence for each kind of packed module that computes in less than the float32 it is asked in."""
    notes = []
    for kind, module in {type(each).__name__: each for each in modules}.items():
        shape, shown = shape_of(module), next(tensors_of(module)).device
        device = shown if shown.type != "meta" else runs_on(module)
        inside = None if shape is None else rounds_to(module, shape[0], device)
        if inside is not None:
            notes.append(f"{kind} computes in {inside} on this processor, though it is given and gives float32")
    return notes


def _dequantised(loaded: Loaded) -> str:
    """Why quantized values are held in full precision."""
    if loaded.gguf is not None:
        return "transformers dequantised the GGUF file: quality is its own, speed and memory are not"
    return "transformers decompresses these weights for computing: quality is theirs, speed and memory are not"


def _gguf_kinds(loaded: Loaded) -> dict[str, int]:
    """Quantized linear tensors of the .gguf file that was dequantised, by type; empty for none."""
    if loaded.gguf is None:
        return {}
    from harness.checkpoints.gguf_header import linear_types

    return {kind: count for kind, count in linear_types(loaded.gguf).items() if kind not in ("F32", "F16", "BF16")}


def _device_names(device: Any) -> tuple[str, ...]:
    import torch

    if device.type != "cuda":
        return ()
    return tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def rounds_to(layer: Any, width: int, device: Any) -> str | None:
    """`bfloat16` or `float16` where every product of a layer that is asked in float32 comes as such a number.

    bitsandbytes, for one, multiplies in bfloat16 on processors that have it, whatever its compute type says. `width`:
    features that go in. None for a layer that keeps float32, answers in another format, or cannot be asked alone.
    """
    import torch

    values = torch.randn(2, width, generator=torch.Generator().manual_seed(0)).to(device)
    try:
        with torch.no_grad():
            product = layer(values)
    except Exception:  # noqa: BLE001  # a layer that cannot be asked alone tells nothing; scoring asks the whole model
        return None
    if product.dtype != torch.float32 or not torch.isfinite(product).all() or not product.any():
        return None
    for coarse in (torch.bfloat16, torch.float16):
        if torch.equal(product, product.to(coarse).float()):
            return str(coarse).removeprefix("torch.")
    return None
