"""`quantgate import`: a suite of imported variants, from a file with gates or as a starter, and the run of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.commands.run import forget, report_loaded
from harness.errors import UsageError, unwritable
from harness.imports.open_side import open_side, plain_name
from harness.imports.shape import READERS, ImportedSide
from harness.imports.suite_text import Import, starter, with_variants
from harness.runner.run_options import RunOptions
from harness.suite.load import LoadedSuite, parse_suite, read_suite_text


@dataclass(frozen=True, kw_only=True)
class Imports:
    """What the command line names."""

    form: str
    paths: tuple[str, ...]
    """The baseline's and the candidates', each `PATH` or `NAME=PATH`."""
    gates: Path | None
    suite: str
    out: Path | None


def import_results(asked: Imports, options: RunOptions, *, reports: Path, outcome: Path | None) -> int:
    """Import, judge, report; returns the exit code. Raises `UsageError` and `SuiteError`."""
    if outcome is not None:
        forget(outcome)
    if asked.form not in READERS:
        raise UsageError(f"{asked.form}: is no format that can be imported; expected one of {', '.join(READERS)}")
    if plain_name(asked.suite) != asked.suite:
        raise UsageError(f"--suite {asked.suite}: expected letters, digits, '.', '_' and '-'")
    imports = tuple(_named(asked))
    loaded = _started(asked, imports) if asked.gates is None else _judged_by(asked.gates, asked.suite, imports)
    return report_loaded(loaded, options, reports=reports, outcome=outcome)


def _named(asked: Imports) -> list[Import]:
    """Raises `UsageError` for two of one name."""
    found: dict[str, Import] = {}
    for text in asked.paths:
        name, given, path = text.partition("=")
        place = Path(path if given else text)
        name = name if given else plain_name(place.resolve().name)
        if plain_name(name) != name:
            raise UsageError(f"{text}: expected a name of letters, digits, '.', '_' and '-' before =, got {name!r}")
        if name in found:
            raise UsageError(f"{found[name].path} and {place} would both be called {name}; write NAME=PATH for one")
        found[name] = Import(name=name, path=place.resolve(), form=asked.form)
    return list(found.values())


def _judged_by(gates: Path, suite: str, imports: tuple[Import, ...]) -> LoadedSuite:
    """The suite in a file, with these variants in the place of its own."""
    return parse_suite(with_variants(read_suite_text(gates), imports, suite=suite), gates)


def _started(asked: Imports, imports: tuple[Import, ...]) -> LoadedSuite:
    """A starter suite for what the baseline's files hold, written where it can be edited."""
    out = asked.out or Path("suites") / f"{asked.suite}.yaml"
    if out.exists():
        raise UsageError(f"{out}: is there already; judge by it with --gates {out}, or choose another with --out")
    side: ImportedSide = open_side(imports[0].path, asked.form)
    text = starter(side, imports, suite=asked.suite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
    except OSError as error:
        raise UsageError(unwritable(out, error)) from error
    print(f"wrote    {out} (edit its gates, then: quantgate run {out})")
    return parse_suite(text, out)
