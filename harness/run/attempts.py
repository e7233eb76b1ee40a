"""Trying a quantization method for real on a tiny model: make, load, count quantized modules, score."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines.seam import Facts, ScoreRequest
from harness.errors import QuantgateError
from harness.methods import filled
from harness.methods.base import Block, Method
from harness.run.variants import RunVariant, resolve_variant
from harness.spec.load import parse_suite
from harness.spec.models import FULL_BITS
from harness.worker.client import Worker
from harness.worker.versions import gpu_count

WIDTH, VOCABULARY = 256, 296
SAMPLES, LENGTH = 16, 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
REQUEST = ScoreRequest(context=(5, 6, 7, 8), continuations=((9, 10), (11,)))


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of one method."""

    method: str
    state: str
    """`works`, `after a build` or `not here`."""
    says: str
    block: Mapping[str, object] = field(default_factory=dict)
    bits_per_weight: float | None = None


def tiny_model(folder: Path) -> Path:
    """A random two-layer Llama in float32 with a word tokenizer and calibration text beside it. Nothing is downloaded.

    Raises `EngineError` when transformers is not installed.
    """
    from harness.errors import EngineError

    try:
        import tokenizers
        import torch
        import transformers
    except ImportError as error:
        raise EngineError(f"{error.name} is not installed: pip install 'quantgate[transformers]'") from error
    transformers.utils.logging.disable_progress_bar()
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
        pad_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    model.save_pretrained(str(folder))
    _tiny_tokenizer(tokenizers).save_pretrained(str(folder))
    ids = torch.randint(0, len(LETTERS), (2 * SAMPLES, LENGTH + 1), generator=generator).tolist()
    rows = [json.dumps({"text": "".join(LETTERS[number] for number in row)}) for row in ids]
    (folder.parent / "calibration.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def _tiny_tokenizer(tokenizers: Any) -> Any:
    """One token a letter, bytes for the rest, laid out as Llama 2's, which converters to GGUF recognise."""
    import transformers

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    words.update({letter: len(words) + at for at, letter in enumerate(f"▁{LETTERS}")})
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(words, [], byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    plain.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("▁"), tokenizers.normalizers.Replace(" ", "▁")]
    )
    plain.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("▁", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
            tokenizers.decoders.Strip(" ", 1, 0),
        ]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def attempt_method(method: Method, model: Path, scratch: Path) -> Attempt:
    """The method's first example that this hardware allows, else why it does not."""
    reasons = [method.not_here(filled(method.name, block), gpu_count() > 0) for block in method.examples]
    usable = [block for block, why in zip(method.examples, reasons, strict=True) if why is None]
    if not usable:
        return Attempt(method=method.name, state="not here", says=str(reasons[0]))
    return attempt(method, usable[0], model, scratch)


def attempt(method: Method, block: Block, model: Path, scratch: Path) -> Attempt:
    """One block, for real. `scratch`: where its checkpoint and log may go."""
    asked = dict(filled(method.name, block))
    if why := method.not_here(asked, gpu_count() > 0):
        return Attempt(method=method.name, state="not here", says=why, block=block)
    try:
        facts = _try(method, block, model, scratch)
    except QuantgateError as error:
        lines = str(error).splitlines()
        state = "after a build" if "quantgate env build" in lines[0] else "not here"
        cause = next((line for line in reversed(lines) if line.strip()), "")
        says = lines[0] if len(lines) == 1 else f"{lines[0]} … {cause.strip(' |')}"
        return Attempt(method=method.name, state=state, says=says, block=block)
    if facts.quantized_modules == 0 and method.bits(asked) < FULL_BITS:
        return Attempt(method=method.name, state="not here", says="loads, but nothing is quantized", block=block)
    kinds = ", ".join(f"{count} {kind}" for kind, count in facts.quantized_kinds.items()) or facts.dtype
    bits = "" if facts.bits_per_weight is None else f", {facts.bits_per_weight:.2f} bits a weight"
    return Attempt(
        method=method.name,
        state="works",
        says=f"{kinds}{bits}" + (f"; {facts.dequantised}" if facts.dequantised else ""),
        block=block,
        bits_per_weight=facts.bits_per_weight,
    )


def _try(method: Method, block: Block, model: Path, scratch: Path) -> Facts:
    """Raises whatever the product itself would say."""
    quantize: dict[str, object] = {"method": method.name, **block}
    if method.tools and method.calibrates(filled(method.name, block)):
        quantize["calibration"] = {
            "data": str(model.parent / "calibration.jsonl"), "samples": SAMPLES, "length": LENGTH,
        }  # fmt: skip
    suite = {
        "suite": "attempt",
        "model": str(model),
        "variants": {"full": {"baseline": True}, "tried": {"quantize": quantize}},
        "tasks": {"none": {"perplexity": {"data": str(model.parent / "calibration.jsonl")}}},
    }
    loaded = parse_suite(json.dumps(suite), scratch / "attempt.yaml")
    variant: RunVariant = resolve_variant(loaded, "tried", offline=True, artifacts=scratch / "artifacts")
    with Worker(
        f"{method.name}",
        log=scratch / f"{method.name}.log",
        interpreter=variant.runtime.interpreter,
        environment=variant.runtime.variables,
    ) as worker:
        facts = worker.load(variant.load)
        scores = worker.score([REQUEST])
    values = [value for each in scores[0] for value in each.log_probs]
    if not all(math.isfinite(value) for value in values):
        from harness.errors import EngineError

        raise EngineError("loads, but its scores are not finite")
    return facts
