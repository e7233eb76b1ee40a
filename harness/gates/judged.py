"""A finding whose reason is still in its parts, so that whatever decides later adds to it and edits no sentence."""

from __future__ import annotations

from dataclasses import dataclass

from harness.forms.base import Judgement, Reason
from harness.gates.noise_limits import NoiseLimit
from harness.metrics.table import lookup
from harness.records.findings import CLEAN, Finding
from harness.suite.gate_model import Gate


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A gate with its index in the suite and its alpha."""

    position: int
    gate: Gate
    alpha: float
    noise: NoiseLimit | None = None
    """The limit that the run measured, where the gate has such a one."""
    chances: int = 1
    """Number of gates that could stop the variant: the early test of each gets its share of alpha."""

    @property
    def limit(self) -> float:
        """What the value is held against."""
        return self.gate.limit if self.noise is None else self.noise.limit


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a gate says of one sample. `finding` has no reason yet."""

    finding: Finding
    reason: Reason

    def written(self) -> Finding:
        """The finding with its reason in words."""
        words = f"{CLEAN if self.finding.items == 'clean' else ''}{self.reason}"
        return self.finding.model_copy(update={"reason": words})


def judged(
    rule: Rule,
    judgement: Judgement,
    *,
    variant: str,
    against: str,
    slice_name: str | None = None,
    workload: str | None = None,
) -> Judged:
    """A judgement as the finding of a gate. `against`: name of what the value is measured from, empty for a level."""
    gate, estimate = rule.gate, judgement.estimate
    metric = lookup(gate.metric)
    detail = slice_name or (workload if workload is not None and gate.workload is None else None)
    name = f"gates[{rule.position}]"
    finding = Finding(
        gate=f"{name} {detail}" if detail else name,
        name=gate.name,
        variant=variant,
        task=gate.scope,
        tasks=gate.weights,
        metric=gate.metric,
        slice=slice_name,
        workload=workload,
        form=gate.form,
        limit=rule.limit,
        value=estimate.value if estimate else None,
        lower=estimate.lower if estimate else None,
        upper=estimate.upper if estimate else None,
        alpha=rule.alpha,
        p=estimate.p if estimate else None,
        n=estimate.n if estimate else None,
        unit=metric.unit if metric is not None else "",
        decision=judgement.decision,
        severity=gate.severity,
        against=against,
        reason="",
        more_items=judgement.more_items,
        code=judgement.code,
        early_alpha=estimate.early_alpha if estimate else None,
    )
    return Judged(finding=finding, reason=judgement.reason)
