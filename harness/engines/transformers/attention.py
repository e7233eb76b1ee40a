"""Attention of a shared pass on the processor, without copies of keys and values.

transformers' `sdpa` writes every key and value once for each query head that shares it, and a prefix that all rows
share once for each row. Here the query heads of a group are further rows of queries to their one key head, and the
prefix is attended to where it lies: the two softmaxes are joined by their log-sum-exps, as in Juravsky et al.,
Hydragen (2024), section 3.1. The values are the same but for rounding; see benchmarks/NOTES.md for what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BEFORE = "_quantgate_before"
"""Attribute of the keys that an attention layer is given: keys and values of what lies before them."""


def attends_apart(model: Any, library: object = None) -> bool:
    """Whether a model attends by transformers' `sdpa` on the processor. What it makes of it, a trial has to show.

    An older transformers, which auto-gptq needs, has no table of attention functions to put another into.
    `library`: its `modeling_utils`, where it is not the one that is installed."""
    from transformers import modeling_utils

    from harness.engines.transformers.loading import core_of, input_device

    library = library or modeling_utils

    sdpa = getattr(core_of(model).config, "_attn_implementation", None) == "sdpa"
    return sdpa and hasattr(library, "ALL_ATTENTION_FUNCTIONS") and input_device(model).type == "cpu"


def put_before(keys: Any, before: tuple[Any, Any]) -> Any:
    """`keys`, [rows, key heads, own, width], with what every row sees besides, [1, key heads, before, width] each."""
    setattr(keys, BEFORE, before)
    return keys


@contextmanager
def attention_apart() -> Iterator[None]:
    """Within the block, transformers' `sdpa` is this module's attention."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    plain = ALL_ATTENTION_FUNCTIONS["sdpa"]
    ALL_ATTENTION_FUNCTIONS["sdpa"] = _Attention(plain)
    try:
        yield
    finally:
        ALL_ATTENTION_FUNCTIONS["sdpa"] = plain


class _Attention:
    """An attention function as transformers calls it."""

    def __init__(self, plain: Callable[..., Any]) -> None:
        self._plain = plain
        self._mask: Any = None
        self._repeated: Any = None

    def __call__(
        self,
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any,
        dropout: float = 0.0,
        scaling: float | None = None,
        **keywords: Any,
    ) -> tuple[Any, None]:
        """[rows, own, heads, width], as the models of transformers take it.

        Raises `ValueError` where there is a prefix and no mask of numbers, or a bias that it would need, too."""
        before = getattr(key, BEFORE, None)
        groups = query.shape[1] // key.shape[1]
        fits = getattr(attention_mask, "dtype", None) == query.dtype and keywords.get("position_bias") is None
        if not fits or (before is None and groups == 1):
            if before is not None:
                raise ValueError("attention without a mask of numbers, or with a bias by position")
            plain: tuple[Any, None] = self._plain(
                module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **keywords
            )
            return plain
        rows, heads, own, width = query.shape
        folded = query.reshape(rows, heads // groups, groups * own, width)
        found, sums = _flash(folded, key, value, self._repeat(attention_mask, groups), scaling)
        if before is not None:
            keys, values = (each.expand(rows, -1, -1, -1) for each in before)
            other, other_sums = _flash(folded, keys, values, None, scaling)
            share = (other_sums - sums).sigmoid()[..., None]
            found = found.float().lerp(other.float(), share).to(query.dtype)
        return found.reshape(rows, heads, own, -1).transpose(1, 2).contiguous(), None

    def _repeat(self, mask: Any, groups: int) -> Any:
        """A mask, [rows, 1, own, own], for `groups` queries of each token. The layers of a pass ask with the same."""
        if mask is not self._mask:
            self._mask, self._repeated = mask, mask.repeat(1, 1, groups, 1)
        return self._repeated


def _flash(query: Any, key: Any, value: Any, mask: Any, scale: float | None) -> tuple[Any, Any]:
    """Attention and the log-sum-exp of its scores, [rows, heads, queries, width] and [rows, heads, queries]."""
    import torch

    found: tuple[Any, Any] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, attn_mask=mask, scale=scale
    )
    return found
