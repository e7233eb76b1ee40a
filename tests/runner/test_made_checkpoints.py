"""What a checkpoint is made from and where it goes: refused before anything is loaded or written, by `check` too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.commands.check import check_suite
from harness.commands.quantize import make_checkpoints
from harness.doctor.tiny_model import tiny_model
from harness.errors import EngineError, SuiteError, UsageError
from harness.runner.made_checkpoints import trusts
from harness.runner.preflight import preflight_problems
from harness.runner.variants import resolve_variant
from harness.suite.load import load_suite

CALIBRATION = {"data": "lines.jsonl", "samples": 16, "length": 32}
BLOCKS: tuple[dict[str, Any], ...] = (
    {"method": "gguf", "type": "F16"},
    {"method": "awq", "group_size": 32, "calibration": CALIBRATION},
    {"method": "bitsandbytes", "bits": 8},
    {"method": "hqq", "bits": 4},
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


def write(folder: Path, **variant: object) -> Path:
    suite = {
        "suite": "s",
        "model": "./model",
        "variants": {"full": {"baseline": True, "dtype": "float32"}, "v": variant},
        "tasks": {"t": {"perplexity": {"data": "lines.jsonl", "window": 32}}},
    }
    rows = [json.dumps({"text": f"line {n:03} of a small text"}) for n in range(50)]
    (folder / "lines.jsonl").write_text("\n".join(rows) + "\n")
    path = folder / "s.yaml"
    path.write_text(json.dumps(suite))
    return path


def quantized(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "gptq", "bits": 4}}))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(block["method"]))
def test_weights_are_not_quantized_twice(block: dict[str, Any], tmp_path: Path) -> None:
    """`check` names both methods for every way to quantize, and making refuses; nothing is written."""
    quantized(tmp_path / "gptq")
    (tmp_path / "model").mkdir()
    path = write(tmp_path, path="./gptq", quantize=block)
    says = rf"already quantized \(gptq\), and this variant quantizes it again with {block['method']}"
    assert any(
        each.startswith("v: ") and "already quantized (gptq)" in each for each in preflight_problems(load_suite(path))
    )
    if load_suite(path).suite.variants["v"].quantize.makes:  # type: ignore[union-attr]
        with pytest.raises(EngineError, match=rf"variants\.v\.quantize: .*{says}"):
            make_checkpoints(path, tmp_path / "artifacts", ())
    assert not (tmp_path / "artifacts").exists()


def test_check_is_not_ready_for_it(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `quantgate check` prints and returns."""
    quantized(tiny.parent / "gptq")
    path = write(tiny.parent, path="./gptq", quantize=BLOCKS[0])
    assert check_suite(path, limit=None, results=tiny.parent / "r") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "already quantized (gptq), and this variant quantizes it again with gguf; leave quantize out" in said
    assert "is ready" not in said


def test_a_hub_model_is_no_source(tmp_path: Path) -> None:
    """Neither for `check` nor for making."""
    path = write(tmp_path, path="some/model", quantize=BLOCKS[0])
    says = "checkpoints are made from a local folder; download some/model first"
    assert any(says in each for each in preflight_problems(load_suite(path)))
    with pytest.raises(EngineError, match=rf"variants\.v\.quantize: {says}"):
        make_checkpoints(path, tmp_path / "artifacts", ())


def test_check_wants_enough_calibration_data(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Needed and found amount, as making says them; with enough, `check` goes on to the overlap."""
    found = {}
    for samples in (16, 1000):
        block = {"method": "gptq", "group_size": 32, "calibration": {**CALIBRATION, "samples": samples}}
        path = write(tiny.parent, quantize=block)
        try:
            check_suite(path, limit=None, results=tiny.parent / "r")
        except SuiteError as error:
            found[samples] = str(error)
        else:
            found[samples] = " ".join(capsys.readouterr().out.split())
    assert "v: calibration and t: 50 equal texts (a run would be INVALID)" in found[16]
    assert "variants.v.quantize.calibration: expected 1000 samples of 32 tokens, that is 32,000 tokens" in found[1000]
    assert "lines.jsonl has 1,300, enough for 40. Add text" in found[1000]


def test_without_a_model_the_rest_is_checked(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that is not there yet stands in the way, and the overlap with its calibration data is still told."""
    path = write(tiny.parent, path="./nowhere", quantize=BLOCKS[1])
    assert check_suite(path, limit=None, results=tiny.parent / "r") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "no model folder at ./nowhere" in said
    assert "v: whether its calibration data is enough is unknown without its tokenizer" in said
    assert "v: calibration and t: 50 equal texts" in said


@pytest.mark.parametrize("inside", ["model", "model/artifacts", "link/made"])
def test_checkpoints_stay_apart_from_the_source(inside: str, tmp_path: Path) -> None:
    """In the source's folder, below it, or there through a link: refused, and nothing is written; beside it is fine."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    path = write(tmp_path, quantize=BLOCKS[0])
    with pytest.raises(UsageError, match=r"--artifacts .*: this is inside .*model, the folder of the model"):
        make_checkpoints(path, tmp_path / inside, ())
    with pytest.raises(UsageError, match="--artifacts"):
        resolve_variant(load_suite(path), "v", offline=True, artifacts=tmp_path / inside)
    assert [each.name for each in (tmp_path / "model").iterdir()] == ["config.json"]


@pytest.mark.parametrize(("whole", "own", "expected"), [(False, None, False), (True, None, True), (True, False, False)])
def test_a_variant_says_whether_its_code_may_run(whole: bool, own: bool | None, expected: bool, tmp_path: Path) -> None:
    """The variant's own word over the suite's, for making as for loading."""
    path = write(tmp_path, quantize=BLOCKS[0], trust_remote_code=own)
    suite = load_suite(path).suite.model_copy(update={"trust_remote_code": whole})
    assert trusts(suite, suite.variants["v"]) is expected
