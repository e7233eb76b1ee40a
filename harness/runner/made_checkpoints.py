"""The checkpoint of a variant whose method makes one: its source, its calibration data, and what they must be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import EngineError, UsageError
from harness.methods.already_quantized import refuse_requantization
from harness.planning.identity import weights_identity
from harness.planning.tokens import HfTokenizer, Tokenizer
from harness.quantization.artifacts import Artifact, Artifacts, Order
from harness.quantization.calibration import draw, read_texts
from harness.runner.interpreters import making
from harness.suite.load import LoadedSuite
from harness.suite.locations import ModelLocation, resolve_model
from harness.suite.models import Suite
from harness.suite.variant_model import Variant
from harness.worker.versions import device_type, gpu_count, library_versions


def trusts(suite: Suite, spec: Variant) -> bool:
    """Whether code next to a variant's weights may run."""
    return suite.trust_remote_code if spec.trust_remote_code is None else spec.trust_remote_code


def check_source(place: ModelLocation, spec: Variant) -> None:
    """Raises `EngineError` for weights no method starts from: quantized, or on a hub where a checkpoint is made."""
    assert spec.quantize is not None
    if place.is_hub:
        if spec.quantize.makes:
            raise EngineError(
                f"checkpoints are made from a local folder; download {place.path} first "
                f"(`hf download {place.path} --local-dir ./model`) and name the folder as model"
            )
        return
    refuse_requantization(Path(place.path), spec.quantize.method)


def calibration_texts(loaded: LoadedSuite, name: str) -> tuple[str, ...]:
    """The texts a variant is calibrated on; empty for none. Raises `SuiteError` for data that is wrong."""
    quantize = loaded.suite.variants[name].quantize
    if quantize is None or quantize.calibration is None:
        return ()
    return read_texts(loaded, quantize.calibration, f"{_key(name)}.calibration")


def calibration_tokenizer(loaded: LoadedSuite, name: str) -> Tokenizer:
    """The source's own, which cuts the texts into samples. Raises `EngineError`, or `SuiteError` for no such folder."""
    spec = loaded.suite.variants[name]
    source = resolve_model(loaded, spec.path or loaded.suite.model, _key(name))
    return HfTokenizer(source.path, revision=None, trust_remote_code=trusts(loaded.suite, spec))


def make_checkpoint(
    loaded: LoadedSuite, name: str, artifacts: Path, *, say: Callable[[str], None] = lambda text: None
) -> Artifact:
    """The checkpoint of a variant whose method makes one, made now when it is not there.

    Raises `SuiteError` for a folder or calibration data that is wrong, `UsageError` for `artifacts` among the source's
    weights, `EngineError` for all that keeps it from being made here.
    """
    suite, spec = loaded.suite, loaded.suite.variants[name]
    assert spec.quantize is not None
    key = _key(name)
    source = resolve_model(loaded, spec.path or suite.model, key)
    block, method = spec.quantize.block(), spec.quantize.row
    tool = method.tool(block)
    assert tool is not None
    try:
        check_source(source, spec)
    except EngineError as error:
        raise EngineError(f"{key}: {error}") from error
    root = _apart(artifacts, Path(source.path))
    if (why := method.not_here(block, gpu_count() > 0)) is not None:
        raise EngineError(f"{key}: {why}")
    runtime = making(method, block)
    versions = library_versions(tool.packages, runtime.interpreter)
    calibration = None
    if spec.quantize.calibrates:
        assert spec.quantize.calibration is not None  # the suite was checked
        tokenizer = calibration_tokenizer(loaded, name)
        calibration = draw(loaded, spec.quantize.calibration, tokenizer, f"{key}.calibration")
    order = Order(
        quantization=spec.quantize,
        source=Path(source.path),
        weights=weights_identity(source.path, is_hub=False, revision=None),
        calibration=calibration,
        interpreter=runtime.interpreter,
        variables=runtime.variables,
        made_with=versions,
        device=device_type(spec.device, library_versions(("torch",), runtime.interpreter).get("torch")),
        trust_remote_code=trusts(suite, spec),
    )
    return Artifacts(root).make(order, lambda text: say(f"{name}: {text}"))


def _apart(artifacts: Path, source: Path) -> Path:
    """The folder of made checkpoints. Raises `UsageError` where they would be among the weights they are made from."""
    root = artifacts.resolve()
    if root.is_relative_to(source.resolve()):
        raise UsageError(
            f"--artifacts {artifacts}: this is inside {source}, the folder of the model that is quantized, which stays "
            "as it is; name a folder outside it, with --artifacts or QUANTGATE_ARTIFACTS"
        )
    return root


def _key(name: str) -> str:
    return f"variants.{name}.quantize"
