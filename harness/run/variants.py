"""A variant of the suite into what a worker is told to load, and into its identity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.engines.seam import LoadSpec
from harness.plan.build import TaskPlan
from harness.plan.identity import evaluation_key, quantization_text, weights_identity
from harness.plan.tokens import HfTokenizer, Tokenizer
from harness.records.models import Identity
from harness.spec.load import LoadedSuite
from harness.spec.models import Variant
from harness.spec.places import ModelPlace, resolve_model
from harness.worker.versions import device_type, library_versions

ENGINE_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "transformers": ("torch", "transformers"),
    "scripted": ("numpy",),
}
METHOD_LIBRARIES: Mapping[str, tuple[str, ...]] = {"bitsandbytes": ("bitsandbytes",)}


@dataclass(frozen=True, kw_only=True)
class RunVariant:
    """A variant ready to run: its spec, what to load, and everything of its identity but the task."""

    name: str
    spec: Variant
    load: LoadSpec
    weights: str
    versions: Mapping[str, str]

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


def resolve_variant(loaded: LoadedSuite, name: str, *, offline: bool) -> RunVariant:
    """Find the variant's weights and say how to load them. Raises `SuiteError` for a folder that is not there."""
    suite, spec = loaded.suite, loaded.suite.variants[name]
    versions = library_versions(
        (*ENGINE_LIBRARIES[spec.engine], *(METHOD_LIBRARIES[spec.quantize.method] if spec.quantize else ()))
    )
    if spec.engine == "scripted":
        place = ModelPlace(path=spec.path or suite.model, is_hub=False)
    else:
        key = f"variants.{name}.path" if spec.path is not None else "model"
        place = resolve_model(loaded, spec.path or suite.model, key)
    revision = spec.revision or (suite.revision if spec.path is None else None)
    adapter = None
    if spec.adapter is not None:
        adapter = resolve_model(loaded, spec.adapter, f"variants.{name}.adapter")
    tokenizer = spec.tokenizer or (suite.tokenizer if spec.path is None else None)
    trust = suite.trust_remote_code if spec.trust_remote_code is None else spec.trust_remote_code
    load = LoadSpec(
        variant=name,
        engine=spec.engine,
        path=place.path,
        is_hub=place.is_hub,
        revision=revision,
        adapter=adapter.path if adapter is not None else None,
        tokenizer=resolve_model(loaded, tokenizer, "tokenizer").path if tokenizer is not None else None,
        dtype=spec.dtype,
        device=device_type(spec.device, versions.get("torch")),
        device_map=spec.device_map,
        max_memory=spec.max_memory,
        quantize=None if spec.quantize is None else spec.quantize.model_dump(exclude_none=True),
        trust_remote_code=trust,
        allow_pickle=suite.allow_pickle,
        offline=offline,
        seed=suite.seed,
        script=spec.script,
    )
    return RunVariant(name=name, spec=spec, load=load, weights=_weights(load, place, adapter), versions=versions)


def _weights(load: LoadSpec, place: ModelPlace, adapter: ModelPlace | None) -> str:
    """Identity of weights and adapter together."""
    if load.engine == "scripted":
        return f"script:{json.dumps(load.script, sort_keys=True)}"
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
