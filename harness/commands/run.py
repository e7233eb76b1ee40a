"""`quantgate run`: progress on stderr, verdict on stdout, reports in their folder."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from harness import api
from harness.records.verdict import Verdict
from harness.report import annotations as github_annotations
from harness.report import print_verdict


def run_and_report(
    suite: Path,
    *,
    results: Path,
    reports: Path,
    artifacts: Path,
    limit: int | None,
    variants: tuple[str, ...],
    tasks: tuple[str, ...],
    offline: bool,
    fresh: bool,
    memory_budget: int | None,
    stuck_after: float | None,
    label: str,
    stop_early: bool,
    report_only: bool,
) -> int:
    """Run, judge, report; returns the exit code."""
    from harness.spec.load import load_suite

    loaded = load_suite(suite)
    from harness.run.progress import reporter
    from harness.run.schedule import RunOptions, run_suite

    options = RunOptions(
        results=results,
        artifacts=artifacts,
        limit=limit,
        variants=variants,
        tasks=tasks,
        offline=offline,
        fresh=fresh,
        memory_budget=memory_budget,
        stuck_after=stuck_after,
        label=label,
        stop_early=stop_early and not report_only,
    )
    with reporter(Console(stderr=True)) as progress:
        manifest = run_suite(loaded, options, progress)
    verdict = api.gate(manifest, results=results, report_only=report_only)
    page = api.report(verdict, results=results, reports=reports)
    announce(verdict)
    print(f"run      {verdict.run}{f' ({verdict.label})' if verdict.label else ''}\nreport   {page}")
    print(f"verdict  {results / verdict.suite / 'runs' / verdict.run / 'verdict.json'}")
    return verdict.exit_code


def announce(verdict: Verdict) -> None:
    """The verdict on stdout; annotations too where GitHub reads them."""
    print_verdict(verdict, Console())
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(github_annotations(verdict), end="")
