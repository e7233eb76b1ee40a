"""`quantgate run`: progress on stderr, verdict on stdout, reports in their folder."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from harness import api
from harness.errors import RunError, UsageError, unwritable
from harness.output import commands
from harness.records.verdict import Verdict
from harness.reports.formats import FORMATS
from harness.runner.run_options import RunOptions

if TYPE_CHECKING:
    from harness.suite.load import LoadedSuite


def run_and_report(suite: Path, options: RunOptions, *, reports: Path, outcome: Path | None = None) -> int:
    """Run, judge, report; returns the exit code. `outcome`: a file for programs, which exists only once this run was
    judged and reported."""
    from harness.suite.load import load_suite

    if outcome is not None:
        forget(outcome)
    return report_loaded(load_suite(suite), options, reports=reports, outcome=outcome)


def report_loaded(loaded: LoadedSuite, options: RunOptions, *, reports: Path, outcome: Path | None = None) -> int:
    """As `run_and_report`, of a suite that is loaded already."""
    check_folder(reports)
    from harness.runner.progress import reporter

    with reporter(Console(stderr=True)) as progress:
        done = api.run_reported(loaded, options, progress)
    verdict, results = done.verdict, done.results
    page = api.report(verdict, results=results, reports=reports)
    if outcome is not None:
        _write_outcome(outcome, verdict, results, page.parent)
    announce(verdict)
    print(f"run      {verdict.run}{f' ({verdict.label})' if verdict.label else ''}\nreport   {page}")
    print(f"verdict  {results / verdict.suite / 'runs' / verdict.run / 'verdict.json'}")
    return verdict.exit_code


def check_folder(folder: Path) -> None:
    """Raises `RunError` for a folder that no report could be written to: before a model is measured for it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunError(unwritable(folder, error)) from error


def forget(outcome: Path) -> None:
    """What an earlier run left there is no outcome of this one."""
    try:
        outcome.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--outcome {outcome}: {error.strerror}") from error


def _write_outcome(outcome: Path, verdict: Verdict, results: Path, folder: Path) -> None:
    """What this run made, for the calling process. Written last, by rename."""
    records = results / verdict.suite / "runs" / verdict.run
    says = {
        "run": verdict.run,
        "exit_code": verdict.exit_code,
        "records": str(records),
        "verdict": str(records / "verdict.json"),
        "reports": str(folder),
        **{each.name: str(folder / each.file) for each in FORMATS.values() if each.file},
    }
    scratch = outcome.with_name(f"{outcome.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(says, indent=2) + "\n")
        scratch.replace(outcome)
    except OSError as error:
        raise RunError(unwritable(outcome, error)) from error


def announce(verdict: Verdict) -> None:
    """The verdict on stdout, in every format that is printed here."""
    for each in FORMATS.values():
        if each.ci and os.environ.get(each.ci) == "true":
            commands(each.render(verdict))
        elif not each.ci and not each.file:
            sys.stdout.write(each.render(verdict))
