"""A variant of the suite into what a worker is told to load, and into its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.engines.seam import LoadSpec
from harness.errors import Problem, SuiteError
from harness.plan.build import TaskPlan
from harness.plan.identity import evaluation_key, quantization_text, weights_identity
from harness.records.models import Identity
from harness.spec.load import LoadedSuite
from harness.spec.models import Variant
from harness.spec.places import resolve_model
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
    tokenizer: str
    versions: Mapping[str, str]

    def identity(self, plan: TaskPlan, baseline: str | None) -> Identity:
        """Identity of this variant on one task; `baseline` is the key of the states a divergence needs."""
        return Identity(
            weights=self.weights,
            quantization=quantization_text(self.spec),
            tokenizer=self.tokenizer,
            requests=plan.hash,
            engine=self.load.engine,
            versions=dict(self.versions),
            dtype=self.load.dtype or "checkpoint",
            device_type=self.load.device.partition(":")[0],
            batching=plan.batching,
            baseline=baseline,
        )

    def key(self, plan: TaskPlan, baseline: str | None) -> str:
        return evaluation_key(self.identity(plan, baseline))
