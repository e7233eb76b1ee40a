"""Quantization methods, one small file and one row each. Adding one is described in CONTRIBUTING.md."""

from __future__ import annotations

from collections.abc import Mapping

from harness.methods import awq, bnb, compressed, fp8, gguf, gptq, hqq, quanto, torchao
from harness.methods.base import Block, Method

METHODS: Mapping[str, Method] = {
    module.METHOD.name: module.METHOD for module in (bnb, gptq, awq, hqq, torchao, quanto, fp8, compressed, gguf)
}


def filled(method: str, block: Block) -> Block:
    """A block with its method's name and defaults, as a validated suite holds it."""
    defaults = {each.name: each.default for each in METHODS[method].parameters if each.default is not None}
    return {"method": method, **defaults, **block}


def kernel_of(kind: str) -> str:
    """What computes with a class of quantized module; the class itself where no method claims it."""
    for method in METHODS.values():
        if kind in method.kernels:
            return method.kernels[kind]
    return kind
