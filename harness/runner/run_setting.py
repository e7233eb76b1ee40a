"""The setting shared by all variants of one run: which requests, which baseline, and where the answers are stored."""

from __future__ import annotations

from dataclasses import dataclass

from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import Host, Identity
from harness.records.store import Store
from harness.runner.base_model import NAME
from harness.runner.evaluation_keys import Keys
from harness.runner.progress import Reporter
from harness.runner.variants import RunVariant
from harness.suite.models import Suite


@dataclass(frozen=True, kw_only=True)
class RunSetting:
    """One run, its variants aside."""

    suite: Suite
    baseline: RunVariant
    plans: tuple[TaskPlan, ...]
    keys: Keys
    store: Store
    host: Host
    reporter: Reporter

    def states(self, variant: RunVariant) -> dict[str, str]:
        """Task to the baseline's evaluation, where a divergence is measured from it.

        Empty instead of a key for the model before fine-tuning and for engines that show no whole distribution.
        """
        if variant.spec.baseline:
            return {}
        if variant.name == NAME or not variant.spec.engine_row.full_distribution:
            return {plan.name: "" for plan in self.plans if plan.kind == "perplexity"}
        return {plan.name: self.keys.key(self.baseline, plan, None) for plan in self.plans if plan.divergence}

    def identity(self, variant: RunVariant, plan: TaskPlan) -> Identity:
        return self.keys.identity(variant, plan, self.states(variant).get(plan.name))

    def key(self, variant: RunVariant, plan: TaskPlan) -> str:
        return self.keys.key(variant, plan, self.states(variant).get(plan.name))

    def missing(self, variant: RunVariant) -> list[TaskPlan]:
        """The tasks on which the variant has no whole evaluation yet."""
        states = self.states(variant)
        keys = ((plan, self.keys.key(variant, plan, states.get(plan.name))) for plan in self.plans)
        return [plan for plan, key in keys if self.store.evaluation(key) is None]
