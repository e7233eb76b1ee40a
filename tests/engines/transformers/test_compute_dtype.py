"""What a layer computes in is seen from its products, not from what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness.engines.transformers.load_facts import rounds_to


class Layer:
    """Multiplies in a way of its own."""

    def __init__(self, product: Callable[[Any], Any]) -> None:
        self._product = product

    def __call__(self, values: Any) -> Any:
        return self._product(values)


def refuse(values: Any) -> Any:
    raise RuntimeError("not alone")


WEIGHT = torch.randn(32, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (lambda values: values @ WEIGHT, None),
        (lambda values: (values.bfloat16() @ WEIGHT[:, :16].bfloat16()).float(), "bfloat16"),
        (lambda values: (values @ WEIGHT).half().float(), "float16"),
        (lambda values: (values @ WEIGHT).bfloat16(), None),
        (lambda values: 0 * (values @ WEIGHT), None),
        (lambda values: values @ WEIGHT * float("nan"), None),
        (refuse, None),
    ],
    ids=["float32", "bfloat16", "float16", "says so", "zeros", "NaN", "refuses"],
)
def test_the_format_is_read_off_the_products(product: Callable[[Any], Any], expected: str | None) -> None:
    """Only a float32 answer that holds nothing but 16-bit numbers is called coarse."""
    assert rounds_to(Layer(product), 32, torch.device("cpu")) == expected
