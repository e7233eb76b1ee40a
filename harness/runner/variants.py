"""Resolves a variant of the suite to what a worker loads, and to its identity."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from harness.checkpoints.contents import Content, content_of
from harness.checkpoints.opened_files import is_commit
from harness.checkpoints.resolve import Checkpoint, Reference, length_in, resolve
from harness.engines.load_reference import reference_of
from harness.engines.protocol import LoadSpec, Scalar
from harness.errors import EngineError, Problem, SuiteError
from harness.masking import without_secrets
from harness.planning.identity import quantization_text
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer, Tokenizer
from harness.records.evaluation_manifest import Identity
from harness.runner.interpreters import Runtime, loading
from harness.runner.loader_libraries import Source, hub_config, revision_of
from harness.runner.made_checkpoints import calibration_texts, make_checkpoint, trusts
from harness.suite.load import LoadedSuite
from harness.suite.locations import ModelLocation, resolve_file, resolve_model
from harness.suite.variant_model import Variant
from harness.worker.versions import device_type


@dataclass(frozen=True, kw_only=True)
class RunVariant:
    """A variant ready to run: its spec, what to load, and everything of its identity but the task."""

    name: str
    spec: Variant
    load: LoadSpec
    versions: Mapping[str, str]
    runtime: Runtime
    checkpoint: Checkpoint | None = None
    """Where its files are; None for an engine that opens none."""
    content: Content | None = None
    """What is in them."""
    server: str = ""
    """Hash of what a served model's server says of itself; empty until it was asked."""
    artifact: Mapping[str, object] | None = None
    """The card of the checkpoint that was made for it."""
    calibration: tuple[str, ...] = ()
    """The texts it was calibrated on."""

    @property
    def weights(self) -> str:
        """Identity of weights and adapters together, and whether code of the model's own reads them."""
        if self.content is not None:
            return f"{self.content.weights}+own code" if self._own_code else self.content.weights
        if self.spec.engine_row.model == "script":
            return f"script:{json.dumps(self.load.script, sort_keys=True)}"
        return f"{self.load.engine}:{without_secrets(self.load.path)}"

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
            own_tokenizer=self.content.tokenizer if self.content is not None else "",
            generation=self.content.generation if self.content is not None else "",
            server=self.server,
        )

    @property
    def is_known(self) -> bool:
        """Whether everything that decides its answers is known before it is loaded."""
        of_others = any("--" in each for each in self._own_code)  # in another repository, at no commit that is known
        return self.content is None or (self.content.is_complete and not of_others)

    @property
    def _own_code(self) -> tuple[str, ...]:
        """Classes next to its weights, where they may run: without them, the same files are another model."""
        return self.checkpoint.code if self.checkpoint is not None and self.load.trust_remote_code else ()


def resolve_variant(
    loaded: LoadedSuite,
    name: str,
    *,
    offline: bool,
    fresh: bool = False,
    artifacts: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> RunVariant:
    """Find the variant's weights and say how and where to load them; make its checkpoint where its method makes one.

    `artifacts`: folder of made checkpoints; `fresh`: files are hashed again, whatever is remembered of them. Raises
    `SuiteError` for a folder that is not there, `EngineError` for an environment that is not built, a checkpoint that
    could not be made, and files that do not say what belongs together.
    """
    spec = loaded.suite.variants[name]
    made = None
    if spec.quantize is not None and spec.quantize.makes:
        made = make_checkpoint(loaded, name, artifacts or Path("artifacts"), say=say)
        place = ModelLocation(path=str(made.model), is_hub=False)
    else:
        place = locate_model(loaded, name, spec)
    revision = revision_of(loaded.suite, spec)
    runtime = loading(loaded, spec, Source(place=place, revision=revision, offline=offline))
    load = _load_spec(loaded, name, place, runtime.versions, made=made is not None, offline=offline)
    checkpoint = _found(load) if spec.engine_row.opens_files else None
    if checkpoint is not None and checkpoint.base.is_hub and checkpoint.base.path == load.path:
        load = replace(load, revision=checkpoint.base.revision)  # the commit: a branch may move before it is loaded
    content = content_of(checkpoint, fresh=fresh) if checkpoint is not None else None
    return RunVariant(
        name=name,
        spec=spec,
        load=load,
        checkpoint=checkpoint,
        content=content,
        versions=runtime.versions,
        runtime=runtime,
        artifact=made.card if made is not None else None,
        calibration=calibration_texts(loaded, name) if made is not None else (),
    )


def _load_spec(
    loaded: LoadedSuite, name: str, place: ModelLocation, versions: Mapping[str, str], *, made: bool, offline: bool
) -> LoadSpec:
    """What a worker loads. `made`: the place is a checkpoint that was quantized when it was made."""
    suite, spec = loaded.suite, loaded.suite.variants[name]
    adapter = resolve_model(loaded, spec.adapter, f"variants.{name}.adapter") if spec.adapter is not None else None
    return LoadSpec(
        variant=name,
        engine=spec.engine_row.name,
        path=place.path,
        is_hub=place.is_hub,
        revision=revision_of(suite, spec),
        adapter=adapter.path if adapter is not None else None,
        tokenizer=_tokenizer(loaded, spec, made=made),
        dtype=spec.dtype,
        device=device_type(spec.device, versions.get("torch")),
        device_map=spec.device_map,
        max_memory=spec.max_memory,
        gguf_file=spec.gguf_file,
        quantize=spec.quantize.block() if spec.quantize is not None and not made else None,
        trust_remote_code=trusts(suite, spec),
        allow_pickle=suite.allow_pickle,
        offline=offline,
        seed=suite.seed,
        options=_options(spec),
        script=spec.script,
    )


def _found(load: LoadSpec) -> Checkpoint:
    """Where the files are. A hub is queried for commits that are not cached, if allowed."""
    found = resolve(reference_of(load))
    unknown = [each for each in found.places if each.is_hub and not is_commit(each.revision)]
    if load.offline or not unknown:
        return found
    for each in unknown:
        with suppress(EngineError):  # loading says it better
            hub_config(Source(place=ModelLocation(path=each.path, is_hub=True), revision=each.revision))
    return resolve(reference_of(load))


def _tokenizer(loaded: LoadedSuite, spec: Variant, *, made: bool) -> str | None:
    """Where the variant's own tokenizer is, when it is not beside its weights."""
    suite = loaded.suite
    asked = spec.tokenizer or (suite.tokenizer if spec.path is None and not made else None)
    served = spec.engine_row.model == "address"
    if served and asked is None:
        asked = suite.model  # servers that take text only are given the plan's tokens as text
    if asked is None:
        return None
    place = resolve_model(loaded, asked, "tokenizer")
    if not served:
        return place.path
    revision = suite.revision if asked == suite.model else None
    found = resolve(Reference(path=place.path, is_hub=place.is_hub, revision=revision)).tokenizer
    return str(found.folder or found.path)  # it is read as a file here, also where it is an adapter's base's


def locate_model(loaded: LoadedSuite, name: str, spec: Variant) -> ModelLocation:
    """Where the variant's weights are, as the suite names them."""
    asked = spec.path or loaded.suite.model
    kind = spec.engine_row.model
    if kind == "address":
        return ModelLocation(path=str(spec.url), is_hub=True)
    if kind == "script":
        return ModelLocation(path=asked, is_hub=False)
    key = f"variants.{name}.path" if spec.path is not None else "model"
    if kind == "gguf" and spec.quantize is None:
        file = resolve_file(loaded, asked)
        if not file.is_file():
            message = f"no .gguf file at {asked} (looked at {file})"
            raise SuiteError((Problem(place=loaded.shown, key=key, message=message),))
        return ModelLocation(path=str(file), is_hub=False)
    return resolve_model(loaded, asked, key)


def _options(spec: Variant) -> Mapping[str, Scalar] | None:
    key = spec.engine_row.settings
    block = getattr(spec, key) if key is not None else None
    return block.model_dump(exclude_none=True) if block is not None else None


def suite_tokenizer(baseline: RunVariant) -> Tokenizer:
    """The tokenizer that plans for all variants: the baseline's. Raises `EngineError`."""
    if baseline.checkpoint is None:  # a served model is no baseline, so it is the engine's own
        own: Tokenizer = import_module(baseline.spec.engine_row.module).tokenizer()
        return own
    place = baseline.checkpoint.tokenizer
    return HfTokenizer(
        place.path,
        revision=place.revision,
        trust_remote_code=baseline.load.trust_remote_code,
        gguf_file=baseline.load.gguf_file if baseline.checkpoint.gguf_tokenizer else None,
    )


def context_length(baseline: RunVariant) -> int | None:
    """Tokens the model can see, from its configuration; None where it does not say."""
    found = baseline.checkpoint
    if found is None:
        length = (baseline.load.script or {}).get("context_length")
        return length if isinstance(length, int) else None
    if found.config is not None or found.gguf is not None or not found.base.is_hub:
        return found.context_length
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        found.base.path, revision=found.base.revision, trust_remote_code=baseline.load.trust_remote_code
    )
    return length_in(config.get_text_config().to_dict())
