"""What else a reader should know: checks that do not block, the plan's notes, waivers, changed gates, drift."""

from __future__ import annotations

from collections.abc import Iterator

from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Line, Lines, Section
from harness.reports.sections.slices import moved_words


def section(verdict: Verdict) -> Section | None:
    """None where there is nothing to note."""
    lines = tuple(_lines(verdict))
    return Section(blocks=(Lines(kind="note", lines=lines),)) if lines else None


def _lines(verdict: Verdict) -> Iterator[Line]:
    checks: dict[str, list[str]] = {}
    for _, candidate in wording.sides(verdict):
        name = verdict.baseline if candidate is None else candidate.variant
        for check in verdict.baseline_checks if candidate is None else candidate.checks:
            if not check.held and not check.blocks:
                checks.setdefault(f"{check.name}: {check.says}", []).append(name)
    for says, names in checks.items():  # Markdown and CI have them with the reasons
        yield Line(label="note", about=tuple(names), text=says, only=("terminal",))
    yield from (Line(label="note", text=note) for task in verdict.tasks for note in task.notes)
    for waiver in verdict.waivers:
        if waiver.state != "used":
            yield Line(label="note", text=waiver.says, annotation="waiver")
    for change in verdict.gate_changes:
        word = "looser" if change.looser else "tighter" if change.looser is False else "changed"
        yield Line(label="note", text=f"{word} gate: {change.says}", annotation="changed gate")
    for candidate in verdict.candidates:
        about = (candidate.variant,)
        if moved := moved_words(candidate):
            yield Line(label="note", about=about, text=f"{moved} (decides nothing)", only=("terminal",))
        for drift in candidate.creep:
            if drift.limit is not None or drift.step_decision is not None:
                yield Line(label="note", about=about, text=f"{drift.task} {drift.metric} over versions: {drift.says}")
