"""Products computed in a faster way: the same values, only while scoring, and only for layers nothing else computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness.engines import hf_linear
from harness.engines import transformers as engine
from harness.engines.hf_linear import ROWS, WIDE_ROWS, faster_products, linear, plain_layers, usable, widens
from harness.engines.seam import GenerateRequest, ScoreRequest, Window, Workload
from tests.engines.tiny import Make, Spec

LAYERS = 14
"""Linear layers of a tiny model, without the output layer, which multiplies in a place of its own."""


@pytest.fixture
def slow_with_mkl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a processor that MKL is slow on."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(hf_linear, "_vendor", lambda: next(iter(hf_linear.SLOW_WITH_MKL)))
    usable.cache_clear()
    yield
    usable.cache_clear()


@pytest.fixture
def no_float16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on an x86 processor without float16 arithmetic."""
    monkeypatch.setattr(hf_linear, "_described", {"flags": "fpu avx2 avx512f avx512_bf16"}.get)
    for answer in (usable, widens):
        answer.cache_clear()
    yield
    for answer in (usable, widens):
        answer.cache_clear()


@pytest.fixture
def widened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every float16 product that was computed in float32."""
    rows: list[int] = []
    widen = hf_linear._widened

    def noted(values: Any, weight: Any, bias: Any) -> Any:
        rows.append(values.numel() // values.shape[-1])
        return widen(values, weight, bias)

    monkeypatch.setattr(hf_linear, "_widened", noted)
    return rows


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every product that went to oneDNN."""
    rows: list[int] = []
    suits = hf_linear._suits

    def noted(values: Any, weight: Any) -> bool:
        taken = suits(values, weight)
        if taken:
            rows.append(values.numel() // values.shape[-1])
        return taken

    monkeypatch.setattr(hf_linear, "_suits", noted)
    return rows


@pytest.mark.usefixtures("slow_with_mkl")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS, 48), (64, 48), (3, 40, 48), (2, 5, 9, 48)])
def test_the_values_are_those_of_torch(shape: tuple[int, ...], bias: bool, seen: list[int]) -> None:
    """Within rounding of float64, for every shape a model has, views of larger weights and values included."""
    source = torch.Generator().manual_seed(1)
    values = torch.randn(*shape[:-1], 2 * shape[-1], generator=source)[..., ::2]
    weight = torch.randn(64, 48, generator=source)[10:42]
    added = torch.randn(32, generator=source) if bias else None
    expected = torch.nn.functional.linear(values.double(), weight.double(), None if added is None else added.double())
    assert usable()
    with torch.no_grad():
        found = linear(values, weight, added)
    assert seen == [values.numel() // 48]
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("slow_with_mkl")
def test_what_is_not_finite_stays_so() -> None:
    """A NaN weight is told of by the scores, whoever multiplies."""
    values, weight = torch.ones(ROWS, 8), torch.ones(4, 8)
    weight[1, 3], weight[2, 0] = float("nan"), float("inf")
    found = linear(values, weight, None)
    assert found[:, 1].isnan().all()
    assert found[:, 2].isinf().all()
    assert found[:, [0, 3]].isfinite().all()


@pytest.mark.usefixtures("slow_with_mkl")
def test_other_number_formats_and_one_row_stay_with_torch(seen: list[int]) -> None:
    """bfloat16 and float64 have kernels of their own, and for a single row MKL is as fast."""
    weight = torch.randn(4, 8)
    for dtype in (torch.bfloat16, torch.float64):
        assert linear(torch.ones(ROWS, 8, dtype=dtype), weight.to(dtype), None).dtype == dtype
    linear(torch.ones(ROWS - 1, 8), weight, None)
    assert seen == []


@pytest.mark.usefixtures("slow_with_mkl")
def test_layers_are_changed_within_the_block_only(seen: list[int]) -> None:
    """Timings outside measure what torch does, also after an error."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4, bias=False))
    values = torch.randn(ROWS, 8)
    with torch.no_grad():
        expected = model(values)
        with faster_products(model):
            torch.testing.assert_close(model(values), expected)
        assert seen == [ROWS, ROWS]
        with pytest.raises(KeyError), faster_products(model):
            raise KeyError
        assert torch.equal(model(values), expected)
    assert seen == [ROWS, ROWS]
    assert not any("forward" in vars(layer) for layer in model)


def test_only_plain_layers_are_taken() -> None:
    """Not those of a subclass, of another number format, or whose forward somebody else has changed."""

    class Packed(torch.nn.Linear):
        """What a quantization library puts in the place of a layer."""

    plain, moved = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    moved.forward = moved.forward  # type: ignore[method-assign]  # as accelerate does
    model = torch.nn.Sequential(plain, Packed(4, 4), torch.nn.Linear(4, 4).bfloat16(), moved)
    assert plain_layers(model, torch.float32) == [plain]


def test_intels_processors_keep_mkl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_linear, "_vendor", lambda: "GenuineIntel")
    usable.cache_clear()
    assert not usable()
    usable.cache_clear()


@pytest.mark.usefixtures("slow_with_mkl")
def test_an_engine_scores_with_it_and_times_without(make_model: Make, spec: Spec, seen: list[int]) -> None:
    """Scores, windows and answers are computed with it; a timing never is, and the facts say both."""
    loaded = engine.load(spec(make_model("llama")))
    context = tuple(range(5, 25))
    asked: list[Callable[[], object]] = [
        lambda: loaded.score([ScoreRequest(context=context, continuations=((30, 31), (32,)))]),
        lambda: loaded.roll([Window(tokens=context, scored_from=1)]),
        lambda: loaded.generate([GenerateRequest(prompt=context, max_new_tokens=2, until=())]),
    ]
    for ask in asked:
        seen.clear()
        ask()
        assert len(seen) >= LAYERS
    seen.clear()
    loaded.time(Workload(prompt_tokens=8, new_tokens=3, batch=2, seed=0))
    assert seen == []
    assert "float32 products: oneDNN while scoring, MKL while timing" in loaded.facts().notes


@pytest.mark.usefixtures("no_float16")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(WIDE_ROWS, 48), (64, 48), (3, 40, 48)])
@pytest.mark.parametrize("at_once", [48 * 5, 1 << 20])
def test_float16_is_multiplied_in_float32_and_rounded(
    shape: tuple[int, ...], bias: bool, at_once: int, widened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within half a unit of float16's last place of the exact product, however many weights are taken at once."""
    monkeypatch.setattr(hf_linear, "WIDE_VALUES", at_once)
    source = torch.Generator().manual_seed(1)
    values = torch.randn(shape, generator=source).half()
    weight = torch.randn(32, 48, generator=source).half()
    added = torch.randn(32, generator=source).half() if bias else None
    expected = torch.nn.functional.linear(values.double(), weight.double(), None if added is None else added.double())
    found = linear(values, weight, added)
    assert widened == [values.numel() // 48]
    assert found.dtype == torch.float16
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=2**-11 * 1.01, atol=1e-4)


@pytest.mark.usefixtures("no_float16")
def test_few_rows_and_bfloat16_are_not_widened(widened: list[int]) -> None:
    """Making the weights float32 costs more than a few rows are worth."""
    linear(torch.ones(WIDE_ROWS - 1, 8).half(), torch.ones(4, 8).half(), None)
    linear(torch.ones(WIDE_ROWS, 8).bfloat16(), torch.ones(4, 8).bfloat16(), None)
    assert widened == []


@pytest.mark.parametrize("flags", ["fpu avx512f avx512_fp16", "fpu amx_tile amx_fp16", None])
def test_float16_arithmetic_is_used_where_it_is(monkeypatch: pytest.MonkeyPatch, flags: str | None) -> None:
    """None: not an x86 processor, or a system that does not say."""
    monkeypatch.setattr(hf_linear, "_described", lambda key: flags if key == "flags" else None)
    widens.cache_clear()
    assert not widens()
    widens.cache_clear()


class TorchLinear(torch.nn.Module):
    """A packed layer that unpacks into the format it is asked in, as gptqmodel's of this name."""

    def __init__(self, answers: torch.dtype | None = None, off: float = 0.0) -> None:
        super().__init__()
        self.in_features, self.answers, self.off = 32, answers, off
        self.qweight = torch.randint(-8, 8, (16, 32), generator=torch.Generator().manual_seed(2), dtype=torch.int8)
        self.asked: list[torch.dtype] = []

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.asked.append(values.dtype)
        product = values @ (self.qweight / 16).to(values.dtype).T
        wide = self.off if values.dtype == torch.float32 else 0.0
        return (product + wide).to(self.answers or product.dtype)


@pytest.mark.usefixtures("no_float16")
def test_packed_layers_that_follow_the_format_are_asked_in_float32() -> None:
    """Where a trial shows that they answer the same; one row is asked as it comes."""
    layer = TorchLinear()
    values = torch.randn(8, 32, generator=torch.Generator().manual_seed(3)).half()
    expected = layer(values)
    with faster_products(layer):
        layer.asked.clear()
        found = layer(values)
        layer(values[:1])
    assert layer.asked == [torch.float32, torch.float16]
    assert found.dtype == torch.float16
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    layer(values)
    assert layer.asked[-1] == torch.float16


@pytest.mark.usefixtures("no_float16")
@pytest.mark.parametrize("layer", [TorchLinear(answers=torch.float16), TorchLinear(off=0.5)])
def test_packed_layers_that_answer_otherwise_are_left_alone(layer: TorchLinear) -> None:
    """One that answers in float16 whatever it is asked in, and one that answers something else in float32."""
    with faster_products(layer):
        layer.asked.clear()
        layer(torch.ones(8, 32).half())
    assert layer.asked == [torch.float16]


@pytest.mark.usefixtures("no_float16")
def test_an_engine_scores_float16_in_float32_and_times_without(
    make_model: Make, spec: Spec, widened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores are those of torch's float16 within its rounding."""
    loaded = engine.load(spec(make_model("llama"), dtype="float16"))
    request = ScoreRequest(context=tuple(range(5, 45)), continuations=((50, 51), (52,)))
    widened.clear()
    found = loaded.score([request])[0]
    assert len(widened) >= LAYERS
    widened.clear()
    loaded.time(Workload(prompt_tokens=40, new_tokens=3, batch=2, seed=0))
    assert widened == []
    assert any(note.startswith("float16 products: in float32") for note in loaded.facts().notes)
    monkeypatch.setattr(hf_linear, "widens", lambda: False)
    for ours, torchs in zip(found, loaded.score([request])[0], strict=True):
        assert sum(ours.log_probs) == pytest.approx(sum(torchs.log_probs), abs=2e-2)
    assert widened == []
