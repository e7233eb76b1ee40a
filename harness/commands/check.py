"""`quantgate check`: everything about a suite that can be known without loading a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from harness.errors import SuiteError
from harness.run.obstacles import obstacles
from harness.spec.describe import quantization_words
from harness.spec.load import LoadedSuite, dotted, load_suite
from harness.spec.waivers import waiver_warnings

if TYPE_CHECKING:
    from harness.plan.build import TaskPlan


def check_suite(path: Path, *, limit: int | None) -> int:
    """Print the plan of a suite; returns the exit code. Raises `SuiteError` for what is wrong with it."""
    loaded = load_suite(path)
    console = Console()
    _variants(loaded, console)
    _waivers(loaded, console)
    standing = obstacles(loaded)
    if standing:
        console.print("cannot run here", style="bold")
        for each in standing:
            console.print(f"  {each}", markup=False, highlight=False)
    if not _plan(loaded, console, limit, standing):
        return 3
    if standing:
        console.print("The suite is well formed, but parts of it cannot run here (see above).")
        return 3
    console.print(f"{loaded.shown} is ready: quantgate run {loaded.shown}", markup=False, highlight=False)
    return 0


def _variants(loaded: LoadedSuite, console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("variant", "engine", "precision"):
        table.add_column(heading)
    for name, variant in loaded.suite.variants.items():
        mark = " (baseline)" if variant.baseline else ""
        table.add_row(f"{name}{mark}", variant.runtime, quantization_words(variant))
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


def _calibrations(loaded: LoadedSuite, plans: Sequence[TaskPlan]) -> Iterator[str]:
    """What each variant's calibration data shares with the items."""
    from harness.quantize.overlap import overlap_with
    from harness.run.variants import calibration_texts

    for name in loaded.suite.variants:
        texts = calibration_texts(loaded, name)
        for plan in plans if texts else ():
            found = overlap_with(plan, texts)
            mark = " (a run would be INVALID)" if found.exact else ""
            yield (
                f"{name}: calibration and {plan.name}: {found.exact} equal texts{mark}, {found.copied} more with long "
                f"passages in common; word distributions {found.distance:.2f} apart"
            )


def _plan(loaded: LoadedSuite, console: Console, limit: int | None, standing: tuple[str, ...]) -> bool:
    """Items, tokens and certificates; False where the tokenizer cannot be had."""
    from harness.errors import EngineError
    from harness.plan.build import plan_suite
    from harness.plan.certify import certificates
    from harness.run.variants import context_length, resolve_variant, suite_tokenizer

    try:
        baseline = resolve_variant(loaded, loaded.suite.baseline, offline=False)
        tokenizer = suite_tokenizer(baseline)
        length = context_length(baseline)
    except (EngineError, SuiteError, ImportError, OSError) as error:
        if not standing:
            raise
        console.print(f"no plan without the baseline's tokenizer: {error}", markup=False, highlight=False)
        return False
    plans = plan_suite(loaded, tokenizer, context_length=length, limit=limit)
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("task", "left"), ("kind", "left"), ("items", "right"), ("tokens", "right")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    table.add_column("too long", justify="right")
    table.add_column("metrics")
    for plan in plans:
        table.add_row(
            plan.name,
            plan.kind,
            f"{len(plan.items):,}",
            f"{sum(item.tokens for item in plan.items):,}",
            str(sum(item.too_long is not None for item in plan.items)),
            ", ".join(plan.metrics) or ("perplexity, divergence" if plan.divergence else "perplexity"),
        )
    console.print(table)
    for plan in plans:
        for note in plan.notes:
            console.print(f"  {note}", markup=False, highlight=False)
    for line in _calibrations(loaded, plans):
        console.print(f"  {line}", markup=False, highlight=False)
    console.print("\nwhat each gate can certify", style="bold")
    for row in certificates(loaded.suite, plans):
        mark = " " if row.enough else "!"
        console.print(f"{mark} {row.gate:<10} {row.says}", markup=False, highlight=False)
    console.print()
    return True
