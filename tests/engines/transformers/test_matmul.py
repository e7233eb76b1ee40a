"""Products computed in a faster way: the same values, only while scoring, and only for layers nothing else computes."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from harness.engines.protocol import GenerateRequest, ScoreRequest, Window, Workload
from harness.engines.transformers import transformers_engine as engine
from harness.engines.transformers.matmul import (
    ARITHMETIC,
    CAPS,
    ROWS,
    WIDE_ROWS,
    Processor,
    faster_products,
    linear,
    plain_layers,
    this_processor,
    usable,
    widened,
    widens,
)
from tests.engines.tiny import Make, Spec

HALVES = (torch.float16, torch.bfloat16)
LAYERS = 14
"""Linear layers of a tiny model, without the output layer, which multiplies in a place of its own."""


SLOW_WITH_MKL = Processor(vendor="AuthenticAMD")
"""A processor that MKL is slow on."""
NO_HALVES = Processor(vendor="GenuineIntel", flags=frozenset({"fpu", "avx", "avx2", "fma"}))
"""An x86 processor without float16 and bfloat16 arithmetic, whose float32 products MKL computes."""
EVERYTHING = frozenset({"fpu", "avx2", "avx512f", "avx512_bf16", "avx512_fp16"})
HALVES_TOO = Processor(vendor="GenuineIntel", flags=EVERYTHING)
ONEDNN = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


class Products(TorchDispatchMode):
    """Rows of every product of a matrix: those that oneDNN is asked for by name, and those that torch computes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self.onednn: list[int] = []
        self.torchs: list[tuple[torch.dtype, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        values: Any = args[1] if name == "aten::addmm" else args[0] if args else None
        if name == "mkldnn::_linear_pointwise":
            self.onednn.append(values.numel() // values.shape[-1])
        elif name in ("aten::addmm", "aten::mm", "aten::linear"):
            self.torchs.append((values.dtype, values.numel() // values.shape[-1]))
        return func(*args, **(kwargs or {}))

    def clear(self) -> None:
        self.onednn.clear()
        self.torchs.clear()

    @property
    def wide(self) -> list[int]:
        """Rows of the products that torch computed in float32."""
        return [rows for dtype, rows in self.torchs if dtype == torch.float32]


@pytest.fixture
def products() -> Iterator[Products]:
    """What is multiplied; the trials are made before, so that they are not among it."""
    for processor in (SLOW_WITH_MKL, NO_HALVES, HALVES_TOO, this_processor()):
        usable(processor)
        for name in ARITHMETIC:
            widens(name, processor)
    with Products() as found:
        yield found


@ONEDNN
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(ROWS, 48), (64, 48), (3, 40, 48), (2, 5, 9, 48)])
def test_the_values_are_those_of_torch(shape: tuple[int, ...], bias: bool, products: Products) -> None:
    """Within rounding of float64, for every shape a model has, views of larger weights and values included."""
    source = torch.Generator().manual_seed(1)
    values = torch.randn(*shape[:-1], 2 * shape[-1], generator=source)[..., ::2]
    weight = torch.randn(64, 48, generator=source)[10:42]
    added = torch.randn(32, generator=source) if bias else None
    expected = torch.nn.functional.linear(values.double(), weight.double(), None if added is None else added.double())
    assert usable(SLOW_WITH_MKL)
    with torch.no_grad():
        found = linear(values, weight, added, processor=SLOW_WITH_MKL)
    assert products.onednn == [values.numel() // 48]
    assert found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@ONEDNN
def test_what_is_not_finite_stays_so() -> None:
    """A NaN weight is told of by the scores, whoever multiplies."""
    values, weight = torch.ones(ROWS, 8), torch.ones(4, 8)
    weight[1, 3], weight[2, 0] = float("nan"), float("inf")
    found = linear(values, weight, None, processor=SLOW_WITH_MKL)
    assert found[:, 1].isnan().all()
    assert found[:, 2].isinf().all()
    assert found[:, [0, 3]].isfinite().all()


@ONEDNN
def test_other_number_formats_and_one_row_stay_with_torch(products: Products) -> None:
    """bfloat16 and float64 have kernels of their own, and for a single row MKL is as fast."""
    weight = torch.randn(4, 8)
    for dtype in (torch.bfloat16, torch.float64):
        found = linear(torch.ones(ROWS, 8, dtype=dtype), weight.to(dtype), None, processor=SLOW_WITH_MKL)
        assert found.dtype == dtype
    linear(torch.ones(ROWS - 1, 8), weight, None, processor=SLOW_WITH_MKL)
    assert products.onednn == []


@ONEDNN
def test_layers_are_changed_within_the_block_only(products: Products) -> None:
    """Timings outside measure what torch does, also after an error."""
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4, bias=False))
    values = torch.randn(ROWS, 8)
    with torch.no_grad():
        expected = model(values)
        with faster_products(model, SLOW_WITH_MKL):
            torch.testing.assert_close(model(values), expected)
        assert products.onednn == [ROWS, ROWS]
        with pytest.raises(KeyError), faster_products(model, SLOW_WITH_MKL):
            raise KeyError
        assert torch.equal(model(values), expected)
    assert products.onednn == [ROWS, ROWS]
    assert not any("forward" in vars(layer) for layer in model)


@ONEDNN
def test_a_forward_that_a_library_puts_in_place_meanwhile_stays() -> None:
    """compressed-tensors unpacks at the first pass: it asks for the method's function, and its own forward stays."""
    layer = torch.nn.Linear(8, 8)

    def unpacked(input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's own name
        return input

    with faster_products(layer, SLOW_WITH_MKL):
        assert inspect.ismethod(layer.forward)
        layer.forward = unpacked  # type: ignore[method-assign]
    assert vars(layer)["forward"] is unpacked


def test_only_plain_layers_are_taken() -> None:
    """Not those of a subclass, of another number format, or whose forward somebody else has changed."""

    class Packed(torch.nn.Linear):
        """What a quantization library puts in the place of a layer."""

    plain, moved = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    moved.forward = moved.forward  # type: ignore[method-assign]  # as accelerate does
    packed = torch.nn.Linear(4, 4)
    del packed.weight  # as compressed-tensors leaves it until the first pass
    model = torch.nn.Sequential(plain, Packed(4, 4), torch.nn.Linear(4, 4).bfloat16(), moved, packed)
    assert plain_layers(model, torch.float32) == [plain]


def test_intels_processors_keep_mkl() -> None:
    """MKL keeps its fastest kernels for them."""
    assert not usable(HALVES_TOO)


@ONEDNN
def test_an_engine_scores_with_it_and_times_without(make_model: Make, spec: Spec, products: Products) -> None:
    """Scores, windows and answers are computed with it; a timing never is, and the facts say both."""
    loaded = engine.load(spec(make_model("llama")), SLOW_WITH_MKL)
    context = tuple(range(5, 25))
    asked: list[Callable[[], object]] = [
        lambda: loaded.score([ScoreRequest(context=context, continuations=((30, 31), (32,)))]),
        lambda: loaded.score_windows([Window(tokens=context, scored_from=1)]),
        lambda: loaded.generate([GenerateRequest(prompt=context, max_new_tokens=2, until=())]),
    ]
    for ask in asked:
        products.clear()
        ask()
        assert len(products.onednn) >= LAYERS
    products.clear()
    loaded.time(Workload(prompt_tokens=8, new_tokens=3, batch=2, seed=0))
    assert products.onednn == []
    assert "float32 products: oneDNN while scoring, MKL while timing" in loaded.facts().notes


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(WIDE_ROWS, 48), (64, 48), (3, 40, 48)])
@pytest.mark.parametrize("at_once", [48 * 5, 1 << 20])
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bits_are_multiplied_in_float32_and_rounded(
    dtype: torch.dtype,
    shape: tuple[int, ...],
    bias: bool,
    at_once: int,
    products: Products,
) -> None:
    """Within half a unit of the format's last place of the exact product, however many weights are taken at once."""
    source = torch.Generator().manual_seed(1)
    values = torch.randn(shape, generator=source).to(dtype)
    weight = torch.randn(32, 48, generator=source).to(dtype)
    added = torch.randn(32, generator=source).to(dtype) if bias else None
    expected = torch.nn.functional.linear(values.double(), weight.double(), None if added is None else added.double())
    assert widens(str(dtype).removeprefix("torch."), NO_HALVES)
    products.clear()
    with torch.no_grad():
        in_blocks = widened(values, weight, added, processor=NO_HALVES, at_once=at_once)
        asked = linear(values, weight, added, processor=NO_HALVES)
    assert set(products.wide) == {values.numel() // 48}
    for found in (in_blocks, asked):
        assert found.dtype == dtype
        assert found.shape == expected.shape
        torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps / 2 * 1.01, atol=1e-4)


def test_few_rows_and_mixed_formats_are_not_widened(products: Products) -> None:
    """Making the weights float32 costs more than a few rows are worth, and two formats are torch's to refuse."""
    for dtype in HALVES:
        linear(torch.ones(WIDE_ROWS - 1, 8).to(dtype), torch.ones(4, 8).to(dtype), None, processor=NO_HALVES)
        with pytest.raises(RuntimeError, match="dtype"):
            linear(torch.ones(WIDE_ROWS, 8).to(dtype), torch.ones(4, 8), None, processor=NO_HALVES)
    assert products.wide == []


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("float16", "fpu avx512f avx512_fp16"),
        ("float16", "fpu amx_tile amx_fp16"),
        ("float16", None),
        ("bfloat16", "fpu avx512f avx512_bf16"),
        ("bfloat16", "fpu amx_tile amx_bf16"),
        ("bfloat16", None),
    ],
)
def test_16_bit_arithmetic_is_used_where_it_is(name: str, flags: str | None) -> None:
    """None: not an x86 processor, or a system that does not say."""
    cpuinfo = "vendor_id\t: GenuineIntel\n" + (f"flags\t\t: {flags}\n" if flags is not None else "")
    assert not widens(name, Processor.described(cpuinfo, {}))


def test_the_first_processor_is_the_one_that_counts() -> None:
    """As the system lists them; a system that lists none has no maker and no instructions."""
    cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nvendor_id\t: Other\n"
    assert Processor.described(cpuinfo, {}) == Processor(vendor="AuthenticAMD", flags=frozenset({"fpu", "avx2"}))
    assert Processor.described("", {}) == Processor()


@pytest.mark.parametrize(
    ("variables", "float16", "bfloat16"),
    [
        ({}, True, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False, False),
        ({"DNNL_MAX_CPU_ISA": "avx512_core"}, False, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, False, True),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"}, True, True),
        ({"ONEDNN_MAX_CPU_ISA": "ALL", "DNNL_MAX_CPU_ISA": "AVX2"}, True, True),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, True, True),
    ],
)
def test_forbidden_instructions_are_none(variables: dict[str, str], float16: bool, bfloat16: bool) -> None:
    """A processor that has everything, under the variables that oneDNN itself goes by."""
    found = Processor.described(f"flags : {' '.join(EVERYTHING)}", variables)
    assert (found.has_arithmetic("float16"), found.has_arithmetic("bfloat16")) == (float16, bfloat16)


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


def test_packed_layers_that_follow_the_format_are_asked_in_float32() -> None:
    """Where a trial shows that they answer the same; one row is asked as it comes."""
    layer = TorchLinear()
    values = torch.randn(8, 32, generator=torch.Generator().manual_seed(3)).half()
    expected = layer(values)
    with faster_products(layer, NO_HALVES):
        layer.asked.clear()
        found = layer(values)
        layer(values[:1])
    assert layer.asked == [torch.float32, torch.float16]
    assert found.dtype == torch.float16
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    layer(values)
    assert layer.asked[-1] == torch.float16


@pytest.mark.parametrize("layer", [TorchLinear(answers=torch.float16), TorchLinear(off=0.5)])
def test_packed_layers_that_answer_otherwise_are_left_alone(layer: TorchLinear) -> None:
    """One that answers in float16 whatever it is asked in, and one that answers something else in float32."""
    with faster_products(layer, NO_HALVES):
        layer.asked.clear()
        layer(torch.ones(8, 32).half())
    assert layer.asked == [torch.float16]


@pytest.mark.parametrize(("dtype", "close"), [("float16", 2e-2), ("bfloat16", 0.1)])
def test_an_engine_scores_16_bits_in_float32_and_times_without(
    make_model: Make, spec: Spec, products: Products, dtype: str, close: float
) -> None:
    """The scores are those of torch's own format within its rounding."""
    loaded, plain = (engine.load(spec(make_model("llama"), dtype=dtype), each) for each in (NO_HALVES, HALVES_TOO))
    request = ScoreRequest(context=tuple(range(5, 45)), continuations=((50, 51), (52,)))
    products.clear()
    found = loaded.score([request])[0]
    assert len(products.wide) >= LAYERS
    products.clear()
    loaded.time(Workload(prompt_tokens=40, new_tokens=3, batch=2, seed=0))
    assert products.wide == []
    assert any(note.startswith(f"{dtype} products: in float32") for note in loaded.facts().notes)
    for ours, torchs in zip(found, plain.score([request])[0], strict=True):
        assert sum(ours.log_probs) == pytest.approx(sum(torchs.log_probs), abs=close)


ASKED = """
import json, sys
from harness.engines.transformers import transformers_engine as engine
from harness.engines.protocol import LoadSpec, ScoreRequest
loaded = engine.load(LoadSpec(variant="v", engine="transformers", path=sys.argv[1], dtype="bfloat16"))
request = ScoreRequest(context=tuple(range(5, 45)), continuations=((50, 51), (52,), tuple(range(60, 90))))
scores = [list(each.log_probs) for each in loaded.score([request])[0]]
print(json.dumps({"scores": scores, "notes": loaded.facts().notes}))
"""
FORBIDDEN = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""What stands in for a processor without AVX-512 and bfloat16 instructions."""


def asked(model: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Scores and notes of a bfloat16 model in a process of its own."""
    plain = {key: value for key, value in os.environ.items() if key not in (*CAPS, "ATEN_CPU_CAPABILITY")}
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(model)],
        capture_output=True, text=True, check=True, env={**plain, **variables},
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.slow
def test_a_processor_without_the_instructions_scores_as_one_with_them(make_model: Make) -> None:
    """Every token within 0.05 nats, which is the rounding of bfloat16 in another order of sums; the facts say how."""
    if this_processor().flags is None:
        pytest.skip("not an x86 processor")
    model = make_model("llama")
    here, there = asked(model, {}), asked(model, FORBIDDEN)
    assert any(note.startswith("bfloat16 products: in float32 and rounded") for note in there["notes"])
    for one, other in zip(here["scores"], there["scores"], strict=True):
        assert one == pytest.approx(other, abs=0.05)
