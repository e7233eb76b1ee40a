"""The command line: arguments, stage calls, exit code. Every command is a few lines; the work is elsewhere."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import Field, fields, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from harness.runner.run_options import Option, RunOptions

app = typer.Typer(
    name="quantgate",
    help="Gate quantized variants of a fine-tuned model on paired evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def size(text: str) -> int:
    """Bytes from a number with a unit, such as 512MiB or 4GB."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)", text.strip())
    if found is None or found[2].upper() not in UNITS or not (bytes_ := int(float(found[1]) * UNITS[found[2].upper()])):
        raise typer.BadParameter(f"expected a size such as 512MiB or 4GB, got {text!r}")
    return bytes_


SuiteFile = Annotated[Path, typer.Argument(metavar="SUITE", help="The suite, a YAML file.")]
RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Run id or its beginning, a suite's name (its newest run), or latest."),
]
Results = Annotated[Path, typer.Option(help="Folder of saved results.", envvar="QUANTGATE_RESULTS")]
Reports = Annotated[Path, typer.Option(help="Folder for reports.", envvar="QUANTGATE_REPORTS")]
ArtifactsFolder = Annotated[Path, typer.Option(help="Folder of made checkpoints.", envvar="QUANTGATE_ARTIFACTS")]
ReportOnly = Annotated[
    bool, typer.Option("--report-only", help="Only compare: no gate is applied, no verdict given, the exit code is 0.")
]
RESULTS, REPORTS, ARTIFACTS = Path("results"), Path("reports"), Path("artifacts")


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `options` is an option of the command line for each field that has a help text."""
    kinds = get_type_hints(RunOptions)
    shown = {each.name: each for each in fields(RunOptions) if each.metadata}
    signature = inspect.signature(command, eval_str=True)
    parts = [
        [_parameter(each, kinds[each.name]) for each in shown.values()] if name == "options" else [own]
        for name, own in signature.parameters.items()
    ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        said: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }
        options = RunOptions(**{name: said.pop(name) for name in shown.keys() & said.keys()})
        command(options=options, **said)

    call.__signature__ = signature.replace(parameters=list(chain(*parts)))  # type: ignore[attr-defined]
    return call


def _parameter(each: Field[Any], kind: Any) -> inspect.Parameter:
    shown: Option = each.metadata["option"]
    several = kind == tuple[str, ...]
    flags = () if shown.flag is None else (shown.flag,)
    option = typer.Option(*flags, help=shown.help, metavar=shown.size, parser=size if shown.size else None)
    return inspect.Parameter(
        each.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if several else each.default,
        annotation=Annotated[list[str] | None if several else kind, option],
    )


@app.command()
def check(
    suite: SuiteFile,
    limit: Annotated[int | None, typer.Option(help="As for run.")] = None,
    results: Results = RESULTS,
) -> None:
    """Validate a suite and print the plan: items, tokens, what each gate can certify, what cannot run here."""
    from harness.commands.check import check_suite

    raise typer.Exit(check_suite(suite, limit=limit, results=results))


@app.command()
def plan(
    suite: SuiteFile,
    limit: Annotated[int | None, typer.Option(help="As for run.")] = None,
    results: Results = RESULTS,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what each gate can certify with these items, what its limit needs, and how long a run takes."""
    from harness.commands.plan import plan_command

    raise typer.Exit(plan_command(suite, results=results, limit=limit, as_json=as_json))


@app.command()
def schema() -> None:
    """Print the suite's JSON Schema (draft-07), for editors."""
    import json

    from harness.suite.schema import suite_schema

    print(json.dumps(suite_schema(), indent=2))


@app.command()
def init(
    model: Annotated[str, typer.Argument(help="Model folder or hub id.")],
    out: Annotated[Path, typer.Option(help="Where to write the suite.")] = Path("suites/suite.yaml"),
) -> None:
    """Write a commented starter suite for a model."""
    from harness.suite.starter import write_starter

    for path in write_starter(model, out):
        print(f"wrote {path}")
    print(f"next: quantgate check {out}")


@app.command()
@with_run_options
def run(
    suite: SuiteFile,
    results: Results = RESULTS,
    reports: Reports = REPORTS,
    artifacts: ArtifactsFolder = ARTIFACTS,
    *,
    options: RunOptions,
    report_only: ReportOnly = False,
    outcome: Annotated[
        Path | None, typer.Option(help="Also write there, as JSON, what this run made and where; nothing if it fails.")
    ] = None,
) -> None:
    """Run a suite, judge it, write the reports. The exit code is the verdict."""
    from harness.commands.run import run_and_report

    options = replace(options, results=results, artifacts=artifacts, report_only=report_only)
    raise typer.Exit(run_and_report(suite, options, reports=reports, outcome=outcome))


@app.command("import")
def import_(
    form: Annotated[str, typer.Argument(metavar="FORMAT", help="lm-eval, inspect, nemo or jsonl.")],
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Folder or file of its results, or NAME=PATH.")],
    candidates: Annotated[
        list[str], typer.Argument(metavar="CANDIDATE...", help="The same of each model that is compared with it.")
    ],
    gates: Annotated[
        Path | None, typer.Option(help="Suite whose gates apply; without it a starter suite is written.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Name of the suite, where --gates names none.")] = "imported",
    out: Annotated[Path | None, typer.Option(help="Where to write the starter suite (suites/SUITE.yaml).")] = None,
    results: Results = RESULTS,
    reports: Reports = REPORTS,
    label: Annotated[str, typer.Option(help="What to call this version in history: a tag, a commit.")] = "",
    report_only: ReportOnly = False,
    outcome: Annotated[Path | None, typer.Option(help="As for run.")] = None,
) -> None:
    """Compare results that another program computed: store, judge and report them. The exit code is the verdict."""
    from harness.commands.import_results import Imports, import_results

    options = RunOptions(results=results, label=label, report_only=report_only)
    asked = Imports(form=form, paths=(baseline, *candidates), gates=gates, suite=suite, out=out)
    raise typer.Exit(import_results(asked, options, reports=reports, outcome=outcome))


@app.command()
def quantize(
    suite: SuiteFile,
    artifacts: ArtifactsFolder = ARTIFACTS,
    variant: Annotated[list[str] | None, typer.Option(help="Only this variant (repeatable).")] = None,
) -> None:
    """Make the checkpoints that a suite's variants ask for; what exists is not made again."""
    from harness.commands.quantize import make_checkpoints

    raise typer.Exit(make_checkpoints(suite, artifacts, tuple(variant or ())))


@app.command()
def doctor(
    method: Annotated[list[str] | None, typer.Option(help="Only this method (repeatable).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try every quantization method on a tiny model and say what works here, what needs building, what cannot."""
    from harness.commands.doctor import examine

    raise typer.Exit(examine(tuple(method or ()), as_json=as_json))


env = typer.Typer(name="env", help="Environments for libraries that exclude each other.", no_args_is_help=True)
app.add_typer(env)
EnvironmentName = Annotated[str, typer.Argument(metavar="NAME", help="A shipped environment, or a suite file.")]


@env.command("list")
def env_list() -> None:
    """The environments that ship, and which are built."""
    from harness.commands.environments import print_environments

    print_environments()


@env.command("build")
def env_build(name: EnvironmentName) -> None:
    """Build an environment, or every one that a suite names. One that is built is left as it is."""
    from harness.commands.environments import build

    build(name)


@env.command("remove")
def env_remove(name: EnvironmentName) -> None:
    """Delete a built environment."""
    from harness.commands.environments import remove

    remove(name)


@env.command("path")
def env_path(name: EnvironmentName) -> None:
    """Print the path of an environment's interpreter."""
    from harness.commands.environments import print_path

    print_path(name)


@app.command()
def compare(run: RunName = "latest", results: Results = RESULTS) -> None:
    """Print every measure of a saved run, without judging."""
    from harness.commands.saved import print_comparison

    print_comparison(run, results)


@app.command()
def gate(
    run: RunName = "latest",
    suite: Annotated[Path | None, typer.Option(help="Judge under this suite's gates instead.")] = None,
    results: Results = RESULTS,
    reports: Reports = REPORTS,
    report_only: ReportOnly = False,
) -> None:
    """Judge a saved run again, also under changed limits. The exit code is the verdict."""
    from harness.commands.saved import judge_again

    raise typer.Exit(judge_again(run, suite, results, reports, report_only=report_only))


@app.command()
def explain(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id or its beginning, a suite's name, or latest.")],
    gate: Annotated[str, typer.Argument(metavar="GATE", help="gates[2], 2, a gate's name, task/metric or a metric.")],
    variant: Annotated[str | None, typer.Option(help="Only this variant.")] = None,
    slice_: Annotated[str | None, typer.Option("--slice", help="Only this slice, field=value.")] = None,
    flips: Annotated[int, typer.Option(min=0, help="How many flipped items or documents to list.")] = 10,
    full: Annotated[bool, typer.Option("--full", help="Prompts and answers at length.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    results: Results = RESULTS,
) -> None:
    """Show how a gate's verdict came about: numbers, formula, flipped items, what would change it."""
    from harness.commands.explain import print_explanations

    print_explanations(run, gate, results, variant=variant, slice_name=slice_, flips=flips, full=full, as_json=as_json)


@app.command()
def report(run: RunName = "latest", results: Results = RESULTS, reports: Reports = REPORTS) -> None:
    """Write HTML, Markdown and JUnit from a saved verdict."""
    from harness import api

    print(api.report(run, results=results, reports=reports))


@app.command()
def history(
    suite: Annotated[str, typer.Argument(help="Name of the suite.")],
    results: Results = RESULTS,
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric (repeatable).")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only this task or workload (repeatable).")] = None,
    variant: Annotated[list[str] | None, typer.Option(help="Only this variant (repeatable).")] = None,
    last: Annotated[int | None, typer.Option(help="Only this many of the newest runs.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page with plots.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of text.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show each figure of a suite over its runs, with bounds, breaks between series and shifts of level."""
    from harness.commands.history import print_history
    from harness.errors import UsageError
    from harness.trends import Selection

    if csv and as_json:
        raise UsageError("--csv and --json: give one of them")
    print_history(
        suite,
        results,
        selection=Selection(
            metrics=tuple(metric or ()), tasks=tuple(task or ()), variants=tuple(variant or ()), last=last
        ),
        page=html,
        form="csv" if csv else "json" if as_json else "text",
    )


@app.command()
def show(
    run: RunName = "latest",
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl, csv, lm-eval or nel.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="New folder that lm-eval's and nel's files go into.")] = None,
    results: Results = RESULTS,
) -> None:
    """Export every item of a run: answers, log-likelihoods, metrics, per variant."""
    from harness.commands.show import export

    export(run, results, task=task, form=form, out=out)


@app.command()
def promote(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Run id or its beginning; with --list a suite's name.")],
    variant: Annotated[str, typer.Argument(help="The accepted variant.")] = "",
    name: Annotated[str, typer.Option(help="What to call it in reports, such as v12.")] = "",
    note: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also when it did not PASS, or the run is partial.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="Print the versions promoted so far.")] = False,
    results: Results = RESULTS,
) -> None:
    """Mark a variant as the last accepted version; later runs are also compared with it."""
    from harness.commands.saved import print_promoted, promote_version

    if as_list:
        print_promoted(run, results)
        return
    promote_version(run, variant, results, name=name, note=note, force=force)
