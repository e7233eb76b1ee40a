"""A suite's history from the results folder: every verdict that can be read, the others named."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import RecordError, UsageError
from harness.metrics.row import StoredBytes
from harness.metrics.table import computed_by
from harness.records.store import Store
from harness.records.summary import VerdictSummary
from harness.trends.build import History, Selection, Skipped, collect


def collect_stored(store: Store, suite: str, selection: Selection | None = None) -> History:
    """The history of a suite. Raises `UsageError` for a suite without runs or names in `selection` that no run has,
    `RecordError` when no verdict could be read."""
    folders = store.runs(suite)
    if not folders:
        known = sorted({folder.parent.parent.name for folder in store.runs()})
        have = f"there are runs of {', '.join(known)}" if known else "there are no runs at all"
        raise UsageError(f"{store.root}: no run of suite {suite!r}; {have}")
    summaries: list[VerdictSummary] = []
    skipped: list[Skipped] = []
    for folder in folders:
        try:
            summaries.append(store.summary(suite, folder.name))
        except RecordError as error:
            skipped.append(Skipped(run=folder.name, reason=str(error)))
    if not summaries:
        raise RecordError("\n".join(["no run of this suite has a verdict that could be read", *_some(skipped)]))
    accepted = {(each.run, each.variant) for each in store.accepted(suite)}
    chosen = selection or Selection()
    _check(summaries, chosen)
    return collect(suite, summaries, accepted=accepted, skipped=skipped, selection=chosen)


def _check(summaries: Sequence[VerdictSummary], selection: Selection) -> None:
    """Raises `UsageError` for a metric, task or variant that no run has."""
    candidates = [each for summary in summaries for each in summary.candidates]
    measures = [measure for each in candidates for measure in each.measures]
    speed = [row for each in candidates for row in each.speed]
    metrics = {each.metric for each in measures} | {each.metric for each in speed} | computed_by(StoredBytes).keys()
    tasks = {each.task for each in measures} | {each.workload for each in speed}
    variants = {each.variant for each in candidates}
    options = (
        ("--metric", selection.metrics, metrics),
        ("--task", selection.tasks, tasks),
        ("--variant", selection.variants, variants),
    )
    for option, asked, known in options:
        for name in asked:
            if name not in known:
                raise UsageError(f"{option} {name}: the runs have {', '.join(sorted(known))}")


def _some(skipped: Sequence[Skipped]) -> list[str]:
    shown = [f"  {each.reason}" for each in skipped[:3]]
    return shown if len(skipped) <= 3 else [*shown, f"  and {len(skipped) - 3} more"]
