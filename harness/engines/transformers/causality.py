"""A causal model does not see later tokens: asked at load, on the model as it was put together.

Two passes of one shape that differ in their last tokens only must give equal logits before them. Rounding moves them a
little where a library computes over a whole batch at once: LLM.int8 picks its outlier columns so, experts are gathered
so. What a later token moves is therefore held against what an earlier one moves: a model that attends both ways is
moved as much by either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.engines.transformers.loading import core_of, input_device
from harness.errors import EngineError

ROWS, CONTEXT, LATER = 4, 8, 4
"""Texts, and tokens of each before and after the place that is looked at."""
MOST = {"float32": 0.02, "float64": 0.02}
MOST_COARSE = 0.1
MOST_QUANTIZED = 0.4
"""Largest effect of a later token over an earlier one's that rounding explains: by the model's number format, and for
quantized models."""
ROUNDINGS = 4
"""Effects below so many roundings of the largest logit are none."""


def check_causal(path: str, model: Any, tokenizer: Any, *, quantized: bool) -> None:
    """Raises `EngineError` for a model whose logits move with tokens that come later."""
    import torch

    device = input_device(model)
    kept, later, earlier = _texts(_plain_ids(core_of(model).config.get_text_config(), tokenizer))
    with torch.no_grad():
        own, moved, other = (
            model(input_ids=torch.tensor(rows, device=device), use_cache=False).logits[:, CONTEXT - 1].float()
            for rows in (kept, later, earlier)
        )
    if not all(bool(torch.isfinite(each).all()) for each in (own, moved, other)):
        return  # judged by the facts: a weight that is not a number
    by_later = float((own - moved).abs().mean(-1).median())
    by_earlier = float((own - other).abs().mean(-1).median())
    kind = str(core_of(model).dtype).removeprefix("torch.")
    rounding = ROUNDINGS * torch.finfo(core_of(model).dtype).eps * float(own.abs().max())
    most = MOST_QUANTIZED if quantized else MOST.get(kind, MOST_COARSE)
    if by_later <= rounding or by_later <= most * by_earlier:
        return
    raise EngineError(
        f"{path}: this model sees later tokens: changing the {LATER} tokens behind a place moves the logits there by "
        f"{by_later:.2g}, changing {LATER} before it by {by_earlier:.2g}. It is not causal (an encoder, or an "
        "attention mask that is lost), so the likelihood of a text under it means nothing"
    )


def _plain_ids(config: Any, tokenizer: Any) -> list[int]:
    """Ids of ordinary tokens: none that stands for an image or the end of a text."""
    special = {int(each) for each in getattr(tokenizer, "all_special_ids", ())}
    special |= {int(each) for each in getattr(tokenizer, "added_tokens_decoder", None) or {}}
    found = [each for each in range(min(len(tokenizer), int(config.vocab_size))) if each not in special]
    return found or list(range(int(config.vocab_size)))


def _texts(ids: Sequence[int]) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Texts; the same with other tokens behind the place; the same with other tokens before it, not at it."""
    import torch

    source = torch.Generator().manual_seed(0)

    def drawn(count: int) -> list[int]:
        return [ids[int(each)] for each in torch.randint(0, len(ids), (count,), generator=source)]

    kept = [drawn(CONTEXT + LATER) for _ in range(ROWS)]
    later = [[*row[:CONTEXT], *drawn(LATER)] for row in kept]
    first = CONTEXT - 1 - LATER
    earlier = [[*row[:first], *drawn(LATER), *row[CONTEXT - 1 :]] for row in kept]
    return kept, later, earlier
