"""The noise floor: what the baseline does against itself, in a line and figure by figure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.notation import DASH, Notation, count, level, number, percent
from harness.records.measures import Noise, NoiseMeasure
from harness.records.verdict import Verdict
from harness.reports import wording
from harness.reports.blocks import Column, Line, Lines, Paragraph, Row, Section, numbers, table, titled

COLUMNS = titled("What", Column("Between two passes", label="Between"), *numbers("Over"))


def section(verdict: Verdict) -> Section | None:
    """None where it was not measured."""
    if verdict.noise is None:
        return None
    note = f" {verdict.noise.note}." if verdict.noise.note else ""
    about = Paragraph(
        "The baseline against itself: a part of every task asked again in other batches, and adjacent runs of its "
        f"own. What moves here says nothing about a candidate.{note}"
    )
    said = _line(verdict.noise)
    lines = (
        Line(label="noise floor", text=said, only=("terminal",)),
        Line(label="Noise floor", about=(f"{verdict.baseline} against itself",), text=said, only=("markdown",)),
    )
    rows = table(COLUMNS, *_rows(verdict.noise))
    return Section(name="noise", title="Noise floor", blocks=(about, rows), short=(Lines(kind="quiet", lines=lines),))


def _line(noise: Noise) -> str:
    """Flips of every right-or-wrong metric, KL with itself, the widest spread of decoding."""
    told = [(each, f"{each.task} {each.metric}") for each in noise.measures]
    parts = [f"{name} {each.flips} of {each.n} flip" for each, name in told if each.flips is not None]
    parts += [f"{name} {number(each.value)} apart" for each, name in told if each.kind == "graded"]
    shown = {row.name for row, _ in wording.in_overview("divergence", "speed")}
    kl = [each for each in noise.measures if each.kind == "divergence" and each.metric in shown]
    parts += [f"{each.task} KL {level(each.value, each.unit)}" for each in kl]
    decoding = [each for each in noise.speed if each.metric in shown]
    if decoding:
        widest = max(decoding, key=lambda each: each.spread)
        parts.append(f"{widest.metric} ±{percent(widest.spread)}")
    return "; ".join(parts) or noise.note or "nothing was measured"


def _rows(noise: Noise) -> Iterator[Row]:
    for each in noise.measures:
        yield (f"{each.task} {each.metric}", _between(each), _over(each))
    for task, moved in noise.likelihoods.items():
        yield (f"{task} log-likelihood", f"{number(moved)} nats apart on average", DASH)
    for speed in noise.speed:
        spread = f"±{percent(speed.spread)} from one run to the next"
        yield (f"{speed.metric}, {speed.workload}", spread, f"{speed.pairs:,} adjacent runs")


def _between(each: NoiseMeasure) -> str:
    if each.flips is not None:
        most = "" if each.upper is None else f", at most {percent(each.upper)}"
        return f"{count(each.flips, 'flip')}, {percent(each.value)}{most}"
    if each.kind == "graded":
        return f"{number(each.value)} apart on average"
    if each.kind in ("perplexity", "ratio"):
        return f"{Notation.PERCENT.rough(each.value, each.unit)} apart"
    return level(each.value, each.unit)


def _over(each: NoiseMeasure) -> str:
    return count(each.n, "item" if each.flips is not None or each.kind in ("graded", "ratio") else "document")
