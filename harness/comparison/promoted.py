"""The promoted versions of a suite as of a run: the reference, and the versions that came before it.

Owns which of them a run may be compared with, and why not the others. Missing ones are named and never raise: a deleted
run must not prevent judging a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.errors import QuantgateError
from harness.records.evaluation_manifest import EvaluationManifest
from harness.records.run_manifest import Accepted, RunManifest, VariantRun
from harness.records.store import Store
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.timed_pairs import memory_of_load

MOST_VERSIONS = 12
"""Versions of a series that are compared; what came before the first of them is included in its total."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A promoted version. `run` and `found` are None where its run is gone."""

    name: str
    """`variant@run`."""
    label: str
    """Its name for people: the one it was promoted under, `variant@label` of a run with one, or `variant@run`."""
    accepted: Accepted
    run: RunManifest | None
    found: VariantRun | None

    @property
    def gone(self) -> str:
        return f"the records of the promoted version {self.label} are gone; promote another with `quantgate promote`"


def promoted_versions(store: Store, run: RunManifest) -> tuple[Version, ...]:
    """The versions that were promoted when the run was made, oldest first; the last is its reference.

    A version that was promoted twice in a row is listed once. Empty where none was promoted.
    """
    if run.reference is None or run.reference_variant is None:
        return ()
    chain: list[Accepted] = []
    for each in _until(store.accepted(run.suite), run):
        if chain and (chain[-1].run, chain[-1].variant) == (each.run, each.variant):
            chain[-1] = each
        else:
            chain.append(each)
    return tuple(_version(store, run.suite, each) for each in chain)


def _until(accepted: Sequence[Accepted], run: RunManifest) -> list[Accepted]:
    """Up to the run's reference. A version that was promoted again after the run was made (a rollback) does not count
    twice."""
    ended = datetime.fromisoformat(run.started_at) + timedelta(seconds=run.elapsed_s + 1)
    places = [
        place
        for place, each in enumerate(accepted)
        if (each.run, each.variant) == (run.reference, run.reference_variant)
    ]
    then = [place for place in places if datetime.fromisoformat(accepted[place].promoted_at) <= ended]
    if places:
        return list(accepted[: (then or places[:1])[-1] + 1])
    return [Accepted(run=run.reference or "", variant=run.reference_variant or "", promoted_at=run.started_at)]


def _version(store: Store, suite: str, accepted: Accepted) -> Version:
    name = f"{accepted.variant}@{accepted.run}"
    try:
        manifest = store.run(suite, accepted.run)
        if accepted.variant in manifest.variants:
            store.check_bound(manifest, manifest.variants[accepted.variant], manifest.variants[manifest.baseline])
    except QuantgateError:
        manifest = None
    found = manifest.variants.get(accepted.variant) if manifest is not None else None
    called = manifest.label if manifest is not None and manifest.label else accepted.run
    label = accepted.name or f"{accepted.variant}@{called}"
    return Version(name=name, label=label, accepted=accepted, run=manifest, found=found)


def memory_of(store: Store, version: Version) -> tuple[MemoryFigures, str] | None:
    """A version's memory figures and the fingerprint of their host; None where they were not measured."""
    if version.run is None or version.found is None:
        return None
    own = _speed(store, version.found)
    if own is not None:
        return own.memory, own.host.fingerprint
    if version.found.variant == version.run.baseline:
        for each in version.run.variants.values():
            record = _speed(store, each)
            if record is not None:
                return record.baseline_memory, record.host.fingerprint
    facts = version.found.facts
    return None if facts is None else (memory_of_load(facts), version.run.host.fingerprint)


def _speed(store: Store, variant: VariantRun) -> SpeedRecord | None:
    try:
        return store.speed(variant.speed) if variant.speed else None
    except QuantgateError:
        return None


def other_plan(run: RunManifest, version: Version, task: str) -> str | None:
    """Why the version cannot be paired with this run on a task; None where both were asked the same."""
    if version.run is None or task not in version.run.tasks:
        return None
    if version.run.tasks[task].plan == run.tasks[task].plan:
        return None
    part = " (one of the two runs is partial)" if run.partial or version.run.partial else ""
    return (
        f"{task} asks other items or asks them otherwise than when {version.label} was promoted{part}; only what was "
        "asked alike is paired. A version promoted with the suite of today is a reference again"
    )


def series_restart(store: Store, run: RunManifest, version: Version, task: str) -> str | None:
    """Why a series of this task cannot reach back to a version; None where it can.

    The frozen baseline must be one and the same evaluation in both runs: same weights, same items, same engine,
    versions, precision and kind of device.
    """
    if version.run is None or version.found is None:
        return f"the records of {version.label} are gone"
    if task not in version.run.tasks or task not in version.found.evaluations:
        return f"{version.label} was not asked {task}"
    if store.evaluation(version.found.evaluations[task]) is None:
        return f"the records of {version.label} are gone"
    before = version.run.variants[version.run.baseline].evaluations.get(task)
    now = run.variants[run.baseline].evaluations.get(task)
    if before is None or now is None:
        return f"the baseline was not asked {task}"
    if before == now:
        return None
    difference = _difference(store.evaluation(before), store.evaluation(now))
    return None if difference is None else f"{difference} since {version.label}"


def _difference(before: EvaluationManifest | None, now: EvaluationManifest | None) -> str | None:
    """What about the baseline is another thing, the weightiest first; None where it was only recomputed."""
    if before is None or now is None:
        return "the records of the baseline are gone"
    old, new = before.identity, now.identity
    if old.model_copy(update={"attempt": ""}) == new.model_copy(update={"attempt": ""}):
        return None
    parts = (
        ("the baseline's weights changed", old.weights != new.weights or old.quantization != new.quantization),
        ("the task's items changed", old.requests != new.requests or old.tokenizer != new.tokenizer),
        ("the engine changed", old.engine != new.engine),
        ("the hardware changed", old.device_type != new.device_type),
        ("the baseline's precision changed", old.dtype != new.dtype),
        ("library versions changed", old.versions != new.versions),
    )
    return next((says for says, differs in parts if differs), "how the baseline is computed changed")
