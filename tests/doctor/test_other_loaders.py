"""The ways of loading that `quantgate doctor` tries beside the methods."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.checkpoints.gguf_header import linear_types
from harness.commands.doctor import examine
from harness.doctor.other_loaders import NO_GPU, WAYS, attempt_loader, write_adapter, write_gguf
from harness.doctor.tiny_model import tiny_model
from harness.doctor.trials import tried
from harness.engines.protocol import Facts
from harness.errors import EngineError, UsageError
from harness.methods import METHODS
from harness.worker.versions import gpu_count

FACTS = Facts(engine="e", architecture="a", model_type="m", parameters=1, dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def test_states_follow_what_the_product_says() -> None:
    """What needs an environment is `after a build`, any other refusal `not here`, in the product's words."""

    def refused(text: str) -> tuple[Facts, None]:
        raise EngineError(text)

    unbuilt = "needs environment x, not built here: `quantgate env build x` (about 2 min)"
    found = tried("n", lambda: refused(unbuilt), block={}, bits=4)
    assert (found.state, found.says) == ("after a build", unbuilt)
    found = tried("n", lambda: refused("broke\n | because\n"), block={}, bits=4)
    assert (found.state, found.says) == ("not here", "broke … because")
    assert tried("n", lambda: (FACTS, None), block={}, bits=4).says == "loads, but nothing is quantized"
    found = tried("n", lambda: (FACTS, None), block={}, bits=16, note="once")
    assert (found.state, found.says) == ("works", "float32; once")


def test_what_is_not_known_is_named() -> None:
    """A wrong name lists methods and ways; none of them shares a name."""
    assert not METHODS.keys() & WAYS.keys()
    with pytest.raises(UsageError, match=r"--method nothing: expected one of bitsandbytes, .*auto-gptq, .*vllm"):
        examine(("nothing",), as_json=False)


def test_the_files_that_are_written_are_what_they_say(model: Path, tmp_path: Path) -> None:
    """The GGUF file holds the linear layers in Q8_0, and the adapter's weights are counted."""
    pytest.importorskip("gguf")
    write_gguf(model, tmp_path / "gguf" / "tiny.gguf")
    assert linear_types(tmp_path / "gguf" / "tiny.gguf") == {"Q8_0": 14}
    plain, own = write_adapter(model, tmp_path / "adapter")
    assert plain > 1_000_000
    assert own == 2 * 4 * (256 + 256 + 256 + 128)


def test_vllm_is_judged_by_the_gpus_that_are_here(model: Path, tmp_path: Path) -> None:
    """Without a GPU nothing is started, and the reason is the look at the machine."""
    if gpu_count():
        pytest.skip("a GPU is visible here")
    found = attempt_loader("vllm", model, tmp_path)
    assert (found.state, found.says) == ("not here", NO_GPU.format(environment="vllm"))


def test_served_asks_a_server(model: Path, tmp_path: Path) -> None:
    """The client's own words reach a server on loopback and its answer comes back."""
    for name in ("httpx2", "tenacity"):
        pytest.importorskip(name)
    found = attempt_loader("served", model, tmp_path)
    assert found.state == "works", found.says
    assert "url: http://HOST:PORT" in found.says


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "needs", "says"),
    [
        ("gguf-transformers", "gguf", "14 Q8_0, 32.00 bits per weight; transformers dequantised the GGUF file"),
        ("peft", "peft", "float32, 32.00 bits per weight; 7168 weights of an adapter on it"),
        ("peft-on-nf4", "bitsandbytes", "7168 weights of an adapter on it"),
    ],
)
def test_loads_for_real(name: str, needs: str, says: str, model: Path, tmp_path: Path) -> None:
    """What works here has been loaded and scored, and says what was found."""
    if find_spec(needs) is None or find_spec("peft") is None:
        pytest.skip(f"{needs} is not installed")
    found = attempt_loader(name, model, tmp_path)
    assert found.state == "works", found.says
    assert says in found.says


def test_doctor_prints_both_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """A way stands in the JSON in the form of a method."""
    assert examine(("vllm",), as_json=True) == 0
    (line,) = json.loads(capsys.readouterr().out)["methods"]
    assert set(line) == {"method", "state", "says", "block", "bits_per_weight", "error"}
    assert line["method"] == "vllm"
