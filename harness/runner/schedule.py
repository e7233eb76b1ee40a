"""A whole run: plan, baseline first, each candidate in fresh processes, manifest last."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from harness.errors import EngineError, RunError, WorkerError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Tokenizer
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.runs import new_run_id
from harness.records.store import Store
from harness.runner.abba_timing import Timer, speed_key
from harness.runner.base_model import NAME, resolve_base
from harness.runner.evaluation_keys import EARLIER, Keys, fields_asked, is_of_earlier_version
from harness.runner.generation_settings import decoding_notes, rules_for
from harness.runner.host import Usage, is_idle, this_host
from harness.runner.missing_work import missing_work
from harness.runner.preload import Preload
from harness.runner.progress import Reporter
from harness.runner.run_options import RunOptions
from harness.runner.run_setting import RunSetting
from harness.runner.served_probe import same_answers
from harness.runner.variant_evaluator import VariantEvaluator, unfit
from harness.runner.variants import RunVariant, context_length, resolve_variant, suite_tokenizer
from harness.runner.workers import Workers
from harness.suite.describe import task_definition
from harness.suite.load import LoadedSuite
from harness.suite.models import Suite

STATE_BYTES_PER_TOKEN = 16_384
"""Generous size of a stored hidden state (8192 wide, 16 bits), for the free-space check."""
SPARE_BYTES = 512 * 2**20
"""Room for item records, the output head and logs."""


def run_suite(loaded: LoadedSuite, options: RunOptions, reporter: Reporter) -> RunManifest:
    """Run what is missing of a suite and store the run's manifest.

    Raises `SuiteError` for data that is wrong, `RunError` when the run fails (the results folder, the baseline),
    `RecordError` for damaged records. A candidate that fails is recorded in the manifest, not raised.
    """
    options.check(loaded.suite)
    if options.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    store = Store(Path(options.results))
    store.check_writable(SPARE_BYTES)
    with store.locked():
        return _Run(loaded, options, store, reporter).go()


class _Run:
    """The state of one run while it is made."""

    def __init__(self, loaded: LoadedSuite, options: RunOptions, store: Store, reporter: Reporter) -> None:
        self.loaded, self.options, self.reporter = loaded, options, reporter
        self.started, self.began, since = datetime.now(UTC), time.monotonic(), Usage.now()
        self.run_id = new_run_id(self.started)
        baseline = self._within(
            resolve_variant(loaded, loaded.suite.baseline, offline=options.offline, fresh=options.fresh)
        )
        tokenizer = suite_tokenizer(baseline)
        self.rules = rules_for(loaded, baseline.load, tokenizer)
        self.setting = RunSetting(
            suite=loaded.suite,
            baseline=baseline,
            plans=self._plan(baseline, tokenizer, store),
            keys=Keys(
                store, tokenizer.identity, self.run_id, fresh=options.fresh, asked=fields_asked(loaded.suite.gates)
            ),
            store=store,
            host=this_host(),
            reporter=reporter,
        )
        logs = store.run_folder(loaded.suite.suite, self.run_id) / "logs"
        self.workers = Workers(
            logs,
            reporter.say,
            stuck_after=options.stuck_after,
            is_idle=lambda: is_idle(since, Usage.later(since)),
        )

    def go(self) -> RunManifest:
        setting, suite = self.setting, self.setting.suite
        if is_of_earlier_version(setting.store, suite.suite):
            self.reporter.say(EARLIER)
        names = [name for name in suite.candidates if name in (self.options.variants or suite.candidates)]
        candidates = {name: self._resolve(name) for name in names}
        ready = [each for each in candidates.values() if isinstance(each, RunVariant)]
        self.reporter.expect(missing_work(setting, ready, timed=not self.options.tasks))
        preload = Preload((setting.baseline, *ready), self.workers.session, lambda each: bool(setting.missing(each)))
        evaluator = VariantEvaluator(
            setting,
            self.workers,
            preload,
            decoding_notes=self._decoding_notes,
            stop_early=self.options.stop_early and not self.options.report_only,
        )
        timer = Timer(setting.baseline, self.workers.timing, suite.speed) if suite.speed else None
        try:
            runs = {setting.baseline.name: self._baseline(evaluator)}
            base = self._base(evaluator)
            for name, candidate in candidates.items():
                runs[name] = self._candidate(name, candidate, evaluator, timer)
        finally:
            preload.close()
            if timer is not None:
                timer.close()
        return self._finish(runs, base)

    def _plan(self, baseline: RunVariant, tokenizer: Tokenizer, store: Store) -> tuple[TaskPlan, ...]:
        self.reporter.say(f"planning {self.loaded.suite.suite} with the tokenizer of {baseline.name}")
        plans = plan_suite(
            self.loaded,
            tokenizer,
            context_length=context_length(baseline),
            limit=self.options.limit,
            tasks=self.options.tasks or None,
            decoding=self.rules.decoding,
        )
        self.rules.insist(plans)
        tokens = sum(item.tokens for plan in plans for item in plan.items if plan.kind == "perplexity")
        store.check_writable(SPARE_BYTES + tokens * STATE_BYTES_PER_TOKEN)
        for plan in plans:
            store.save_plan(plan.hash, plan.items)
            for said in plan.said:
                self.reporter.say(f"{plan.name}: {said}")
            long = sum(1 for item in plan.items if item.too_long is not None)
            if long:
                self.reporter.say(
                    f"{plan.name}: {long} of {len(plan.items)} items do not fit the model's context and are left out"
                )
        return plans

    def _decoding_notes(self, variant: RunVariant) -> tuple[str, ...]:
        generates = any(plan.kind == "generate" for plan in self.setting.plans)
        return decoding_notes(variant.load, self.rules.decoding) if generates else ()

    # -- one variant

    def _baseline(self, evaluator: VariantEvaluator) -> VariantRun:
        baseline = self.setting.baseline
        try:
            return evaluator.evaluate(baseline)
        except (EngineError, WorkerError) as error:
            self.setting.store.check_writable(0)
            raise RunError(f"the baseline {baseline.name} could not be run: {error}") from error

    def _base(self, evaluator: VariantEvaluator) -> VariantRun | None:
        """The model before fine-tuning. That it is not available is recorded: only the retained gain needs it."""
        if self.loaded.suite.base is None:
            return None
        try:
            variant = self._within(resolve_base(self.loaded, offline=self.options.offline, fresh=self.options.fresh))
            return evaluator.evaluate(variant)
        except (EngineError, WorkerError) as error:
            self.setting.store.check_writable(0)
            self.reporter.say(f"{NAME}: {error.says}\nwithout it, what is retained of the fine-tuning stays undecided")
            return VariantRun(variant=NAME, failure=error.says)

    def _within(self, variant: RunVariant) -> RunVariant:
        """The variant with the run's memory budget."""
        return replace(variant, load=replace(variant.load, memory_budget=self.options.memory_budget))

    def _resolve(self, name: str) -> RunVariant | EngineError:
        """The variant ready to run, its checkpoint made; or why it is not available here, so that the others still
        run."""
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

    def _candidate(
        self, name: str, variant: RunVariant | EngineError, evaluator: VariantEvaluator, timer: Timer | None
    ) -> VariantRun:
        """Evaluate and time one candidate. Its own failures are recorded, so that the others still run."""
        spec = self.loaded.suite.variants[name]
        run = VariantRun(variant=name, must_be_quantized=spec.must_be_quantized())
        try:
            if isinstance(variant, EngineError):
                raise variant
            variant = self._asked_who(variant)
            run = evaluator.evaluate(variant)
            if run.stopped is not None:
                return run
            sound = run.token_disagreement is None and run.facts is not None and not unfit(run.facts, spec)
            if run.facts is not None and run.facts.dequantised and timer is not None:
                self.reporter.say(f"{name} · speed: not timed, {run.facts.dequantised}")
                sound = False
            if sound and timer is not None and not self.options.tasks:
                run = run.model_copy(update={"speed": self._speed(variant, evaluator, timer)})
        except (EngineError, WorkerError) as error:
            self.setting.store.check_writable(0)  # a full disk is no fault of the candidate's
            self.reporter.say(f"{name}: {error}")
            run = run.model_copy(update={"failure": str(error)})
        return run

    def _asked_who(self, variant: RunVariant) -> RunVariant:
        """A served variant with its server's current description. Where its answers differ from the stored ones, none
        of those are used."""
        if variant.spec.engine_row.model != "address":
            return variant
        session = self.workers.session(variant)
        try:
            variant = replace(variant, server=session.facts().server_digest or "")
            for plan in self.setting.plans:
                chunks = self.setting.store.chunks(self.setting.key(variant, plan))
                stored = {record.item: record for chunk in chunks.load() for record in chunk}
                if not same_answers(session, plan, stored, self.run_id):
                    says = "the server's answers differ from those stored, so everything is computed again"
                    self.reporter.say(f"{variant.name} · {plan.name}: {says}")
                    self.setting.keys.renew(variant)
                    break
        finally:
            session.close()
        return variant

    def _speed(self, variant: RunVariant, evaluator: VariantEvaluator, timer: Timer) -> str:
        """Key of the variant's speed record, measured now when there is none for this host."""
        setting, speed = self.setting, self.setting.suite.speed
        assert speed is not None
        plain = speed_key(setting.baseline, variant, speed, setting.host)
        key = setting.keys.timing(plain, setting.baseline, variant)
        if setting.store.speed(key) is not None:
            self.reporter.say(f"{variant.name} · speed: already there")
            return key
        evaluator.settle()
        record = timer.measure(variant, setting.host, self.reporter)
        setting.store.save_speed(record.model_copy(update={"key": key}))
        setting.keys.timed(plain, key)
        return key

    # -- the end

    def _finish(self, runs: dict[str, VariantRun], base: VariantRun | None) -> RunManifest:
        accepted = self.setting.store.accepted(self.loaded.suite.suite)
        reference = accepted[-1] if accepted else None
        manifest = RunManifest(
            run=self.run_id,
            suite=self.loaded.suite.suite,
            suite_file=str(self.loaded.path),
            suite_hash=self.loaded.hash,
            suite_text=self.loaded.text,
            baseline=self.setting.baseline.name,
            variants=runs,
            base=base,
            tasks={plan.name: _task_run(self.loaded.suite, plan, self.setting.store) for plan in self.setting.plans},
            host=self.setting.host,
            quantgate=version("quantgate"),
            started_at=self.started.isoformat(timespec="seconds"),
            elapsed_s=time.monotonic() - self.began,
            partial=self.options.partial,
            limit=self.options.limit,
            label=self.options.label.strip(),
            reference=reference.run if reference else None,
            reference_variant=reference.variant if reference else None,
        )
        self.setting.store.save_run(manifest)
        return manifest


def _task_run(suite: Suite, plan: TaskPlan, store: Store) -> TaskRun:
    return TaskRun(
        task=plan.name,
        plan=plan.hash,
        kind=plan.kind,
        items=len(plan.items),
        tokens=sum(item.tokens for item in plan.items),
        too_long=sum(1 for item in plan.items if item.too_long is not None),
        metrics=plan.metrics,
        lower_is_better=plan.lower_is_better,
        whole=plan.whole,
        source=plan.source,
        definition=task_definition(suite, plan.name),
        data_file=plan.data_file,
        data_hash=plan.data_hash,
        notes=plan.notes,
        leak=plan.leak,
        words=store.save_words(plan.words) if plan.words else None,
    )
