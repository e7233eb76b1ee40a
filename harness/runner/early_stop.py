"""Early FAIL while a variant runs: which gates may stop it, the check at the end of each block, and what that saved.

The baseline is complete by then. A stop leaves the evaluation unfinished in the store, so that a later run without
it, or with a wider limit, goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from harness.comparison.sequential_test import asked_so_far, can_stop, chances, largest_cluster
from harness.forms.sequential import wealth_against
from harness.planning.task_plan import TaskPlan
from harness.records.columns import PlanColumns
from harness.records.evaluation_manifest import EvaluationManifest
from harness.records.run_manifest import EarlyStop
from harness.records.store import Store
from harness.samples.pairs import PairingError, Side, align
from harness.suite.gate_model import Gate
from harness.suite.models import Suite
from harness.suite.waivers import active_waiver


@dataclass(frozen=True, kw_only=True)
class Stopper:
    """A gate that may stop a variant; `alpha` is its share of the error."""

    name: str
    gate: Gate
    alpha: float


def stoppers(suite: Suite, variant: str, plan: TaskPlan) -> tuple[Stopper, ...]:
    """The blocking gates on this task whose limit can be shown to be broken before the task is complete. Not one that
    is waived today: its FAIL would not block."""
    today = datetime.now(UTC).date()
    together = max(1, chances(suite.gates, variant))
    return tuple(
        Stopper(
            name=f"gates[{index}]",
            gate=gate,
            alpha=(gate.alpha if gate.alpha is not None else suite.alpha) / together,
        )
        for index, gate in enumerate(suite.gates)
        if gate.task == plan.name
        and gate.severity == "block"
        and gate.against == "baseline"
        and not active_waiver(suite, index, variant, today)
        and (not gate.variants or variant in gate.variants)
        and plan.kind != "perplexity"
        and gate.metric in plan.metrics
        and can_stop(gate)
    )


class SequentialMonitor:
    """Looks at one candidate on one task at the end of each block, until it finds a limit broken.

    `baseline`: task to the baseline's evaluation, complete; `left`: the tasks that a stop leaves out.
    """

    def __init__(
        self,
        plan: TaskPlan,
        store: Store,
        baseline: Mapping[str, EvaluationManifest],
        gates: Sequence[Stopper],
        left: Sequence[TaskPlan],
    ) -> None:
        self._plan, self._store, self._manifests, self._gates, self._left = plan, store, baseline, gates, left
        self.stop: EarlyStop | None = None
        """What it found."""

    @cached_property
    def _columns(self) -> PlanColumns:
        return self._store.plan_columns(self._plan.hash)

    @cached_property
    def _baseline(self) -> Side:
        key = self._manifests[self._plan.name].key
        return align(self._columns, self._store.columns(key, self._plan.metrics))

    def look(self, key: str, chunks: int, asked_s: float | None = None) -> bool:
        """Whether the first `chunks` chunks of the evaluation show that a limit is broken, now or at an earlier look.

        Not inside a block, where nothing may be looked at, and not at the end of the task, where the whole is judged.
        `asked_s`: what asking these chunks took; None where it was not measured.
        """
        if self.stop is None and chunks in self._plan.order.ends[:-1]:
            self.stop = self._broken(key, chunks)
            if self.stop is not None:
                self.stop = self.stop.model_copy(update={"saved_s": self._saved_s(self.stop, asked_s)})
        return self.stop is not None

    def _broken(self, key: str, chunks: int) -> EarlyStop | None:
        columns, digest = self._store.part(key, self._plan.metrics, first=chunks)
        candidate = align(self._columns, columns, stopped=True)
        for each in self._gates:
            try:
                metric = asked_so_far(
                    self._plan.name,
                    each.gate.metric,
                    self._columns,
                    self._baseline,
                    candidate,
                    higher_is_better=each.gate.metric not in self._plan.lower_is_better,
                )
            except PairingError:  # which the verdict names
                return None
            wealth = wealth_against(
                metric, limit=each.gate.limit, alpha=each.alpha, largest=largest_cluster(self._columns)
            )
            if wealth is not None and wealth >= 1 / each.alpha:
                return EarlyStop(
                    task=self._plan.name,
                    metric=each.gate.metric,
                    gate=each.name,
                    limit=each.gate.limit,
                    alpha=each.alpha,
                    evaluation=key,
                    chunks=chunks,
                    digest=digest,
                    items=len(columns.items),
                    planned=len(self._plan.items),
                    drop=float(metric.drops.mean()),
                    wealth=wealth,
                )
        return None

    def _saved_s(self, stop: EarlyStop, asked_s: float | None) -> float | None:
        """About how long the rest would have taken, by the baseline's times and the variant's pace beside it (equal,
        where its own time was not measured). None where the baseline's time is not known."""
        whole_s = self._manifests[self._plan.name].elapsed_s
        if whole_s <= 0:
            return None
        done = work_of(self._plan, self._plan.chunks[: stop.chunks]) / work_of(self._plan, self._plan.chunks)
        pace = 1.0 if asked_s is None else asked_s / (whole_s * done)
        others_s = sum(self._manifests[plan.name].elapsed_s for plan in self._left)
        return pace * (whole_s * (1 - done) + others_s)

    def recall(self, key: str) -> EvaluationManifest | None:
        """What a run before has stored of an evaluation that it stopped, if that is a stop for these gates too: then no
        worker is needed to find it again."""
        known = self._store.stopped(key)
        if known is None or not any(self.look(key, end) for end in self._plan.order.ends if end <= known.chunks):
            return None
        return known


def stop_words(stop: EarlyStop) -> str:
    """For the run's log; the verdict has its own sentence."""
    saved = "" if stop.saved_s is None else f", about {stop.saved_s:.0f} s of asking saved"
    return (
        f"stopped after {stop.items} of {stop.planned} items, {stop.metric} fell by {100 * stop.drop:.1f} points where "
        f"{stop.gate} allows {100 * stop.limit:.3g}{saved}"
    )


def work_of(plan: TaskPlan, chunks: Iterable[Sequence[int]]) -> float:
    """What lies in some chunks of a plan, in tokens; one token stands for what an item costs beside its own."""
    return float(sum(1 + plan.length(index) for chunk in chunks for index in chunk))
