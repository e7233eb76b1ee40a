"""Commands that work on saved results: compare, gate, promote. None of them loads a model library."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness import api
from harness.commands.run import announce
from harness.errors import RecordError, UsageError
from harness.records.run_manifest import Accepted, RunManifest
from harness.records.store import Store


def print_comparison(run: str, results: Path) -> None:
    """All measures of a run, no judgement."""
    from harness.reports.terminal import print_measures

    print_measures(api.gate(run, results=results, save=False), Console())


def judge_again(run: str, suite: Path | None, results: Path, reports: Path, *, report_only: bool = False) -> int:
    """Judge a saved run, rewrite its verdict and reports; returns the exit code."""
    verdict = api.gate(run, suite=suite, results=results, report_only=report_only)
    page = api.report(verdict, results=results, reports=reports)
    announce(verdict)
    print(f"report   {page}")
    return verdict.exit_code


def promote_version(run: str, variant: str, results: Path, *, name: str, note: str, force: bool) -> None:
    """Mark a variant of a run as the last accepted version."""
    store = Store(results)
    manifest = store.find_run(run)
    if variant not in manifest.variants:
        raise UsageError(f"{variant or 'no variant is named'}: run {manifest.run} has {', '.join(manifest.variants)}")
    waivers = () if variant == manifest.baseline else _passed_under(store, manifest, variant, force=force)
    _whole(store, manifest, variant)
    if manifest.partial and not force:
        raise UsageError(
            f"run {manifest.run} is partial (made with --limit, --variant or --task): later runs of the whole suite "
            "may not pair with it. Promote it all the same with --force."
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    store.accept(
        manifest.suite,
        Accepted(run=manifest.run, variant=variant, promoted_at=now, note=note, name=name, waivers=waivers),
    )
    called = f" ({name})" if name else ""
    shown = f"{variant}@{manifest.run}{called}"
    print(f"{shown} is now the reference of suite {manifest.suite}; later runs are compared with it")
    for says in waivers:
        print(f"it passed under a waiver: {says}")


def _whole(store: Store, manifest: RunManifest, variant: str) -> None:
    """Later runs are held against what is stored of a promoted version. Raises `RecordError` where that is damaged,
    missing, or another's."""
    found = manifest.variants[variant]
    store.check_bound(manifest, found)
    for key in found.evaluations.values():
        if store.evaluation(key) is None:
            raise RecordError(f"{store.evaluation_folder(key)}: the evaluation is missing or unfinished")
        for _ in store.items(key):
            pass


def _passed_under(store: Store, manifest: RunManifest, variant: str, *, force: bool) -> tuple[str, ...]:
    """The waivers a candidate passed under. Raises `UsageError` unless it passed, today still, or `force`."""
    verdict = store.verdict(manifest.suite, manifest.run)
    found = next((each for each in verdict.candidates if each.variant == variant), None)
    if found is None:
        raise RecordError(f"{variant} was not judged in run {manifest.run}; judge it with `quantgate gate`")
    if found.decision != "PASS" and not force:
        raise UsageError(
            f"{variant} is {found.decision} in run {manifest.run} ({found.sentence}). "
            "Promote it all the same with --force."
        )
    both = (*verdict.baseline_findings, *found.findings)
    used = [finding.waiver for finding in both if finding.waiver is not None]
    ended = next((each for each in used if each.until <= datetime.now(UTC).date().isoformat()), None)
    if ended is not None and not force:
        raise UsageError(
            f"{variant} passed under the waiver of {ended.by}, which ended on {ended.until}. Judge it again with "
            f"`quantgate gate {manifest.run}`, or promote it all the same with --force."
        )
    return tuple(f"{each.gate} for {each.variant} {each.says}" for each in used)


def print_promoted(suite: str, results: Path) -> None:
    """The chain of promoted versions of a suite, oldest first; the last is the reference."""
    store = Store(results)
    versions = store.accepted(suite)
    if not versions:
        known = sorted(path.parent.name for path in results.glob("*/accepted.jsonl"))
        raise UsageError(
            f"{results}: no version of suite {suite!r} has been promoted; "
            + (f"there are versions of {', '.join(known)}" if known else "`quantgate promote RUN VARIANT` marks one")
        )
    for place, each in enumerate(versions):
        there = (store.run_folder(suite, each.run) / "run.json").exists()
        parts = [each.promoted_at[:16].replace("T", " "), each.name or "-", f"{each.variant}@{each.run}"]
        parts += ["" if there else "its run is gone", each.note, *(f"under a waiver: {says}" for says in each.waivers)]
        parts += ["the reference" if place == len(versions) - 1 else ""]
        print("  ".join(part for part in parts if part))
