"""`quantgate check`: everything about a suite that can be known without loading a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.errors import EngineError, SuiteError
from harness.runner.base_model import NAME
from harness.runner.preflight import preflight_problems
from harness.suite.describe import quantization_words
from harness.suite.load import LoadedSuite, dotted, load_suite
from harness.suite.waivers import waiver_warnings

if TYPE_CHECKING:
    from harness.planning.task_plan import TaskPlan


def check_suite(path: Path, *, limit: int | None, results: Path) -> int:
    """Print the plan of a suite; returns the exit code. Raises `SuiteError` for what is wrong with it."""
    loaded = load_suite(path)
    console = Console()
    _variants(loaded, console)
    _waivers(loaded, console)
    standing = preflight_problems(loaded)
    if standing:
        console.print("cannot run here", style="bold")
        for each in standing:
            console.print(f"  {each}", markup=False, highlight=False)
    plans = _plan(loaded, console, limit, results, standing)
    if plans is None:
        return 3
    if standing:
        console.print("The suite is well formed, but parts of it cannot run here (see above).")
        return 3
    if doomed := [plan.name for plan in plans if plan.leak is not None and plan.leak.matters]:
        says = f"{loaded.shown} can be run, but would be INVALID: see {', '.join(doomed)} above"
        console.print(says, markup=False, highlight=False)
        return 0
    console.print(f"{loaded.shown} is ready: quantgate run {loaded.shown}", markup=False, highlight=False)
    return 0


def _variants(loaded: LoadedSuite, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("variant", "engine", "precision"):
        table.add_column(heading)
    for name, variant in loaded.suite.variants.items():
        mark = " (baseline)" if variant.baseline else ""
        table.add_row(f"{name}{mark}", variant.engine_row.name, quantization_words(variant))
    if (base := loaded.suite.base) is not None:
        baseline = loaded.suite.variants[loaded.suite.baseline]
        table.add_row(NAME, baseline.engine_row.name, base.dtype or quantization_words(baseline))
    console.print(table)
    console.print()


def _waivers(loaded: LoadedSuite, console: Console) -> None:
    """Every waiver, and what is odd about its date."""
    if not loaded.suite.waivers:
        return
    console.print("waivers", style="bold")
    for waiver in loaded.suite.waivers:
        what = " ".join(part for part in (waiver.gate, waiver.slice, waiver.workload) if part)
        line = f"  {what} for {waiver.variant} until {waiver.until} by {waiver.by}: {waiver.reason}"
        console.print(line, markup=False, highlight=False)
    for where, message in waiver_warnings(loaded.suite, datetime.now(UTC).date()):
        console.print(f"! {dotted(where)}: {message}", markup=False, highlight=False)
    console.print()


def _calibrations(loaded: LoadedSuite, plans: Sequence[TaskPlan], standing: tuple[str, ...]) -> Iterator[str]:
    """What each variant's calibration data shares with the items. Raises `SuiteError` where there is too little."""
    from harness.quantization.calibration import draw
    from harness.quantization.overlap import overlap_with
    from harness.runner.made_checkpoints import calibration_texts, calibration_tokenizer

    for name, variant in loaded.suite.variants.items():
        if variant.quantize is None or (spec := variant.quantize.calibration) is None:
            continue
        texts = calibration_texts(loaded, name)
        try:
            tokenizer = calibration_tokenizer(loaded, name)
        except (EngineError, SuiteError, ImportError) as error:
            if not standing:
                raise
            yield f"{name}: whether its calibration data is enough is unknown without its tokenizer: {error}"
        else:
            draw(loaded, spec, tokenizer, f"variants.{name}.quantize.calibration")
        for plan in plans:
            found = overlap_with(plan, texts)
            mark = " (a run would be INVALID)" if found.exact else ""
            yield (
                f"{name}: calibration and {plan.name}: {found.exact} equal texts{mark}, {found.copied} more with long "
                f"passages in common; word distributions {found.distance:.2f} apart"
            )


def _plan(
    loaded: LoadedSuite, console: Console, limit: int | None, results: Path, standing: tuple[str, ...]
) -> Sequence[TaskPlan] | None:
    """Items, tokens and certificates; None where the tokenizer is not available."""
    from harness.commands.plan import forecast, print_forecast, print_tasks

    try:
        found = forecast(loaded, results, limit)
    except (EngineError, ImportError, OSError) as error:  # a mistake in the suite is one, whatever is missing here
        if not standing:
            raise
        console.print(f"no plan without the baseline's tokenizer: {error}", markup=False, highlight=False)
        return None
    print_tasks(found.plans, console)
    for line in _calibrations(loaded, found.plans, standing):
        console.print(f"  {line}", markup=False, highlight=False)
    print_forecast(found, console)
    console.print()
    return found.plans
