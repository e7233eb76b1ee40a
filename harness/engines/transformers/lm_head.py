"""The way from the final hidden state to logits, checked against the model's own forward pass at load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engines.hidden_states import has_lm_head, read_lm_head_files, save_lm_head_files
from harness.engines.transformers.loading import core_of, input_device
from harness.engines.transformers.matmul import linear
from harness.engines.transformers.placement import values_of

AGREES = 2e-3
"""Largest difference of logits, in their standard deviations, at which the shortcut counts as the model's own."""


@dataclass(frozen=True, kw_only=True)
class LmHead:
    """Output embeddings with the scalings some families add. `trunk` is None when the shortcut does not hold."""

    trunk: Any
    """The model up to its final norm."""
    linear: Any
    softcap: float | None
    multiply: float
    why_not: str | None = None

    @classmethod
    def find(cls, model: Any) -> LmHead:
        """Find the parts and compare them with `model(...).logits` on a short random text."""
        import torch

        core = core_of(model)
        config = core.config.get_text_config()
        linear = core.get_output_embeddings()
        trunk = getattr(core, core.base_model_prefix, None)
        softcap = getattr(config, "final_logit_softcapping", None)
        divide = getattr(config, "logits_scaling", None) or 1.0
        multiply = (getattr(config, "logit_scale", None) or 1.0) / divide
        head = cls(trunk=trunk, linear=linear, softcap=softcap, multiply=float(multiply))
        if trunk is None or linear is None or trunk is core:
            return head.without("its parts are not laid out as a trunk and an output layer")
        ids = torch.randint(0, config.vocab_size, (1, 8), generator=torch.Generator().manual_seed(0))
        ids = ids.to(input_device(model))
        with torch.no_grad():
            own = model(input_ids=ids, use_cache=False).logits.float()
            short = head.logits(head.hidden(ids))
        if not torch.isfinite(own).all():
            return head
        # The model scales and caps in its own number format, the shortcut in float32: two roundings may lie between.
        rounding = 2 * torch.finfo(core.dtype).eps * own.abs().max()
        error = float((own - short.to(own.device)).abs().max())
        if error <= AGREES * float(own.std()) + float(rounding):
            return head
        return head.without(f"trunk and output layer differ from its own logits by {error:.2g}")

    def without(self, why: str) -> LmHead:
        return LmHead(trunk=None, linear=self.linear, softcap=self.softcap, multiply=self.multiply, why_not=why)

    def hidden(self, input_ids: Any, *, use_cache: bool = False, **keywords: Any) -> Any:
        """Final post-norm hidden states, [batch, tokens, d_model]."""
        return self.trunk(input_ids=input_ids, use_cache=use_cache, **keywords).last_hidden_state

    def logits(self, hidden: Any) -> Any:
        """float32 logits, [..., vocabulary]."""
        weight = self.linear.weight
        taken = hidden.to(weight.dtype) if weight.dtype.is_floating_point else hidden
        found = self.linear(taken) if self.whole else linear(taken, weight, self.linear.bias)
        return scaled(found.float(), self.softcap, self.multiply)

    @property
    def width(self) -> int:
        return int(self.linear.weight.shape[0])

    @property
    def whole(self) -> bool:
        """Packed weights, and weights that accelerate moves about, are used as a whole."""
        import torch

        weight: Any = getattr(self.linear, "weight", None)
        plain = type(self.linear) is torch.nn.Linear and type(weight) is torch.nn.Parameter
        return not (plain and weight.dtype.is_floating_point and not hasattr(self.linear, "_hf_hook"))

    def block(self, hidden: Any, start: int, stop: int) -> Any:
        """float32 logits of a range of the vocabulary, [positions, stop - start]."""
        if self.whole:
            return self.logits(hidden)
        weight, bias = self.linear.weight[start:stop], self.linear.bias
        found = linear(hidden.to(weight.dtype), weight, None if bias is None else bias[start:stop])
        return scaled(found.float(), self.softcap, self.multiply)


def scaled(logits: Any, softcap: float | None, multiply: float) -> Any:
    """Logit scaling (Cohere, Granite), then soft-capping (Gemma 2)."""
    import torch

    if multiply != 1.0:
        logits = logits * multiply
    return softcap * torch.tanh(logits / softcap) if softcap is not None else logits


def save_lm_head(head: LmHead, folder: Path, *, known: int) -> None:
    """Keep the baseline's output layer beside its states, once. `known`: as in `states.save_head_files`."""
    if has_lm_head(folder):
        return
    bias = getattr(head.linear, "bias", None)
    save_lm_head_files(
        folder,
        to_numpy(values_of(head.linear, "weight").detach()),
        None if bias is None else to_numpy(values_of(head.linear, "bias").detach().float()),
        softcap=head.softcap,
        multiply=head.multiply,
        known=known,
    )


def known_ids(tokenizer: Any) -> int:
    """Ids below this one are tokens that a text can be made of; special tokens at the end, such as an added one for
    padding, are not."""
    special = {int(each) for each in getattr(tokenizer, "all_special_ids", ())}
    added = getattr(tokenizer, "added_tokens_decoder", None) or {}
    special |= {int(each) for each, token in added.items() if getattr(token, "special", False)}
    return 1 + max((each for each in tokenizer.get_vocab().values() if each not in special), default=-1)


@dataclass(frozen=True, kw_only=True)
class StoredLmHead:
    """The baseline's output layer, read back on the variant's device."""

    weight: Any
    bias: Any
    softcap: float | None
    multiply: float

    @classmethod
    def read(cls, folder: Path, device: Any) -> StoredLmHead:
        weight, bias, softcap, multiply = read_lm_head_files(folder)
        return cls(
            weight=from_numpy(weight).to(device).float(),
            bias=None if bias is None else from_numpy(bias).to(device),
            softcap=softcap,
            multiply=multiply,
        )

    @property
    def width(self) -> int:
        return int(self.weight.shape[0])

    @property
    def whole(self) -> bool:
        return False

    def block(self, hidden: Any, start: int, stop: int) -> Any:
        """float32 logits of stored states in a range of the vocabulary, [positions, stop - start]."""
        bias = None if self.bias is None else self.bias[start:stop]
        found = linear(hidden.float(), self.weight[start:stop], bias)
        return scaled(found, self.softcap, self.multiply)


def to_numpy(tensor: Any) -> Any:
    """A tensor as numpy has it; bfloat16 as its bits in uint16."""
    import torch

    tensor = tensor.contiguous().cpu()
    return tensor.view(torch.uint16).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def from_numpy(array: Any) -> Any:
    """The inverse of `to_numpy`."""
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor


def half(states: Any) -> Any:
    """16-bit states: float16 where every value fits, bfloat16 otherwise."""
    import torch

    small = states.to(torch.float16)
    return small if torch.isfinite(small).all() else states.to(torch.bfloat16)
