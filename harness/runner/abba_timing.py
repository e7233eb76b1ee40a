"""Speed and memory: baseline and candidate in fresh processes, adjacent runs in ABBA order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

from harness.engines.protocol import Timing, Workload
from harness.records.evaluation_manifest import Host
from harness.records.timings import MemoryFigures, SpeedRecord, TimedPair, TimingSample, WorkloadTimes
from harness.runner.eta import PAIRS, Amount
from harness.runner.progress import Reporter
from harness.runner.session import insist, load
from harness.runner.variants import RunVariant
from harness.suite.models import Speed
from harness.worker.client import Worker


def speed_key(baseline: RunVariant, candidate: RunVariant, speed: Speed, host: Host) -> str:
    """Key of a speed record: both models as loaded, the workloads, the pairs and the host."""
    parts = [
        [side.weights + side.server, side.spec.model_dump(mode="json"), side.load.device, dict(side.versions)]
        for side in (baseline, candidate)
    ]
    text = json.dumps([parts, speed.model_dump(mode="json"), host.fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def pairs_of(speed: Speed) -> int:
    """Pairs that a candidate is timed in, one to warm up each workload."""
    return len(speed.workloads) * (1 + speed.pairs)


def _pairs(count: int) -> Amount:
    return Amount(items=count, work=float(count))


class Timer:
    """Keeps the baseline's timing worker alive across candidates, so that it is loaded once."""

    def __init__(self, baseline: RunVariant, start: Callable[[RunVariant], Worker], speed: Speed) -> None:
        self._baseline = baseline
        self._start = start
        self._speed = speed
        self._worker: Worker | None = None

    def measure(self, candidate: RunVariant, host: Host, reporter: Reporter) -> SpeedRecord:
        """Time one candidate beside the baseline. When one of the two dies, both start again: the pairs of a record
        come from the same processes. Raises `WorkerError` or `EngineError`."""
        return insist(lambda: self._measure(candidate, host, reporter), forget=self.close, say=reporter.say)

    def _measure(self, candidate: RunVariant, host: Host, reporter: Reporter) -> SpeedRecord:
        workloads = tuple(Workload(**workload.model_dump()) for workload in self._speed.workloads)
        baseline = self._baseline_worker()
        worker = _loaded(self._start, candidate)
        reporter.task(candidate.name, "speed", _pairs(pairs_of(self._speed)), _pairs(0), PAIRS)  # loading is no pair
        try:
            times = [self._workload(baseline, worker, workload, reporter) for workload in workloads]
            record = SpeedRecord(
                key=speed_key(self._baseline, candidate, self._speed, host),
                variant=candidate.name,
                baseline=self._baseline.name,
                host=host,
                workloads=tuple(times),
                memory=_memory(worker, workloads),
                baseline_memory=_memory(baseline, workloads),
                measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        finally:
            worker.close()
        reporter.finish()
        return record

    def _baseline_worker(self) -> Worker:
        if self._worker is None:
            self._worker = _loaded(self._start, self._baseline)
        return self._worker

    def _workload(self, baseline: Worker, candidate: Worker, workload: Workload, reporter: Reporter) -> WorkloadTimes:
        """A discarded full-shape warm-up of both, then pairs in ABBA order."""
        baseline.time(workload)
        candidate.time(workload)
        reporter.advance(_pairs(1))
        pairs = []
        for number in range(self._speed.pairs):
            if number % 2 == 0:
                first, second = baseline.time(workload), candidate.time(workload)
                pairs.append(TimedPair(order="AB", baseline=_sample(first), candidate=_sample(second)))
            else:
                first, second = candidate.time(workload), baseline.time(workload)
                pairs.append(TimedPair(order="BA", baseline=_sample(second), candidate=_sample(first)))
            reporter.advance(_pairs(1))
        return WorkloadTimes(
            batch=workload.batch,
            prompt_tokens=workload.prompt_tokens,
            new_tokens=workload.new_tokens,
            pairs=tuple(pairs),
        )

    def close(self) -> None:
        if self._worker is not None:
            with suppress(Exception):
                self._worker.close()
            self._worker = None


def _loaded(start: Callable[[RunVariant], Worker], variant: RunVariant) -> Worker:
    """A fresh worker with the variant loaded and its peak counters reset, ready to be timed."""
    worker = start(variant)
    try:
        load(worker, variant)
        worker.reset_peak()
    except BaseException:
        worker.close()
        raise
    return worker


def _sample(timing: Timing) -> TimingSample:
    return TimingSample(ttft_s=timing.ttft_s, end_to_end_s=timing.end_to_end_s, inter_token_s=timing.inter_token_s)


def _memory(worker: Worker, workloads: Sequence[Workload]) -> MemoryFigures:
    largest = max(workloads, key=lambda each: each.batch * (each.prompt_tokens + each.new_tokens))
    shape = f"{largest.batch}x{largest.prompt_tokens}+{largest.new_tokens}"
    return MemoryFigures(**asdict(worker.memory()), workload=shape)
