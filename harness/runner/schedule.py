"""A whole run: plan, baseline first, each candidate in fresh processes, manifest last."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from harness.errors import EngineError, RunError, WorkerError
from harness.planning.identity import evaluation_key
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Tokenizer
from harness.quantization.overlap import overlap_with
from harness.records.evaluation_manifest import EngineFacts, EvaluationManifest, Host
from harness.records.run_manifest import EarlyStop, RunManifest, TaskRun, TokenDisagreement, VariantRun
from harness.records.store import Store
from harness.runner.abba_timing import Timer, speed_key
from harness.runner.base_model import NAME, resolve_base
from harness.runner.batch_limits import batch_notes
from harness.runner.early_stop import SequentialMonitor, stop_words, stoppers
from harness.runner.evaluate import evaluate, stored_facts
from harness.runner.evaluation_keys import EARLIER, Keys, is_of_earlier_version
from harness.runner.generation_settings import decoding_notes, rules_for
from harness.runner.host import this_host
from harness.runner.host_load import Usage
from harness.runner.missing_work import expected
from harness.runner.preload import Preload
from harness.runner.progress import Reporter
from harness.runner.repeated_baseline import SecondPasses, second_passes
from harness.runner.run_options import RunOptions
from harness.runner.served_probe import same_answers
from harness.runner.session import Session
from harness.runner.tokenizer_agreement import first_disagreement
from harness.runner.variants import RunVariant, context_length, resolve_variant, suite_tokenizer
from harness.runner.workers import Workers
from harness.suite.definition import task_definition
from harness.suite.load import LoadedSuite
from harness.suite.variant_model import Variant

STATE_BYTES_PER_TOKEN = 16_384
"""Generous size of a stored hidden state (8192 wide, 16 bits), for the free-space check."""
SPARE_BYTES = 512 * 2**20
"""Room for item records, the output head and logs."""


def new_run_id(now: datetime) -> str:
    """Sorts by time and does not repeat: `20261121-052814-3f9a`."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_suite(loaded: LoadedSuite, options: RunOptions, reporter: Reporter) -> RunManifest:
    """Run what is missing of a suite and store the run's manifest.

    Raises `SuiteError` for data that is wrong, `RunError` when the run could not be done (the results folder, the
    baseline), `RecordError` for damaged records. A candidate that fails is recorded in the manifest, not raised.
    """
    options.check(loaded.suite)
    if options.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    store = Store(Path(options.results))
    store.check_writable(SPARE_BYTES)
    with store.locked():
        return _Run(loaded, options, store, reporter).go()


@dataclass(kw_only=True)
class _Found:
    """What one variant has shown so far."""

    keys: dict[str, str] = field(default_factory=dict)
    """Task to its whole evaluation."""
    manifests: list[EvaluationManifest] = field(default_factory=list)
    facts: EngineFacts | None = None
    disagreement: TokenDisagreement | None = None
    stop: EarlyStop | None = None
    checked: bool = False
    """Whether its weights and tokens were looked at in this run."""

    def fit(self, spec: Variant) -> bool:
        return self.facts is not None and not _unfit(self.facts, spec) and self.disagreement is None


class _Run:
    """The state of one run while it is made."""

    def __init__(self, loaded: LoadedSuite, options: RunOptions, store: Store, reporter: Reporter) -> None:
        self.loaded, self.suite, self.options = loaded, loaded.suite, options
        self.store, self.reporter = store, reporter
        self.started, self.began, since = datetime.now(UTC), time.monotonic(), Usage.now()
        self.run_id = new_run_id(self.started)
        self.folder = store.run_folder(self.suite.suite, self.run_id)
        self.host: Host = this_host()
        self.baseline = self._within(
            resolve_variant(loaded, self.suite.baseline, offline=options.offline, fresh=options.fresh)
        )
        self.tokenizer: Tokenizer = suite_tokenizer(self.baseline)
        self.rules = rules_for(loaded, self.baseline.load, self.tokenizer)
        self.plans: tuple[TaskPlan, ...] = ()
        self.workers = Workers(self.folder / "logs", reporter.say, stuck_after=options.stuck_after, since=since)
        self.keys = Keys(store, self.tokenizer.identity, self.run_id, fresh=options.fresh)
        self.ahead = Preload((), self.workers.session, self._wanted)

    def go(self) -> RunManifest:
        self.plans = self._plan()
        if is_of_earlier_version(self.store, self.suite.suite):
            self.reporter.say(EARLIER)
        names = [name for name in self.suite.candidates if name in (self.options.variants or self.suite.candidates)]
        candidates = {name: self._resolve(name) for name in names}
        ready = [each for each in candidates.values() if isinstance(each, RunVariant)]
        self.ahead = Preload((self.baseline, *ready), self.workers.session, self._wanted)
        self.reporter.expect(
            expected(
                self.suite,
                self.baseline,
                ready,
                self.plans,
                self.keys,
                self.store,
                self.host,
                timed=not self.options.tasks,
            )
        )
        timer = Timer(self.baseline, self.workers.timing, self.suite.speed) if self.suite.speed else None
        try:
            runs = {self.baseline.name: self._baseline()}
            base = self._before()
            for name, candidate in candidates.items():
                runs[name] = self._candidate(name, candidate, timer)
        finally:
            self.ahead.close()
            if timer is not None:
                timer.close()
        return self._finish(runs, base)

    def _plan(self) -> tuple[TaskPlan, ...]:
        self.reporter.say(f"planning {self.suite.suite} with the tokenizer of {self.baseline.name}")
        plans = plan_suite(
            self.loaded,
            self.tokenizer,
            context_length=context_length(self.baseline),
            limit=self.options.limit,
            tasks=self.options.tasks or None,
            decoding=self.rules.decoding,
        )
        self.rules.insist(plans)
        tokens = sum(item.tokens for plan in plans for item in plan.items if plan.kind == "perplexity")
        self.store.check_writable(SPARE_BYTES + tokens * STATE_BYTES_PER_TOKEN)
        for plan in plans:
            self.store.save_plan(plan.hash, plan.items)
            for said in plan.said:
                self.reporter.say(f"{plan.name}: {said}")
            long = sum(1 for item in plan.items if item.too_long is not None)
            if long:
                self.reporter.say(
                    f"{plan.name}: {long} of {len(plan.items)} items do not fit the model's context and are left out"
                )
        return plans

    def _decoding_notes(self, variant: RunVariant) -> tuple[str, ...]:
        generates = any(plan.kind == "generate" for plan in self.plans)
        return decoding_notes(variant.load, self.rules.decoding) if generates else ()

    def _wanted(self, variant: RunVariant) -> bool:
        """Whether any evaluation of the variant is missing."""
        states = self._states(variant)
        keys = (self.keys.key(variant, plan, states.get(plan.name)) for plan in self.plans)
        return any(self.store.evaluation(key) is None for key in keys)

    # -- one variant

    def _baseline(self) -> VariantRun:
        try:
            return self._evaluate(self.baseline)
        except (EngineError, WorkerError) as error:
            self.store.check_writable(0)
            raise RunError(f"the baseline {self.baseline.name} could not be run: {error}") from error

    def _before(self) -> VariantRun | None:
        """The model before fine-tuning. That it cannot be had is recorded: only what is retained needs it."""
        if self.suite.base is None:
            return None
        try:
            variant = self._within(resolve_base(self.loaded, offline=self.options.offline, fresh=self.options.fresh))
            return self._evaluate(variant)
        except (EngineError, WorkerError) as error:
            self.store.check_writable(0)
            self.reporter.say(f"{NAME}: {error.says}\nwithout it, what is retained of the fine-tuning stays undecided")
            return VariantRun(variant=NAME, failure=error.says)

    def _within(self, variant: RunVariant) -> RunVariant:
        """The variant with the run's memory budget."""
        return replace(variant, load=replace(variant.load, memory_budget=self.options.memory_budget))

    def _resolve(self, name: str) -> RunVariant | EngineError:
        """The variant ready to run, its checkpoint made; or why it cannot be had here, so that the others still run."""
        try:
            return self._within(
                resolve_variant(
                    self.loaded,
                    name,
                    offline=self.options.offline,
                    fresh=self.options.fresh,
                    artifacts=Path(self.options.artifacts),
                    say=self.reporter.say,
                )
            )
        except EngineError as error:
            return error

    def _candidate(self, name: str, variant: RunVariant | EngineError, timer: Timer | None) -> VariantRun:
        """Evaluate and time one candidate. Its own failures are recorded, so that the others still run."""
        spec = self.suite.variants[name]
        run = VariantRun(variant=name, must_be_quantized=spec.must_be_quantized())
        try:
            if isinstance(variant, EngineError):
                raise variant
            variant = self._asked_who(variant)
            run = self._evaluate(variant)
            if run.stopped is not None:
                return run
            sound = run.token_disagreement is None and run.facts is not None and not _unfit(run.facts, spec)
            if run.facts is not None and run.facts.dequantised and timer is not None:
                self.reporter.say(f"{name} · speed: not timed, {run.facts.dequantised}")
                sound = False
            if sound and timer is not None and not self.options.tasks:
                run = run.model_copy(update={"speed": self._speed(variant, timer)})
        except (EngineError, WorkerError) as error:
            self.store.check_writable(0)  # a full disk is no fault of the candidate's
            self.reporter.say(f"{name}: {error}")
            run = run.model_copy(update={"failure": str(error)})
        return run

    def _asked_who(self, variant: RunVariant) -> RunVariant:
        """A served variant with what its server says of itself now. Where it answers otherwise than what is stored of
        it, nothing of that is used."""
        if variant.spec.engine_row.model != "address":
            return variant
        session = self.workers.session(variant)
        try:
            variant = replace(variant, server=session.facts().server_digest or "")
            for plan in self.plans:
                key = self.keys.key(variant, plan, self._states(variant).get(plan.name))
                stored = {record.item: record for chunk in self.store.chunks(key).load() for record in chunk}
                if not same_answers(session, plan, stored, self.run_id):
                    says = "the server answers otherwise than is stored of it, so that all is asked anew"
                    self.reporter.say(f"{variant.name} · {plan.name}: {says}")
                    self.keys.renew(variant)
                    break
        finally:
            session.close()
        return variant

    def _states(self, variant: RunVariant) -> dict[str, str]:
        """Task to the baseline's evaluation, where a divergence is measured from it.

        Empty instead of a key for the model before fine-tuning and for engines that show no whole distribution.
        """
        if variant.spec.baseline:
            return {}
        if variant.name == NAME or not variant.spec.engine_row.full_distribution:
            return {plan.name: "" for plan in self.plans if plan.kind == "perplexity"}
        return {plan.name: self.keys.key(self.baseline, plan, None) for plan in self.plans if plan.divergence}

    def _evaluate(self, variant: RunVariant) -> VariantRun:
        """Every missing evaluation of one variant; stops early when its weights or tokens make it INVALID."""
        log = self.workers.log(variant)
        session = self.ahead.session(variant)
        found = _Found()
        try:
            self._ask_tasks(variant, session, found)
            again = self._second_passes(session, found.keys)
        finally:
            session.close()
        first = found.manifests[0].identity if found.manifests else None
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
            log=str(log.relative_to(self.folder)) if log.exists() else None,
            must_be_quantized=variant.spec.must_be_quantized(),
            environment=variant.runtime.name,
            artifact=dict(variant.artifact) if variant.artifact is not None else None,
            calibration=tuple(overlap_with(plan, variant.calibration) for plan in self.plans if variant.calibration),
        )

    def _ask_tasks(self, variant: RunVariant, session: Session, found: _Found) -> None:
        """What is stored of each task, and what is not is asked, up to where the variant is unfit or stopped."""
        states, watches = self._states(variant), self._watches(variant)
        # The tasks that can stop it come first, so that it is asked as little as possible.
        for plan in sorted(self.plans, key=lambda plan: plan.name not in watches):
            identity, watch = self.keys.identity(variant, plan, states.get(plan.name)), watches.get(plan.name)
            key = evaluation_key(identity)
            manifest = self.store.evaluation(key) or (watch.recall(key) if watch is not None else None)
            if manifest is not None:
                self.reporter.say(f"{variant.name} · {plan.name}: {manifest.items} items, already there")
            elif self._may_ask(session, found):
                self.keys.begin(identity)
                manifest = evaluate(
                    session,
                    plan,
                    self.store,
                    self.host,
                    self.reporter,
                    identity,
                    keep_states=plan.divergence and variant.spec.baseline,
                    watch=watch,
                )
            else:
                return
            found.facts = found.facts or manifest.facts
            found.manifests.append(manifest)
            if manifest.host.fingerprint == self.host.fingerprint:
                session.remember(manifest.batch_tokens)
            if watch is not None and watch.stop is not None:
                found.stop = watch.stop
                self.reporter.say(f"{variant.name} · {plan.name}: {stop_words(watch.stop)}")
                return
            found.keys[plan.name] = key

    def _may_ask(self, session: Session, found: _Found) -> bool:
        """Whether the variant's numbers can mean anything, by its weights and tokens. Loads it the first time."""
        spec = session.variant.spec
        if not found.checked:
            found.facts, found.checked = self._load(session), True
            if not _unfit(found.facts, spec):
                found.disagreement = first_disagreement(session, self.plans)
            if found.fit(spec) and not self.workers.spins(session.variant):
                self.ahead.begin(after=session.variant)
        return found.fit(spec)

    def _load(self, session: Session) -> EngineFacts:
        """What was loaded. Scoring with threads that spin loses more to a load beside it than the load takes, so that
        where they will, the next variant loads beside this one, each on half of the cores, and both are waited for."""
        if self.workers.spins(session.variant) and not session.started:
            beside = self.ahead.begin(after=session.variant, beside=True)
            session.begin(beside=beside)
            self.ahead.settle()
        return stored_facts(session.facts())

    def _second_passes(self, session: Session, first: dict[str, str]) -> SecondPasses:
        """The baseline against itself, where the suite asks for it and the baseline was asked everything once."""
        noise = self.suite.noise_floor
        if noise is None or not session.variant.spec.baseline or len(first) < len(self.plans):
            return SecondPasses(keys={})
        return second_passes(
            session,
            self.plans,
            first,
            noise,
            self.suite.seed,
            self.keys,
            self.store,
            self.host,
            self.reporter,
        )

    def _watches(self, variant: RunVariant) -> dict[str, SequentialMonitor]:
        """Task to who looks whether the candidate can be stopped there; in the order of the tasks."""
        if not self.options.stop_early or self.options.report_only or variant.name not in self.suite.candidates:
            return {}
        gates = {plan.name: stoppers(self.suite, variant.name, plan) for plan in self.plans}
        order = sorted(self.plans, key=lambda plan: not gates[plan.name])
        return {
            plan.name: SequentialMonitor(
                plan, self.store, self._baseline_manifests, gates[plan.name], order[place + 1 :]
            )
            for place, plan in enumerate(order)
            if gates[plan.name]
        }

    @cached_property
    def _baseline_manifests(self) -> dict[str, EvaluationManifest]:
        """The baseline's evaluations by task; every one is complete before a candidate is asked."""
        keys = {plan.name: self.keys.key(self.baseline, plan, None) for plan in self.plans}
        found = {task: self.store.evaluation(key) for task, key in keys.items()}
        return {task: manifest for task, manifest in found.items() if manifest is not None}

    def _speed(self, variant: RunVariant, timer: Timer) -> str:
        """Key of the variant's speed record, measured now when there is none for this host."""
        assert self.suite.speed is not None
        plain = speed_key(self.baseline, variant, self.suite.speed, self.host)
        key = self.keys.timing(plain, self.baseline, variant)
        if self.store.speed(key) is not None:
            self.reporter.say(f"{variant.name} · speed: already there")
            return key
        self.ahead.settle()
        record = timer.measure(variant, self.host, self.reporter)
        self.store.save_speed(record.model_copy(update={"key": key}))
        self.keys.timed(plain, key)
        return key

    # -- the end

    def _finish(self, runs: dict[str, VariantRun], base: VariantRun | None) -> RunManifest:
        accepted = self.store.accepted(self.suite.suite)
        reference = accepted[-1] if accepted else None
        manifest = RunManifest(
            run=self.run_id,
            suite=self.suite.suite,
            suite_file=str(self.loaded.path),
            suite_hash=self.loaded.hash,
            suite_text=self.loaded.text,
            baseline=self.baseline.name,
            variants=runs,
            base=base,
            tasks={plan.name: self._task_run(plan) for plan in self.plans},
            host=self.host,
            quantgate=version("quantgate"),
            started_at=self.started.isoformat(timespec="seconds"),
            elapsed_s=time.monotonic() - self.began,
            partial=self.options.partial,
            limit=self.options.limit,
            label=self.options.label.strip(),
            reference=reference.run if reference else None,
            reference_variant=reference.variant if reference else None,
        )
        self.store.save_run(manifest)
        return manifest

    def _task_run(self, plan: TaskPlan) -> TaskRun:
        return TaskRun(
            task=plan.name,
            plan=plan.hash,
            kind=plan.kind,
            items=len(plan.items),
            tokens=sum(item.tokens for item in plan.items),
            too_long=sum(1 for item in plan.items if item.too_long is not None),
            metrics=plan.metrics,
            lower_is_better=plan.lower_is_better,
            source=plan.source,
            definition=task_definition(self.suite, plan.name),
            data_file=plan.data_file,
            data_hash=plan.data_hash,
            notes=plan.notes,
            leak=plan.leak,
        )


def _with(facts: EngineFacts | None, notes: tuple[str, ...]) -> EngineFacts | None:
    return facts if facts is None or not notes else facts.model_copy(update={"notes": (*facts.notes, *notes)})


def _unfit(facts: EngineFacts, spec: Variant) -> bool:
    """Weights that make every number about this variant meaningless; there is no point in asking it."""
    if spec.baseline:
        return bool(facts.non_finite)
    return bool(facts.non_finite) or (spec.must_be_quantized() and facts.quantized_modules == 0)
