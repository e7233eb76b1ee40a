"""The verdict as GitHub/GitLab Markdown: a comment under a pull request or a job summary.

Text from a model or an engine is escaped so that it can form no markup, no table cell, no mention, no link.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from harness.notation import EMOJI, confidence, duration, significant
from harness.records.findings import Check, Finding
from harness.records.measures import Flip
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import figures, retained_lines
from harness.reports.headline import columns
from harness.reports.noise_lines import noise_line
from harness.reports.safe_text import one_line, visible
from harness.reports.slice_lines import moved_change, moved_interval, telling

FLIPS_SHOWN = 5
FINDINGS_SHOWN = 20
MOVED_SHOWN = 10
LONGEST_ANSWER = 600
_MARKUP = re.compile(r"([\\`*_{}\[\]()!|~$^])")
_AT_START = re.compile(r"^(\s*)([-+]|\d+\.)(\s|$)")


def render_markdown(verdict: Verdict) -> str:
    """Verdict sentence, one table row per candidate, the reasons, the first flips."""
    parts = [f"## {_mark(verdict)}{verdict.headline}: {escape(verdict.suite)}", ""]
    parts.append(escape(figures.sentence(verdict)))
    if verdict.partial:
        parts.append("**A partial run: not the whole suite.**")
    parts += ["", *_table(verdict), *_reasons(verdict)]
    parts += _retained(verdict)
    for candidate in verdict.candidates:
        parts += _moved(candidate)
        parts += _flips(candidate, verdict.baseline)
    if verdict.noise is not None:
        line = escape(noise_line(verdict.noise), longest=2000)
        parts += [f"Noise floor ({escape(verdict.baseline)} against itself): {line}", ""]
    parts += [
        f"<sub>Baseline {escape(verdict.baseline)} · run {escape(verdict.run)}"
        f"{f' ({escape(verdict.label)})' if verdict.label else ''} · "
        f"{duration(verdict.elapsed_s)} · bounds one-sided at {confidence(verdict.alpha)}"
        f" · quantgate {escape(verdict.quantgate)}</sub>",
        "",
    ]
    return "\n".join(parts)


def _mark(verdict: Verdict) -> str:
    return "" if verdict.report_only else f"{EMOJI[verdict.decision]} "


def write_markdown(verdict: Verdict, path: Path) -> None:
    """Write the Markdown to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, render_markdown(verdict).encode())


def escape(text: str, *, longest: int = 400) -> str:
    """One line of plain text. A zero-width space breaks mentions and issue numbers, an entity links."""
    escaped = html.escape(one_line(text, longest=longest), quote=False)
    escaped = _MARKUP.sub(r"\\\1", escaped)
    escaped = _AT_START.sub(r"\1\\\2\3", escaped)
    escaped = escaped.replace("@", "@\u200b").replace("#", "#\u200b")
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def _table(verdict: Verdict) -> list[str]:
    shown = columns(verdict)
    titles = [f"{escape(column.title)}<br>{escape(column.detail)}" for column in shown]
    lines = [
        "| " + " | ".join(["variant", "verdict", *titles]) + " |",
        "| " + " | ".join(["---", "---", *("---:" for _ in shown)]) + " |",
    ]
    for index, candidate in enumerate(verdict.candidates):
        word = figures.candidate_word(verdict, candidate.decision)
        word = f"{EMOJI[candidate.decision]} **{word}**" if word == candidate.decision else word
        cells = [escape(column.cells[index].text) for column in shown]
        lines.append("| " + " | ".join([escape(candidate.variant), word, *cells]) + " |")
    return [*lines, ""]


def _reasons(verdict: Verdict) -> list[str]:
    lines: list[str] = []
    parts = [(f"{verdict.baseline} (baseline)", verdict.baseline_findings, verdict.baseline_checks)]
    parts += [(each.variant, each.findings, each.checks) for each in verdict.candidates]
    for name, findings, checks in parts:
        own = [*_check_lines(checks), *_finding_lines(findings)]
        if own:
            lines += [f"**{escape(name)}**", "", *own, ""]
    said = (*figures.task_notes(verdict), *figures.waiver_notes(verdict), *figures.change_notes(verdict))
    notes = [f"- note: {escape(says)}" for says in said]
    for each in verdict.candidates:
        notes += [f"- note: {escape(f'{each.variant}: {says}')}" for says in figures.creep_notes(each)]
    return [*lines, *notes, ""] if notes else lines


def _check_lines(checks: tuple[Check, ...]) -> list[str]:
    blocked = f"{EMOJI['INVALID']} INVALID"
    return [
        f"- {blocked if check.blocks else 'note'}: {escape(f'{check.name}: {check.says}')}"
        for check in checks
        if not check.held
    ]


def _finding_lines(findings: tuple[Finding, ...]) -> list[str]:
    said, left_out = telling([finding for finding in findings if finding.decision != "PASS"], FINDINGS_SHOWN)
    lines = [
        f"- {EMOJI[finding.decision]} {finding.decision}"
        f"{' (warning only)' if finding.severity == 'warn' else ''}: "
        f"{escape(figures.reason(finding))}"
        for finding in said
    ]
    return [*lines, f"- and {left_out:,} more on single slices"] if left_out else lines


def _moved(candidate: CandidateVerdict) -> list[str]:
    """Exploratory, so folded away and without a mark."""
    found = candidate.exploratory
    if found is None or not found.moved:
        return []
    lines = [
        f"<details><summary>{html.escape(one_line(candidate.variant))}: {len(found.moved):,} of {found.slices:,} "
        "slices moved (exploratory)</summary>",
        "",
        "| task | slice | change | bounds | items | q |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for each in found.moved[:MOVED_SHOWN]:
        cells = (each.task, figures.slice_name(each.slice), moved_change(each), moved_interval(each))
        lines.append(f"| {' | '.join(map(escape, cells))} | {each.n:,} | {significant(each.q)} |")
    more = len(found.moved) - MOVED_SHOWN
    return [*lines, "", *([f"and {more:,} more", ""] if more > 0 else []), "</details>", ""]


def _retained(verdict: Verdict) -> list[str]:
    title = retained_lines.heading(verdict)
    if title is None or verdict.base is None:
        return []
    told = [(each.variant, retained_lines.line(each)) for each in verdict.candidates if verdict.base.note is None]
    lines = [f"- {escape(name)}: {escape(line)}" for name, line in told if line is not None]
    return [f"**{escape(title)}**", "", *lines, *([""] if lines else [])]


def _flips(candidate: CandidateVerdict, baseline: str) -> list[str]:
    worse = [flip for flip in candidate.flips if flip.direction == "right_to_wrong"][:FLIPS_SHOWN]
    total = sum(candidate.flips_total.values())
    if not worse:
        return []
    lines = [
        f"<details><summary>{html.escape(one_line(candidate.variant))}: {total} flip{'s' if total != 1 else ''}, "
        f"{len(worse)} of those that went wrong</summary>",
        "",
    ]
    for flip in worse:
        lines += _flip(flip, candidate.variant, baseline)
    return [*lines, "</details>", ""]


def _flip(flip: Flip, variant: str, baseline: str) -> list[str]:
    """In a `pre` block nothing is read as Markdown, and mentions are not looked for. Entities keep a CI that
    sees the raw text from taking a line for a command."""
    texts = (("prompt", flip.prompt), ("expected", flip.expected))
    answers = ((baseline, flip.baseline_answer), (variant, flip.candidate_answer))
    lines = [f"{escape(flip.task)} {escape(flip.item)}", "", "<pre>"]
    for name, text in (*texts, *answers):
        shown = visible(text, longest=LONGEST_ANSWER).replace("\n", "\n    ")
        escaped = html.escape(f"{one_line(name)}: {shown}")
        lines.append(escaped.replace("::", "&#58;:").replace("##", "&#35;#"))
    return [*lines, "</pre>", ""]
