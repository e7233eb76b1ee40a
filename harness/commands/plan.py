"""`quantgate plan`, and the same tables inside `quantgate check`: what a suite can certify, and how long it takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import EngineError, SuiteError, UsageError
from harness.gates.validity_checks import leak_words
from harness.metrics.table import derived
from harness.notation import duration

if TYPE_CHECKING:
    from harness.forecast.certify import Certificate
    from harness.forecast.past_runs import VariantTime
    from harness.gates.noise_floor import Tight
    from harness.planning.task_plan import TaskPlan
    from harness.suite.load import LoadedSuite

WIDE = 100
"""Columns of text from which on the table says what each figure rests on."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is known of a suite before it runs."""

    plans: Sequence[TaskPlan]
    gates: tuple[Certificate, ...]
    tight: tuple[Tight, ...]
    """Gates below the noise floor of an earlier run."""
    noise_run: str | None
    times: tuple[VariantTime, ...]
    creeping: tuple[tuple[str, str], ...] = ()
    """Gates against the last promoted version with no gate from the baseline beside them: place and what is wrong."""
    answers: tuple[tuple[str, str], ...] = ()
    """Gates on several answers to an item: place, and what more answers or more items would certify."""


def plan_command(path: Path, *, results: Path, limit: int | None, as_json: bool) -> int:
    """Print what each gate can certify; returns the exit code. Raises `SuiteError` for what is wrong with the suite."""
    from harness.runner.preflight import preflight_problems
    from harness.suite.load import load_suite

    loaded = load_suite(path)
    standing = preflight_problems(loaded)
    try:
        found = forecast(loaded, results, limit)
    except (EngineError, SuiteError, ImportError, OSError) as error:
        if not standing:
            raise
        Console(stderr=True).print(f"no plan without the baseline's tokenizer: {error}", markup=False, highlight=False)
        return 3
    if as_json:
        print(json.dumps(_plain(loaded, found, standing), indent=1))
    else:
        console = Console()
        print_tasks(found.plans, console)
        print_forecast(found, console)
        for each in standing:
            console.print(f"cannot run here: {each}", markup=False, highlight=False)
    return 3 if standing else 0


def forecast(loaded: LoadedSuite, results: Path, limit: int | None) -> Forecast:
    """Plan the suite and hold its gates against what earlier runs in `results` showed."""
    from harness.forecast.answers_or_items import answers_or_items
    from harness.forecast.certify import certificates
    from harness.forecast.past_runs import durations, history
    from harness.gates.noise_floor import tight_gates
    from harness.records.store import Store
    from harness.runner.host import this_host
    from harness.runner.imported_run import imported_plans
    from harness.suite.crosscheck import missing_baseline_warnings
    from harness.suite.load import dotted

    if limit is not None and limit < 1:
        raise UsageError(f"--limit: expected an integer of at least 1, got {limit}")
    plans = imported_plans(loaded) if loaded.suite.imports else _own_plans(loaded, limit)
    seen = history(Store(results), loaded.suite, host=this_host().fingerprint)
    return Forecast(
        plans=plans,
        gates=certificates(loaded.suite, plans, seen),
        answers=answers_or_items(loaded.suite, plans, seen),
        tight=tight_gates(loaded.suite, seen.noise, seen.levels, seen.gains) if seen.noise is not None else (),
        noise_run=seen.noise_run,
        times=() if loaded.suite.imports else durations(loaded.suite, plans, seen),
        creeping=tuple((dotted(where), says) for where, says in missing_baseline_warnings(loaded.suite)),
    )


def _own_plans(loaded: LoadedSuite, limit: int | None) -> Sequence[TaskPlan]:
    """What a run would ask, by the baseline's tokenizer."""
    from harness.planning.plan_suite import plan_suite
    from harness.runner.generation_settings import rules_for
    from harness.runner.variants import context_length, resolve_variant, suite_tokenizer

    baseline = resolve_variant(loaded, loaded.suite.baseline, offline=False)
    tokenizer = suite_tokenizer(baseline)
    rules = rules_for(loaded, baseline.load, tokenizer)
    plans = plan_suite(loaded, tokenizer, context_length=context_length(baseline), limit=limit, decoding=rules.decoding)
    rules.insist(plans)
    return plans


def _measured(plan: TaskPlan) -> tuple[str, ...]:
    """The metrics that a task stores; where its answers are scored by none, those that follow from the answers."""
    if plan.kind == "perplexity":
        return plan.metrics or (("perplexity", "divergence") if plan.divergence else ("perplexity",))
    return plan.metrics or tuple(row.name for row in derived(plan.kind))


def print_tasks(plans: Sequence[TaskPlan], console: Console) -> None:
    """Items, tokens and metrics of each task."""
    table = Table(box=None, pad_edge=False)
    for heading in ("task", "kind", "items", "tokens", "too long", "metrics"):
        table.add_column(heading, justify="right" if heading in ("items", "tokens", "too long") else "left")
    for plan in plans:
        table.add_row(
            plan.name,
            plan.kind,
            f"{len(plan.items):,}",
            f"{sum(item.tokens for item in plan.items):,}",
            str(sum(item.too_long is not None for item in plan.items)),
            ", ".join(_measured(plan)),
        )
    console.print(table)
    for plan in plans:
        for said in plan.said:
            console.print(f"  {plan.name}: {said}", markup=False, highlight=False)
        for note in plan.notes:
            console.print(f"  {note}", markup=False, highlight=False)
        if plan.leak is not None:
            mark = "; a run would be INVALID" if plan.leak.matters else ""
            console.print(f"! {leak_words(plan.name, plan.leak)}{mark}", markup=False, highlight=False)


def print_forecast(found: Forecast, console: Console) -> None:
    """The table of gates, a sentence for each that cannot be expected to PASS, noise and time."""
    if found.gates:
        _print_gates(found, console)
    else:
        console.print("\nthe suite sets no gate: everything is measured, nothing is judged")
    for row in found.gates:
        if not row.enough:
            console.print(f"! {row.gate}  {row.says}", markup=False, highlight=False)
    for tight in found.tight:
        says = f"! {tight.gate}  {tight.says} (noise floor of {found.noise_run})"
        console.print(says, markup=False, highlight=False)
    for where, says in found.answers:
        console.print(f"  {where}  {says}", markup=False, highlight=False)
    for where, says in found.creeping:
        console.print(f"! {where}  {says}", markup=False, highlight=False)
    if any(row.certifies is None and row.enough for row in found.gates):
        console.print("  unknown: how much these figures spread shows in the first run")
    if found.times:  # imported results take none
        console.print(f"\n{time_words(found.times)}", markup=False, highlight=False)


def _print_gates(found: Forecast, console: Console) -> None:
    console.print("\nwhat each gate can certify with 80 % power", style="bold")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    columns = ("", "gate", "judges", "limit", "count", "certifies", "needs", "by")
    headings = columns if console.width >= WIDE else columns[:-1]
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("count", "needs") else "left", overflow="fold")
    for row in found.gates:
        cells = (
            " " if row.enough else "!",
            row.place,
            row.judges,
            row.limit,
            "" if row.count is None else f"{row.count:,}",
            row.certifies or ("unknown" if row.possible else "cannot PASS"),
            "" if row.needs is None else f"{row.needs:,}",
            "" if row.basis is None else row.basis.what,
        )
        table.add_row(*map(Text, cells[: len(headings)]))
    console.print(table)
    console.print()


def time_words(times: Sequence[VariantTime]) -> str:
    """The time of a run from nothing, or that it is unknown."""
    known = [each for each in times if each.seconds is not None]
    if not known:
        return "time: unknown until the first run on this machine"
    parts = [
        f"{each.variant} {'about ' if each.rough else ''}{duration(each.seconds)}"
        + (f" without {', '.join(each.unknown)}" if each.unknown else "")
        for each in known
    ]
    missing = [each.variant for each in times if each.seconds is None]
    total = duration(sum(each.seconds or 0.0 for each in known))
    words = f"time from nothing, by earlier runs on this machine: {total} ({'; '.join(parts)})"
    if any(each.rough for each in known):
        words += "; about: by the slowest other variant's pace"
    return words + (f"; unknown for {', '.join(missing)}" if missing else "")


def _gate(row: Certificate) -> dict[str, object]:
    return {
        "gate": row.gate,
        "says": row.says,
        "enough": row.enough,
        "judges": row.judges,
        "limit": row.limit,
        "count": row.count,
        "certifies": row.certifies,
        "needs": row.needs,
        "basis": "" if row.basis is None else str(row.basis),
        "possible": row.possible,
    }


def _plain(loaded: LoadedSuite, found: Forecast, standing: Sequence[str]) -> dict[str, object]:
    return {
        "suite": loaded.suite.suite,
        "tasks": [
            {
                "task": plan.name,
                "kind": plan.kind,
                "items": len(plan.items),
                "tokens": sum(item.tokens for item in plan.items),
                "too_long": sum(item.too_long is not None for item in plan.items),
            }
            for plan in found.plans
        ],
        "gates": [_gate(each) for each in found.gates],
        "below_noise": {"run": found.noise_run, "gates": [asdict(each) for each in found.tight]},
        **({"answers": [{"gate": gate, "says": says} for gate, says in found.answers]} if found.answers else {}),
        "creeping": [{"gate": gate, "says": says} for gate, says in found.creeping],
        "time": [asdict(each) for each in found.times],
        "obstacles": list(standing),
    }
