"""Commands that work on saved results: compare, gate, history, promote. None of them loads a model library."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness import api
from harness.commands.run import announce
from harness.errors import RecordError, UsageError
from harness.history import collect, history_csv, history_table, write_history
from harness.records.models import Accepted
from harness.records.store import Store
from harness.records.verdict import Verdict


def print_comparison(run: str, results: Path) -> None:
    """All measures of a run, no judgement."""
    from harness.report import print_measures

    print_measures(api.gate(run, results=results, save=False), Console())


def judge_again(run: str, suite: Path | None, results: Path, reports: Path) -> int:
    """Judge a saved run, rewrite its verdict and reports; returns the exit code."""
    verdict = api.gate(run, suite=suite, results=results)
    page = api.report(verdict, results=results, reports=reports)
    announce(verdict)
    print(f"report   {page}")
    return verdict.exit_code


def print_history(suite: str, results: Path, *, metric: str | None, page: Path | None, as_csv: bool) -> None:
    """The runs of a suite over time."""
    store = Store(results)
    verdicts = _verdicts(store, suite)
    accepted = frozenset((each.run, each.variant) for each in store.accepted(suite))
    rows = [row for row in collect(verdicts, accepted=accepted) if metric in (None, row.metric)]
    if metric is not None and not rows:
        known = sorted({row.metric for row in collect(verdicts, accepted=accepted)})
        raise UsageError(f"--metric {metric}: the runs have {', '.join(known)}")
    if as_csv:
        print(history_csv(rows), end="")
    else:
        Console().print(history_table(rows))
    if page is not None:
        write_history(rows, page, title=suite)
        if not as_csv:
            print(f"plots    {page}")


def _verdicts(store: Store, suite: str) -> list[Verdict]:
    folders = store.runs(suite)
    if not folders:
        known = sorted({folder.parent.parent.name for folder in store.runs()})
        have = f"there are runs of {', '.join(known)}" if known else "there are no runs at all"
        raise UsageError(f"{store.root}: no run of suite {suite!r}; {have}")
    return [store.verdict(suite, folder.name) for folder in folders if (folder / "verdict.json").exists()]


def promote_version(run: str, variant: str, results: Path, *, note: str, force: bool) -> None:
    """Mark a variant of a run as the last accepted version."""
    store = Store(results)
    manifest = store.find_run(run)
    if variant not in manifest.variants:
        raise UsageError(f"{variant}: run {manifest.run} has {', '.join(manifest.variants)}")
    if variant != manifest.baseline:
        verdict = store.verdict(manifest.suite, manifest.run)
        found = next((each for each in verdict.candidates if each.variant == variant), None)
        if found is None:
            raise RecordError(f"{variant} was not judged in run {manifest.run}; judge it with `quantgate gate`")
        if found.decision != "PASS" and not force:
            raise UsageError(
                f"{variant} is {found.decision} in run {manifest.run} ({found.sentence}). "
                "Promote it all the same with --force."
            )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    store.accept(manifest.suite, Accepted(run=manifest.run, variant=variant, promoted_at=now, note=note))
    print(f"{variant}@{manifest.run} is now the reference of suite {manifest.suite}; later runs are compared with it")
