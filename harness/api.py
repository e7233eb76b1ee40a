"""The library: the stages of the command line as functions with typed results. Prints nothing, exits nowhere.

Each function imports its own stage, so that `report` and `history` start without numpy and the suite's models.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.records.run_manifest import RunManifest
from harness.records.store import Store
from harness.records.verdict import Verdict
from harness.runner.run_options import RunOptions, called_with

if TYPE_CHECKING:
    from harness.comparison import Comparison
    from harness.explanations import Explanation
    from harness.gates.promoted_gates import PromotedGates
    from harness.runner.progress import Reporter
    from harness.suite.load import LoadedSuite
    from harness.trends import History, Selection

RESULTS = Path("results")
REPORTS = Path("reports")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run with its verdict."""

    manifest: RunManifest
    verdict: Verdict
    results: Path

    @property
    def exit_code(self) -> int:
        """What `quantgate run` would return: 0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 INVALID."""
        return self.verdict.exit_code


@dataclass(frozen=True)
class SuiteRun(RunOptions):
    """What `run` is called with: a suite, and by keyword what is said about this run of it."""

    suite: str | Path | LoadedSuite


@called_with(SuiteRun)
def run(asked: SuiteRun) -> Run:
    """Run a suite, judge it and store both. What exists already is not computed again.

    `label`: the version as its makers call it, for history and reports.
    `memory_budget`: bytes that scoring may take beside the weights; None is half of what is free. `stop_early`: stop a
    candidate once it can no longer hold a blocking limit; it FAILs, and what was not asked is not judged.
    `report_only`: compare and apply no gate; the exit code is 0.
    Raises `SuiteError` (the suite or its data is wrong), `RunError` and its children (the run could not be done).
    """
    from harness.runner.progress import Silent

    return run_reported(asked.suite, asked, Silent())


def run_reported(suite: str | Path | LoadedSuite, options: RunOptions, reporter: Reporter) -> Run:
    """`run`, with its progress reported to `reporter`."""
    from harness.suite.load import LoadedSuite, load_suite

    loaded = suite if isinstance(suite, LoadedSuite) else load_suite(Path(suite))
    if loaded.suite.imports:
        from harness.runner.imported_run import run_imports as make_run
    else:
        from harness.runner.schedule import run_suite as make_run
    manifest = make_run(loaded, options, reporter)
    verdict = gate(manifest, results=options.results, report_only=options.report_only)
    return Run(manifest=manifest, verdict=verdict, results=Path(options.results))


def find(run: str | RunManifest | Run, results: str | Path = RESULTS) -> RunManifest:
    """A run by its manifest, id, unique beginning of an id, suite name or `latest`."""
    if isinstance(run, Run):
        return run.manifest
    return run if isinstance(run, RunManifest) else Store(Path(results)).find_run(run)


def compare(run: str | RunManifest | Run, *, results: str | Path = RESULTS) -> Comparison:
    """Pair every candidate of a saved run with its baseline. Raises `RecordError` for damaged records."""
    from harness.comparison import compare_run

    return compare_run(Store(Path(results)), find(run, results))


def gate(
    run: str | RunManifest | Run,
    *,
    suite: str | Path | LoadedSuite | None = None,
    results: str | Path = RESULTS,
    save: bool = True,
    report_only: bool = False,
) -> Verdict:
    """Judge a saved run: under its own gates, or under those of another suite file.

    With `suite`, tasks whose definition or data differ from the run's make it INVALID. `report_only`: no gate is
    applied.
    """
    from harness.comparison import compare_run
    from harness.gates import judge
    from harness.gates.conditions import changed_tasks
    from harness.suite.load import LoadedSuite, load_suite, parse_suite

    store = Store(Path(results))
    manifest = run.manifest if isinstance(run, Run) else run if isinstance(run, RunManifest) else store.find_run(run)
    if suite is None:
        loaded = parse_suite(manifest.suite_text, Path(manifest.suite_file))
        changed: dict[str, str] = {}
    else:
        loaded = suite if isinstance(suite, LoadedSuite) else load_suite(Path(suite))
        changed = changed_tasks(manifest, loaded)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    comparison = compare_run(store, manifest)
    before = _promoted_suite(comparison)
    verdict = judge(loaded.suite, comparison, judged_at=now, changed=changed, before=before, report_only=report_only)
    if store.without_checksum:
        verdict = verdict.model_copy(update={"method": (*verdict.method, _unsealed(len(store.without_checksum)))})
    if save:
        store.save_verdict(verdict)
    return verdict


def _unsealed(count: int) -> str:
    return (
        f"{count} of the records read carry no checksum, because an earlier version of quantgate wrote them: whether "
        "they were changed since then is unknown."
    )


def history(suite: str, *, results: str | Path = RESULTS, selection: Selection | None = None) -> History:
    """The runs of the suite of this name over time, figures in series and shifts marked.

    A run whose verdict is missing or damaged is named in `skipped`. Raises `UsageError` for a suite without runs or a
    selection that fits nothing, `RecordError` when no run could be read.
    """
    from harness.trends.collect import collect_stored

    return collect_stored(Store(Path(results)), suite, selection)


def _promoted_suite(comparison: Comparison) -> PromotedGates | None:
    """The suite of the last promoted version, as its run stored it."""
    from harness.errors import SuiteError
    from harness.gates.promoted_gates import PromotedGates
    from harness.suite.load import parse_suite

    version = comparison.reference_version
    if version is None:
        return None
    if version.run is None:
        return PromotedGates(label=version.label, suite=None)
    try:
        suite = parse_suite(version.run.suite_text, Path(version.run.suite_file)).suite
    except SuiteError:  # written for another version of quantgate; the report says so
        suite = None
    return PromotedGates(label=version.label, suite=suite)


def explain(
    run: str | RunManifest | Run,
    gate: str,
    *,
    variant: str | None = None,
    slice: str | None = None,  # noqa: A002  # the suite's own word
    flips: int = 10,
    results: str | Path = RESULTS,
) -> tuple[Explanation, ...]:
    """How each finding of a gate came about: its numbers, the formula with them, its inputs, what would change it.

    `gate`: `gates[2]`, `2`, a gate's name, `task/metric` or a metric. The verdict is the stored one, or judged now
    where there is none. Raises `UsageError` for a gate, variant or slice that the run has not, `RecordError` for
    damaged records.
    """
    from harness.explanations import Shown, choose, explain_findings

    manifest = find(run, results)
    store = Store(Path(results))
    judged = (store.run_folder(manifest.suite, manifest.run) / "verdict.json").exists()
    verdict = store.verdict(manifest.suite, manifest.run) if judged else _judged(manifest, results)
    chosen = choose(verdict, gate, variant=variant, slice_name=slice)
    return explain_findings(store, manifest, chosen, Shown(flips=flips, results=str(results)))


def _judged(manifest: RunManifest, results: str | Path) -> Verdict:
    return gate(manifest, results=results, save=False)


def report(
    verdict: Verdict | str | RunManifest | Run,
    *,
    results: str | Path = RESULTS,
    reports: str | Path = REPORTS,
) -> Path:
    """Write a verdict in every format that has a file: `report.html`, `report.md`, `junit.xml`; returns the HTML
    file's path."""
    from harness.reports.formats import FORMATS, write_reports

    if isinstance(verdict, Run):
        verdict = verdict.verdict
    if not isinstance(verdict, Verdict):
        manifest = find(verdict, results)
        verdict = Store(Path(results)).verdict(manifest.suite, manifest.run)
    folder = Path(reports) / verdict.suite / verdict.run
    write_reports(verdict, folder)
    return folder / FORMATS["html"].file
