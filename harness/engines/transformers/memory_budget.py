"""How many tokens go into a pass and into a cache, so that the work beside the weights stays within a budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import core_of, input_device
from harness.engines.transformers.streaming_softmax import POSITIONS, columns_of

PASS_TOKENS = 2048
"""Padded tokens of one forward pass. More are not faster: a pass of this size keeps the cores busy."""
FEWEST_TOKENS = 64
LOGITS_COPIES = 4
"""Blocks of float32 logits alive at once."""
ELSEWHERE = 4 * 2**30
"""Taken for free where the system does not say, in bytes."""
STATES = 6
"""Activations of a layer alive at once, in widths of the model, without those of its feed-forward part."""
FEED_FORWARD = 3
"""The same in widths of the feed-forward part."""
PREFIX_SHARE, ATTENTION_SHARE = 4, 4
"""Parts of the states that are a prefix's, and of the budget that attention has, beside the other activations."""
MASKS = 3
"""Bytes of a mask's parts for each pair of a token and a token it may see, beside the mask itself."""
WRITTEN_OUT = 3
"""Copies of attention's scores where they are written out (`eager`), one for each of its heads."""


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """Limits of one model on one machine."""

    pass_tokens: int
    """Padded tokens of a forward pass."""
    cache_tokens: int
    """Tokens, over all rows, whose keys and values are held."""
    total_bytes: int
    """What scoring may take beside the weights."""
    layer_bytes: int
    """Bytes of one layer's keys and values for each token that a row sees, as attention holds them."""
    pair_bytes: int
    """Bytes for each pair of a row's own token and a token it may see."""

    @property
    def exponential_bytes(self) -> int:
        """What a divergence may keep of exponentials: half of a pass, which is over by then."""
        return self.total_bytes // 4

    @property
    def prefix_tokens(self) -> int:
        """Tokens of shared prefixes whose states are held, where there is more than one."""
        return self.cache_tokens // PREFIX_SHARE

    def rows(self, own: int, before: int = 0) -> int:
        """Rows of one pass, each of `own` padded tokens behind `before` that all rows share; one at least.

        Where states are not kept, attention has what the cache would take.
        """
        seen = before + own
        attention = seen * (self.layer_bytes + own * self.pair_bytes)
        return max(1, min(self.pass_tokens // own, self.total_bytes // ATTENTION_SHARE // attention))

    @classmethod
    def of(cls, model: Any, head: LmHead, budget: int | None) -> MemoryBudget:
        """Limits from a budget in bytes. Half goes to a pass, half to the cache.

        Without one, the largest power of two within half of what is free: as good as always the same on one machine,
        so that batches, and with them roundings, are the same in every run.
        """
        core = core_of(model)
        config = core.config.get_text_config()
        size, device = core.dtype.itemsize, input_device(model)
        allowed = budget if budget is not None else 1 << (free_bytes(device).bit_length() - 2)
        width = int(getattr(config, "hidden_size", None) or 1024)
        feed_forward = int(getattr(config, "intermediate_size", None) or 4 * width)
        per_token = size * (STATES * width + FEED_FORWARD * feed_forward)
        columns = int(config.vocab_size) if head.trunk is None else columns_of(head, device)
        logits = LOGITS_COPIES * 4 * POSITIONS * columns
        heads = int(getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None) or 1)
        head_width = int(getattr(config, "head_dim", None) or width // max(1, _attention_heads(config)))
        layers = int(getattr(config, "num_hidden_layers", None) or 1)
        cached = 2 * size * layers * heads * head_width
        written = core.config._attn_implementation == "eager"
        return cls(
            pass_tokens=min(PASS_TOKENS, max(FEWEST_TOKENS, (allowed // 2 - logits) // per_token)),
            cache_tokens=max(1, allowed // 2 // cached),
            total_bytes=allowed,
            layer_bytes=2 * size * head_width * (heads + _attention_heads(config)),
            pair_bytes=size + MASKS + (WRITTEN_OUT * max(4, size) * _attention_heads(config) if written else 0),
        )


def _attention_heads(config: Any) -> int:
    return int(getattr(config, "num_attention_heads", None) or 1)


def free_bytes(device: Any) -> int:
    """Free memory of the device the model's input lies on."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    meminfo = Path("/proc/meminfo")
    for line in meminfo.read_text().splitlines() if meminfo.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return ELSEWHERE
