"""`quantgate explain`: how the findings of a gate came about, for a reader with a calculator."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness import api


def print_explanations(
    run: str,
    gate: str,
    results: Path,
    *,
    variant: str | None,
    slice_name: str | None,
    flips: int,
    full: bool,
    as_json: bool,
) -> None:
    """Print them as text or JSON. Raises as `api.explain`."""
    from harness.explanations import text

    found = api.explain(run, gate, variant=variant, slice=slice_name, flips=flips, results=results)
    if as_json:
        print(text.as_json(found))
        return
    console = Console()
    for each in found:
        text.print_explanation(each, console, full=full)
