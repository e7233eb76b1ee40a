"""Commands that work on saved results: compare, gate, promote. None of them loads a model library."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness import api
from harness.commands.run import announce
from harness.errors import RecordError, UsageError
from harness.records.models import Accepted
from harness.records.store import Store


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
