"""Slices that disappeared: every item too long for the context, or present in an earlier run's data and not in these.

Owns which earlier runs are considered. Judges nothing: whether a missing slice matters is for the gate to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.errors import QuantgateError
from harness.records.columns import PlanColumns
from harness.records.run_manifest import RunManifest
from harness.records.store import Store

MOST_RUNS = 50
"""Earlier runs that are looked through for one with other items."""


@dataclass(frozen=True, kw_only=True)
class MissingSlices:
    """The slices of one task that cannot be judged."""

    unasked: tuple[str, ...] = ()
    """`field=value` of slices whose every item is too long for the model's context."""
    gone: tuple[str, ...] = ()
    """Slices without an item now that had some `before`."""
    before: str = ""
    """The run that had them."""
    unknown: str | None = None
    """Why an earlier run's slices could not be read."""


def missing_slices(store: Store, run: RunManifest, plan_of: Callable[[str], PlanColumns]) -> dict[str, MissingSlices]:
    """Task to its missing slices; tasks that miss none are left out. `plan_of` gives this run's plans."""
    found = {}
    for task in run.tasks:
        plan = plan_of(task)
        if not plan.slices:
            continue
        unasked = tuple(sorted(slice_names(plan) - slice_names(plan, fits=True)))
        missing = MissingSlices(unasked=unasked)
        earlier = _earlier(store, run, task)
        if earlier is not None:
            missing = _since(store, earlier, plan, earlier.tasks[task].plan, unasked)
        if missing.unasked or missing.gone or missing.unknown:
            found[task] = missing
    return found


def slice_names(plan: PlanColumns, *, fits: bool = False) -> set[str]:
    """Every `field=value` of a plan that has an item; with `fits`, one that can be asked."""
    names = set()
    for field, labels in plan.slices.items():
        codes = np.unique(labels.codes[plan.fits] if fits else labels.codes)
        names |= {f"{field}={labels.names[code]}" for code in codes.tolist() if code >= 0}
    return names


def _since(
    store: Store, earlier: RunManifest, plan: PlanColumns, hash_before: str, unasked: tuple[str, ...]
) -> MissingSlices:
    try:
        before = slice_names(store.plan_columns(hash_before), fits=True)
    except QuantgateError as error:
        return MissingSlices(unasked=unasked, before=earlier.run, unknown=str(error))
    gone = before - slice_names(plan)
    kept_fields = (name for name in gone if any(name.startswith(f"{field}=") for field in plan.slices))
    found = sorted(name for name in kept_fields if name not in _written_otherwise(plan))
    return MissingSlices(unasked=unasked, gone=tuple(found), before=earlier.run)


def _written_otherwise(plan: PlanColumns) -> set[str]:
    """Names that earlier versions gave to slices: items without a value, `True` and `False` as in Python."""
    found = set()
    for field, labels in plan.slices.items():
        if (labels.codes < 0).any():
            found |= {f"{field}=None", f"{field}="}
        found |= {f"{field}={name.title()}" for name in labels.names if name in ("true", "false")}
    return found


def _earlier(store: Store, run: RunManifest, task: str) -> RunManifest | None:
    """The promoted version's run where it has the task, otherwise the newest earlier whole run with other items.

    Other items, because running again must not make a missing slice acceptable; promoting a run does.
    """
    names = [folder for folder in store.runs(run.suite) if folder.name < run.run][-MOST_RUNS:]
    promoted = [folder for folder in store.runs(run.suite) if folder.name == run.reference]
    for folder in (*promoted, *reversed(names)):
        try:
            earlier = store.run(run.suite, folder.name)
        except QuantgateError:  # a run that this version of quantgate cannot read is no evidence of anything
            continue
        known = earlier.tasks.get(task)
        if known is None or (earlier.partial and earlier.run != run.reference):
            continue
        if earlier.run == run.reference or known.plan != run.tasks[task].plan:
            return None if known.plan == run.tasks[task].plan else earlier
    return None
