"""The tiny model that methods are tried on, its calibration text, and what it answers in full precision."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.engines.protocol import ContinuationScore, ScoreRequest

WIDTH, VOCABULARY = 256, 296
SAMPLES, LENGTH = 16, 32
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ANSWERS = "answers.json"
"""Beside the model's folder: its log-probabilities of `PROBES` in float32."""
CONTEXT, PROBED = 4, 28
"""Tokens of a probe: given, and scored."""


def _probes() -> tuple[ScoreRequest, ...]:
    """Eight texts of random letters, as the calibration's."""
    drawn = random.Random(0)
    rows = [drawn.choices(range(VOCABULARY - len(LETTERS), VOCABULARY), k=CONTEXT + PROBED) for _ in range(8)]
    return tuple(ScoreRequest(context=tuple(row[:CONTEXT]), continuations=(tuple(row[CONTEXT:]),)) for row in rows)


PROBES = _probes()


def log_probs(scores: Sequence[Sequence[ContinuationScore]]) -> tuple[float, ...]:
    """Every token's, of all probes, in nats."""
    return tuple(value for probe in scores for each in probe for value in each.log_probs)


def relative_error(found: Sequence[float], expected: Sequence[float]) -> float:
    """Root of the summed squared differences over that of the expected values around their mean.

    0: the same answers. 1: as far off as one value for every token. 2 ** 0.5: what unrelated weights give on average,
    as the variances of independent values add up.
    """
    mean = math.fsum(expected) / len(expected)
    off = math.fsum((a - b) ** 2 for a, b in zip(found, expected, strict=True))
    return math.sqrt(off / math.fsum((b - mean) ** 2 for b in expected))


def tolerated(bits: float) -> float | None:
    """The relative error up to which weights of these bits pass for the tiny model's; None where nothing can be said.

    Rounding gives about 4.5 · 2 ** -bits there (measured with hqq, quanto, AWQ and GGUF): 0.02 at 8 bits, 0.3 at 4, 0.6
    at 3. At 2 bits and less it is 0.8 to 1.4, no nearer than one value for every token.
    """
    if bits < 3:
        return None
    return 0.6 if bits >= 4 else 0.9


def answers(model: Path) -> tuple[float, ...]:
    """What the tiny model in this folder answers in float32, as `tiny_model` stored it."""
    return tuple(json.loads((model.parent / ANSWERS).read_text()))


def tiny_model(folder: Path) -> Path:
    """A random two-layer Llama in float32 with a word tokenizer; calibration text and its answers beside it.

    Nothing is downloaded. Raises `EngineError` when transformers is not installed.
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
    (folder.parent / ANSWERS).write_text(json.dumps(measured(model.eval())))
    return folder


def measured(model: Any) -> list[float]:
    """Log-probabilities of `PROBES` straight from a loaded model, with no engine between."""
    import torch

    found: list[float] = []
    for probe in PROBES:
        ids = torch.tensor([[*probe.context, *probe.continuations[0]]])
        with torch.inference_mode():
            scored = model(ids).logits[0].log_softmax(-1)
        at = torch.arange(CONTEXT, CONTEXT + PROBED)
        found.extend(scored[at - 1, ids[0, at]].tolist())
    return found


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
