"""A variant of the suite into what a worker is told to load, and into its identity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engines.seam import LoadSpec, Scalar
from harness.errors import Problem, SuiteError
from harness.plan.build import TaskPlan
from harness.plan.identity import evaluation_key, file_identity, quantization_text, weights_identity
from harness.plan.tokens import HfTokenizer, Tokenizer
from harness.records.models import Identity
from harness.run.checkpoints import calibration_texts, make_checkpoint, trusts
from harness.run.reader import Source, revision_of
from harness.run.runtimes import Runtime, loading
from harness.spec.load import LoadedSuite
from harness.spec.models import Variant
from harness.spec.places import ModelPlace, resolve_file, resolve_model
from harness.worker.versions import device_type


@dataclass(frozen=True, kw_only=True)
class RunVariant:
    """A variant ready to run: its spec, what to load, and everything of its identity but the task."""

    name: str
    spec: Variant
    load: LoadSpec
    weights: str
    versions: Mapping[str, str]
    runtime: Runtime
    artifact: Mapping[str, object] | None = None
    """The card of the checkpoint that was made for it."""
    calibration: tuple[str, ...] = ()
    """The texts it was calibrated on."""

    def identity(self, plan: TaskPlan, tokenizer: str, baseline: str | None) -> Identity:
        """Identity on one task. `tokenizer`: the identity of the plan's; `baseline`: key of the states used."""
        return Identity(
            weights=self.weights,
            quantization=quantization_text(self.spec),
            tokenizer=tokenizer,
            requests=plan.hash,
            engine=self.load.engine,
            versions=dict(self.versions),
            dtype=self.load.dtype or "checkpoint",
            device_type=self.load.device.partition(":")[0],
            batching=plan.batching,
            baseline=baseline,
        )

    def key(self, plan: TaskPlan, tokenizer: str, baseline: str | None) -> str:
        return evaluation_key(self.identity(plan, tokenizer, baseline))


def resolve_variant(
    loaded: LoadedSuite,
    name: str,
    *,
    offline: bool,
    artifacts: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RunVariant:
    """Find the variant's weights and say how and where to load them; make its checkpoint where its method makes one.

    `artifacts`: folder of made checkpoints. Raises `SuiteError` for a folder that is not there, `EngineError` for an
    environment that is not built or a checkpoint that could not be made.
    """
    suite, spec = loaded.suite, loaded.suite.variants[name]
    engine = spec.runtime
    made = None
    if spec.quantize is not None and spec.quantize.makes:
        made = make_checkpoint(loaded, name, artifacts or Path("artifacts"), say=say)
        place = ModelPlace(path=str(made.model), is_hub=False)
    else:
        place = resolve_place(loaded, name, spec)
    revision = revision_of(suite, spec)
    adapter = resolve_model(loaded, spec.adapter, f"variants.{name}.adapter") if spec.adapter is not None else None
    runtime = loading(loaded, spec, Source(place=place, revision=revision, offline=offline))
    versions = runtime.versions
    in_load = spec.quantize is not None and made is None
    load = LoadSpec(
        variant=name,
        engine=engine,
        path=place.path,
        is_hub=place.is_hub,
        revision=revision,
        adapter=adapter.path if adapter is not None else None,
        tokenizer=_tokenizer(loaded, spec, made=made is not None),
        dtype=spec.dtype,
        device=device_type(spec.device, versions.get("torch")),
        device_map=spec.device_map,
        max_memory=spec.max_memory,
        gguf_file=spec.gguf_file,
        quantize=spec.quantize.block() if spec.quantize is not None and in_load else None,
        trust_remote_code=trusts(suite, spec),
        allow_pickle=suite.allow_pickle,
        offline=offline,
        seed=suite.seed,
        options=_options(spec),
        script=spec.script,
    )
    return RunVariant(
        name=name,
        spec=spec,
        load=load,
        weights=_weights(load, place, adapter),
        versions=versions,
        runtime=runtime,
        artifact=made.card if made is not None else None,
        calibration=calibration_texts(loaded, name) if made is not None else (),
    )


def _tokenizer(loaded: LoadedSuite, spec: Variant, *, made: bool) -> str | None:
    """Where the variant's own tokenizer is, when it is not beside its weights."""
    suite = loaded.suite
    asked = spec.tokenizer or (suite.tokenizer if spec.path is None and not made else None)
    if spec.runtime == "served" and asked is None:
        asked = suite.model  # servers that take text only are given the plan's tokens as text
    return resolve_model(loaded, asked, "tokenizer").path if asked is not None else None


def resolve_place(loaded: LoadedSuite, name: str, spec: Variant) -> ModelPlace:
    """Where the variant's weights are, as the suite names them."""
    asked = spec.path or loaded.suite.model
    if spec.runtime == "served":
        return ModelPlace(path=str(spec.url), is_hub=True)
    if spec.runtime == "scripted":
        return ModelPlace(path=asked, is_hub=False)
    key = f"variants.{name}.path" if spec.path is not None else "model"
    if spec.runtime == "llama.cpp" and spec.quantize is None:
        file = resolve_file(loaded, asked)
        if not file.is_file():
            message = f"no .gguf file at {asked} (looked at {file})"
            raise SuiteError((Problem(place=loaded.shown, key=key, message=message),))
        return ModelPlace(path=str(file), is_hub=False)
    return resolve_model(loaded, asked, key)


def _options(spec: Variant) -> Mapping[str, Scalar] | None:
    block = spec.endpoint if spec.runtime == "served" else spec.llama_cpp if spec.runtime == "llama.cpp" else None
    return block.model_dump(exclude_none=True) if block is not None else None


def _weights(load: LoadSpec, place: ModelPlace, adapter: ModelPlace | None) -> str:
    """Identity of weights and adapter together."""
    if load.engine == "scripted":
        return f"script:{json.dumps(load.script, sort_keys=True)}"
    if load.engine == "served":
        return f"served:{load.path}"
    if load.engine == "llama.cpp":
        return f"gguf:{file_identity(Path(load.path))}"
    own = weights_identity(place.path, is_hub=place.is_hub, revision=load.revision)
    if adapter is None:
        return own
    return f"{own}+{weights_identity(adapter.path, is_hub=adapter.is_hub, revision=None)}"


def suite_tokenizer(baseline: RunVariant) -> Tokenizer:
    """The tokenizer that plans for everybody: the baseline's. Raises `EngineError`."""
    if baseline.load.engine == "scripted":
        from harness.engines.scripted import ScriptedTokenizer

        return ScriptedTokenizer()
    return HfTokenizer(
        baseline.load.tokenizer or baseline.load.path,
        revision=baseline.load.revision,
        trust_remote_code=baseline.load.trust_remote_code,
    )


def context_length(baseline: RunVariant) -> int | None:
    """Tokens the model can see, from its configuration; None where it does not say."""
    if baseline.load.engine == "scripted":
        length = (baseline.load.script or {}).get("context_length")
        return length if isinstance(length, int) else None
    config: dict[str, object]
    if baseline.load.is_hub:
        import transformers

        found = transformers.AutoConfig.from_pretrained(
            baseline.load.path,
            revision=baseline.load.revision,
            trust_remote_code=baseline.load.trust_remote_code,
        )
        config = found.get_text_config().to_dict()
    else:
        path = Path(baseline.load.path) / "config.json"
        if not path.is_file():
            return None
        config = json.loads(path.read_text())
        text = config.get("text_config")
        config = text if isinstance(text, dict) else config
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "seq_length"):
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value
    return None
