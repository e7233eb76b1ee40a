"""Pairs a run's candidates with its baseline, and with the last promoted version where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.comparison.flips import Reader
from harness.comparison.lost_slices import MissingSlices, missing_slices
from harness.comparison.promoted import (
    MOST_VERSIONS,
    Version,
    memory_of,
    other_plan,
    promoted_versions,
    series_restart,
)
from harness.comparison.second_pass import NoisePairs, noise_pairs
from harness.comparison.task_sides import NOTHING_PAIRED, Items, Paired, measured, pair_sides, stopped_parts, wholes_of
from harness.records.evaluation_manifest import EvaluationManifest, TokenText
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.store import Store
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.derived import stored_texts
from harness.samples.pairs import PairingError, Pairs, pair_items
from harness.samples.strata import Asked
from harness.samples.timed_pairs import SpeedPairs, loaded_memory, speed_pairs


@dataclass(frozen=True, kw_only=True)
class CandidateComparison:
    """One candidate. `paired` is None when it was not evaluated at all."""

    variant: str
    run: VariantRun
    paired: Paired
    reference: Paired | None
    """With the last promoted version; None where there is none or it is gone."""
    clean: Paired | None
    """Without the items that share passages with its calibration data; None when there are none such."""
    clean_reference: Paired | None = None
    """`reference` without those and without the items that share passages with the promoted version's own calibration
    data; None where `clean` or `reference` is."""
    speed: SpeedRecord | None
    """Of a run without timing, what loading measured: bytes of weights, and no workload."""
    speed_pairs: tuple[SpeedPairs, ...]
    manifests: Mapping[str, EvaluationManifest]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A whole run, in memory."""

    run: RunManifest
    baseline: Paired
    """The baseline paired with itself: its own levels, for floors."""
    baseline_manifests: Mapping[str, EvaluationManifest]
    candidates: tuple[CandidateComparison, ...]
    reference_name: str | None
    """`variant@run` of the last promoted version, where there is one."""
    promoted: tuple[Version, ...] = ()
    """The versions promoted when the run was made, oldest first; the last is the reference."""
    reference_memory: tuple[MemoryFigures, str] | None = None
    """The reference's memory figures and the fingerprint of their host."""
    series: tuple[VersionPairs, ...] = ()
    """Promoted versions whose loss adds up with this run's, oldest first."""
    starts_anew: Mapping[str, str] = field(default_factory=dict)
    """Task to why its series does not reach back to the first promoted version."""
    noise: NoisePairs | None = None
    """The baseline against itself, where that was measured."""
    missing_slices: Mapping[str, MissingSlices] = field(default_factory=dict)
    """Task to its missing slices, where there are any."""

    @property
    def reference_version(self) -> Version | None:
        return self.promoted[-1] if self.promoted else None


@dataclass(frozen=True, kw_only=True)
class VersionPairs:
    """A promoted version of a series, paired on the tasks whose series it belongs to."""

    version: Version
    step: Paired
    """With the version before it in the series; the first with the baseline."""
    total: Paired
    """With the baseline."""
    first: frozenset[str]
    """Tasks whose series it opens."""
    earlier: Mapping[str, int]
    """Task to how many versions of its series came before `first`."""


def compare_run(store: Store, run: RunManifest) -> Comparison:
    """Pair every candidate of a run with its baseline. Raises `RecordError` for missing or damaged records."""
    items = Items(store, run)
    baseline = run.variants[run.baseline]
    promoted = promoted_versions(store, run)
    series, starts_anew = _series(items, promoted)
    candidates = []
    for name, variant in run.variants.items():
        if name == run.baseline:
            continue
        speed = store.speed(variant.speed) if variant.speed else loaded_memory(run, variant)
        copied = _copied(variant)
        candidates.append(
            CandidateComparison(
                variant=name,
                run=variant,
                paired=pair_sides(items, baseline, variant, base=run.base),
                reference=_with_reference(items, promoted[-1], variant) if promoted else None,
                clean=pair_sides(items, baseline, variant, without=copied, base=run.base) if copied else None,
                clean_reference=_with_reference(items, promoted[-1], variant, apart=True)
                if copied and promoted
                else None,
                speed=speed,
                speed_pairs=speed_pairs(speed) if speed is not None else (),
                manifests=_manifests(store, variant),
            )
        )
    return Comparison(
        run=run,
        baseline=pair_sides(items, baseline, baseline),
        baseline_manifests=_manifests(store, baseline),
        candidates=tuple(candidates),
        reference_name=promoted[-1].name if promoted else None,
        promoted=promoted,
        reference_memory=memory_of(store, promoted[-1]) if promoted else None,
        series=series,
        starts_anew=starts_anew,
        noise=noise_pairs(store, run, [each.speed for each in candidates if each.speed], items.side, items.plan),
        missing_slices=missing_slices(store, run, items.plan),
    )


def _manifests(store: Store, variant: VariantRun) -> dict[str, EvaluationManifest]:
    found = {task: store.evaluation(key) for task, key in variant.evaluations.items()}
    return {task: manifest for task, manifest in found.items() if manifest is not None}


def _with_reference(items: Items, version: Version, variant: VariantRun, *, apart: bool = False) -> Paired | None:
    """A candidate paired with the last promoted version, on the tasks with the same requests for both.

    `apart`: without the items that share passages with the calibration data of either.
    Without divergences: those are measured from the baseline's distributions, whatever is on the left.
    """
    if version.found is None:
        return None
    unlike = {task: why for task in items.run.tasks if (why := other_plan(items.run, version, task))}
    tasks = frozenset(items.run.tasks) - frozenset(unlike)
    without = _copied(variant, version.found) if apart else None
    paired = pair_sides(items, version.found, variant, tasks=tasks, earlier=version.label, without=without)
    documents = {task: replace(each, divergence=None) for task, each in paired.documents.items()}
    return replace(paired, documents=documents, broken={**paired.broken, **unlike})


def _series(items: Items, promoted: Sequence[Version]) -> tuple[tuple[VersionPairs, ...], dict[str, str]]:
    """The promoted versions that were compared with this run's own baseline, from the newest back, task by task."""
    baseline = items.run.variants[items.run.baseline]
    members: dict[str, list[int]] = {}
    anew: dict[str, str] = {}
    for task in items.run.tasks:
        members[task] = []
        for place in reversed(range(len(promoted))):
            why = series_restart(items.store, items.run, promoted[place], task)
            if why is not None:
                anew[task] = why
                break
            members[task].insert(0, place)
    shown = {task: places[-MOST_VERSIONS:] for task, places in members.items()}
    found = []
    for place, version in enumerate(promoted):
        tasks = frozenset(task for task, places in shown.items() if place in places)
        if not tasks or version.found is None:
            continue
        first = frozenset(task for task in tasks if shown[task][0] == place)
        before = {
            task: (baseline if task in first else _found(promoted, shown[task], place)).evaluations[task]
            for task in tasks
        }
        left = baseline.model_copy(update={"evaluations": before})
        found.append(
            VersionPairs(
                version=version,
                step=pair_sides(items, left, version.found, tasks=tasks, earlier=version.label, stored_only=True),
                total=pair_sides(items, baseline, version.found, tasks=tasks, earlier=version.label, stored_only=True),
                first=first,
                earlier={task: len(members[task]) - len(shown[task]) for task in first},
            )
        )
    return tuple(found), anew


def _found(promoted: Sequence[Version], places: Sequence[int], place: int) -> VariantRun:
    """The version before this one in a series."""
    found = promoted[places[places.index(place) - 1]].found
    assert found is not None  # `series_restart` let nothing else into the series
    return found


def _copied(*variants: VariantRun) -> dict[str, frozenset[str]]:
    """Task to the items that share long passages with the calibration data of any of the variants."""
    found: dict[str, frozenset[str]] = {}
    for each in (overlap for variant in variants for overlap in variant.calibration if overlap.copied_items):
        found[each.task] = found.get(each.task, frozenset()) | frozenset(each.copied_items)
    return found


@dataclass(frozen=True, kw_only=True)
class OneTask:
    """Two sides on one task, and the records behind their pairs."""

    paired: Paired
    pairs: Pairs
    read: Reader
    """Reads pairs in full."""
    sides: tuple[VariantRun, VariantRun]
    token_texts: tuple[TokenText, ...] = ()
    """The candidate's most divergent tokens in words."""


def one_task(
    store: Store, run: RunManifest, task: str, variant: str, *, to_reference: bool = False, clean: bool = False
) -> OneTask:
    """One task alone, as `compare_run` pairs it: with the baseline, or with the promoted version. Without flips.

    For a variant that was stopped early at this task, the items it answered. `clean`: without the items that share
    passages with the calibration data of the variant, and of the promoted version where that is the other side.
    Raises `PairingError`, also for a task that a side has not; `RecordError` for damaged records.
    """
    items, right, left = Items(store, run), run.variants[variant], run.variants.get(run.baseline)
    if to_reference:
        promoted = promoted_versions(store, run)
        left = promoted[-1].found if promoted else None
    if left is None or task not in left.evaluations or task not in right.answered:
        raise PairingError(f"{task}: not evaluated by both sides of run {run.run}")
    keys = left.evaluations[task], right.answered[task]
    pairs = pair_items(
        task,
        items.plan(task),
        items.side(task, keys[0]),
        items.asked(task, right),
        names=(left.variant, right.variant),
        without=_copied(right, *([left] if to_reference else [])).get(task, frozenset()) if clean else frozenset(),
    )
    metrics, documents = measured(run, task, pairs, stored_texts(store, keys, pairs))
    paired = replace(
        NOTHING_PAIRED,
        metrics={(task, metric.metric): metric for metric in metrics},
        documents={} if documents is None else {task: documents},
        parts=stopped_parts(items, right),
        asked={task: Asked(items=pairs.plan.items, places=pairs.places)},
        wholes={(task, each.metric): each for each in wholes_of(run.tasks[task], pairs, left, right)},
    )
    manifest = store.evaluation(keys[1])
    return OneTask(
        paired=paired,
        pairs=pairs,
        read=items.reader(task, keys, pairs),
        sides=(left, right),
        token_texts=() if manifest is None else manifest.divergent,
    )
