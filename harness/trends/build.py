"""A suite's history: runs, figures in series, shifts, and what could not be read. Judges nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from harness.records.findings import Decision
from harness.records.summary import VerdictSummary
from harness.trends.figure_rows import HistoryRow, rows_of
from harness.trends.series import Shift, in_series, marked, shifts_of

HISTORY_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class HistoryRun:
    """One run, oldest first."""

    run: str
    label: str
    started_at: str
    decision: Decision
    partial: bool
    limit: int | None
    """At most this many items of each task."""
    baseline: str
    host: str
    promoted: tuple[str, ...]
    """Variants of this run that were promoted."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A stored run that could not be shown."""

    run: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which figures and runs to show; empty for all. Series and shifts are found over all runs all the same."""

    metrics: Collection[str] = ()
    tasks: Collection[str] = ()
    """Tasks and workloads."""
    variants: Collection[str] = ()
    last: int | None = None
    """Only the last runs."""

    def holds(self, row: HistoryRow) -> bool:
        """A candidate without any figure is kept: it says why there is none."""
        if self.variants and row.variant not in self.variants:
            return False
        if row.kind == "none":
            return True
        return (not self.metrics or row.metric in self.metrics) and (not self.tasks or row.task in self.tasks)


@dataclass(frozen=True, kw_only=True)
class History:
    """What `quantgate history` shows; its JSON is this. `figures` are in time, then in the verdict's order."""

    schema_version: int = HISTORY_SCHEMA
    suite: str
    runs: tuple[HistoryRun, ...]
    runs_in_all: int
    """Before `--last`."""
    figures: tuple[HistoryRow, ...]
    shifts: tuple[Shift, ...]
    skipped: tuple[Skipped, ...]

    def last(self, count: int | None) -> History:
        """The same with only the last runs; all of them for None."""
        runs = self.runs if count is None else self.runs[max(0, len(self.runs) - count) :]
        names = {run.run for run in runs}
        return replace(
            self,
            runs=runs,
            figures=tuple(row for row in self.figures if row.run in names),
            shifts=tuple(shift for shift in self.shifts if shift.at_run in names),
        )


def collect(
    suite: str,
    summaries: Iterable[VerdictSummary],
    *,
    accepted: Collection[tuple[str, str]] = (),
    skipped: Iterable[Skipped] = (),
    selection: Selection | None = None,
) -> History:
    """The history of a suite, oldest run first. `accepted`: promoted (run, variant)."""
    chosen = selection or Selection()
    ordered = sorted(summaries, key=lambda summary: (summary.started_at, summary.run))
    rows = in_series(
        (row, measured) for summary in ordered for row, measured in rows_of(summary, accepted) if chosen.holds(row)
    )
    shifts = shifts_of(rows)
    whole = History(
        suite=suite,
        runs=tuple(_run(summary, accepted) for summary in ordered),
        runs_in_all=len(ordered),
        figures=marked(rows, shifts),
        shifts=shifts,
        skipped=tuple(skipped),
    )
    return whole.last(chosen.last)


def _run(summary: VerdictSummary, accepted: Collection[tuple[str, str]]) -> HistoryRun:
    return HistoryRun(
        run=summary.run,
        label=summary.label,
        started_at=summary.started_at,
        decision=summary.decision,
        partial=summary.partial,
        limit=summary.limit,
        baseline=summary.baseline,
        host=summary.host.fingerprint,
        promoted=tuple(sorted(variant for run, variant in accepted if run == summary.run)),
    )
