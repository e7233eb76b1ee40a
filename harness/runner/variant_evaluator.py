"""All evaluations of one variant: its tasks, stored or computed now, up to where it is unfit or stopped early; and the
baseline's second pass. Times nothing, and leaves errors to the caller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from harness.planning.identity import evaluation_key
from harness.quantization.overlap import overlap_with
from harness.records.evaluation_manifest import EngineFacts, EvaluationManifest
from harness.records.run_manifest import EarlyStop, TokenDisagreement, VariantRun
from harness.runner.batch_limits import batch_notes
from harness.runner.early_stop import SequentialMonitor, stop_words, stoppers
from harness.runner.evaluate import evaluate, stored_facts
from harness.runner.preload import Preload
from harness.runner.repeated_baseline import SecondPasses, second_passes
from harness.runner.run_setting import RunSetting
from harness.runner.session import Session
from harness.runner.tokenizer_agreement import first_disagreement
from harness.runner.variants import RunVariant
from harness.runner.workers import Workers
from harness.suite.variant_model import Variant


@dataclass(kw_only=True)
class _Found:
    """One variant's state so far."""

    keys: dict[str, str] = field(default_factory=dict)
    """Task to its whole evaluation."""
    manifests: list[EvaluationManifest] = field(default_factory=list)
    facts: EngineFacts | None = None
    disagreement: TokenDisagreement | None = None
    stop: EarlyStop | None = None
    checked: bool = False
    """Whether its weights and tokens were looked at in this run."""

    def fit(self, spec: Variant) -> bool:
        return self.facts is not None and not unfit(self.facts, spec) and self.disagreement is None


class VariantEvaluator:
    """Evaluates one variant after another.

    `decoding_notes`: differences in a variant's own settings; `stop_early`: whether candidates may be stopped.
    """

    def __init__(
        self,
        run: RunSetting,
        workers: Workers,
        preload: Preload,
        *,
        decoding_notes: Callable[[RunVariant], tuple[str, ...]],
        stop_early: bool,
    ) -> None:
        self._run, self._workers, self._preload = run, workers, preload
        self._decoding_notes, self._stop_early = decoding_notes, stop_early

    def evaluate(self, variant: RunVariant) -> VariantRun:
        """Every missing evaluation of one variant; stops early when its weights or tokens make it INVALID."""
        session = self._preload.session(variant)
        found = _Found()
        try:
            self._ask_tasks(variant, session, found)
            again = self._second_passes(session, found.keys)
        finally:
            session.close()
        first = found.manifests[0].identity if found.manifests else None
        plans = self._run.plans if variant.calibration else ()
        return VariantRun(
            variant=variant.name,
            weights=first.weights if first is not None else None,
            quantization=first.quantization if first is not None else None,
            evaluations=found.keys,
            second_pass=dict(again.keys),
            second_pass_failure=again.failure,
            stopped=found.stop,
            facts=_with(found.facts, (*batch_notes(found.manifests), *self._decoding_notes(variant))),
            token_disagreement=found.disagreement,
            log=self._workers.log_name(variant),
            must_be_quantized=variant.spec.must_be_quantized(),
            environment=variant.runtime.name,
            artifact=dict(variant.artifact) if variant.artifact is not None else None,
            calibration=tuple(overlap_with(plan, variant.calibration) for plan in plans),
        )

    def settle(self) -> None:
        """Wait until nothing preloads: loading disturbs timings."""
        self._preload.settle()

    def _ask_tasks(self, variant: RunVariant, session: Session, found: _Found) -> None:
        """Uses the stored evaluation of each task or computes it, up to where the variant is unfit or stopped."""
        watches = self._watches(variant)
        # The tasks that can stop it come first, so that it is asked as little as possible.
        for plan in sorted(self._run.plans, key=lambda plan: plan.name not in watches):
            identity, watch = self._run.identity(variant, plan), watches.get(plan.name)
            key = evaluation_key(identity)
            manifest = self._run.store.evaluation(key) or (watch.recall(key) if watch is not None else None)
            if manifest is not None:
                self._run.reporter.say(f"{variant.name} · {plan.name}: {manifest.items} items, already there")
            elif self._may_ask(session, found):
                if again := self._run.keys.why_again(identity):
                    self._run.reporter.say(f"{variant.name} · {plan.name}: {again}")
                self._run.keys.begin(identity)
                manifest = evaluate(
                    self._run,
                    session,
                    plan,
                    identity,
                    keep_states=plan.divergence and variant.spec.baseline,
                    watch=watch,
                )
            else:
                return
            found.facts = found.facts or manifest.facts
            found.manifests.append(manifest)
            if manifest.host.fingerprint == self._run.host.fingerprint:
                session.remember(manifest.batch_tokens)
            if watch is not None and watch.stop is not None:
                found.stop = watch.stop
                self._run.reporter.say(f"{variant.name} · {plan.name}: {stop_words(watch.stop)}")
                return
            found.keys[plan.name] = key

    def _may_ask(self, session: Session, found: _Found) -> bool:
        """Whether the variant's numbers are meaningful, by its weights and tokens. Loads it the first time."""
        spec, spins = session.variant.spec, self._workers.spins(session.variant)
        if not found.checked:
            found.facts, found.checked = stored_facts(self._preload.facts(session, spins=spins)), True
            if not unfit(found.facts, spec):
                found.disagreement = first_disagreement(session, self._run.plans)
            if found.fit(spec) and not spins:
                self._preload.begin(after=session.variant)
        return found.fit(spec)

    def _second_passes(self, session: Session, first: dict[str, str]) -> SecondPasses:
        """The baseline against itself, where the suite enables it and the first pass is complete."""
        noise = self._run.suite.noise_floor
        if noise is None or not session.variant.spec.baseline or len(first) < len(self._run.plans):
            return SecondPasses(keys={})
        return second_passes(self._run, session, first, noise)

    def _watches(self, variant: RunVariant) -> dict[str, SequentialMonitor]:
        """Task to the monitor that may stop the candidate there; in the order of the tasks."""
        if not self._stop_early or variant.name not in self._run.suite.candidates:
            return {}
        gates = {plan.name: stoppers(self._run.suite, variant.name, plan) for plan in self._run.plans}
        order = sorted(self._run.plans, key=lambda plan: not gates[plan.name])
        return {
            plan.name: SequentialMonitor(
                plan, self._run.store, self._baseline_manifests, gates[plan.name], order[place + 1 :]
            )
            for place, plan in enumerate(order)
            if gates[plan.name]
        }

    @cached_property
    def _baseline_manifests(self) -> dict[str, EvaluationManifest]:
        """The baseline's evaluations by task; every one is complete before a candidate starts."""
        keys = {plan.name: self._run.key(self._run.baseline, plan) for plan in self._run.plans}
        found = {task: self._run.store.evaluation(key) for task, key in keys.items()}
        return {task: manifest for task, manifest in found.items() if manifest is not None}


def _with(facts: EngineFacts | None, notes: tuple[str, ...]) -> EngineFacts | None:
    return facts if facts is None or not notes else facts.model_copy(update={"notes": (*facts.notes, *notes)})


def unfit(facts: EngineFacts, spec: Variant) -> bool:
    """Weights that make every number of this variant meaningless; running it is pointless."""
    if spec.baseline:
        return bool(facts.non_finite)
    return bool(facts.non_finite) or (spec.must_be_quantized() and facts.quantized_modules == 0)
