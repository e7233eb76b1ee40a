"""A verdict arranged for the page: what each section shows, in order, in words where it can be."""

from __future__ import annotations

from dataclasses import dataclass

from harness.notation import DASH, NONE, byte_size, duration, significant
from harness.records.evaluation_manifest import EngineFacts, batch_words
from harness.records.findings import Decision
from harness.records.measures import Flip, Measure, SpeedRow
from harness.records.timings import MemoryFigures
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports import figures
from harness.reports.headline import Column, columns
from harness.reports.html.forest import Forest, forests
from harness.reports.html.histogram import KlChart, kl_charts
from harness.reports.html.scatter import Scatter, scatters
from harness.reports.noise_lines import NoiseRow, noise_rows

FLIPS_SHOWN = 25
"""Per candidate and task; `quantgate show` exports every item."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """One candidate at a glance."""

    variant: str
    decision: Decision
    quantization: str
    sentence: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class FlipGroup:
    """The flips of one candidate on one task; `left_out` of `total` are not shown."""

    variant: str
    task: str
    flips: tuple[Flip, ...]
    total: int
    worse: int | None
    better: int | None

    @property
    def left_out(self) -> int:
        return self.total - len(self.flips)


@dataclass(frozen=True, kw_only=True)
class SliceTable:
    """A task's metric by slice, for one candidate."""

    variant: str
    measure: Measure


@dataclass(frozen=True, kw_only=True)
class SpeedLine:
    variant: str
    row: SpeedRow


@dataclass(frozen=True, kw_only=True)
class MemoryLine:
    variant: str
    memory: MemoryFigures | None


@dataclass(frozen=True, kw_only=True)
class EngineColumn:
    variant: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class Page:
    """Everything the template draws besides the verdict itself."""

    sentence: str
    cards: tuple[Card, ...]
    columns: tuple[Column, ...]
    scatters: tuple[Scatter, ...]
    forests: tuple[Forest, ...]
    kl_charts: tuple[KlChart, ...]
    flips: tuple[FlipGroup, ...]
    slices: tuple[SliceTable, ...]
    speed: tuple[SpeedLine, ...]
    memory: tuple[MemoryLine, ...]
    engines: tuple[EngineColumn, ...]
    host: tuple[Fact, ...]
    noise: tuple[NoiseRow, ...]


def page(verdict: Verdict) -> Page:
    """Arrange a verdict for `page.html.j2`."""
    shown = columns(verdict)
    memory = [MemoryLine(variant=f"{verdict.baseline} (baseline)", memory=verdict.baseline_memory)]
    memory += [MemoryLine(variant=each.variant, memory=each.memory) for each in verdict.candidates]
    engines = [_engine(f"{verdict.baseline} (baseline)", "", verdict.baseline_facts)]
    if verdict.base is not None and verdict.base.facts is not None:
        engines.append(_engine("base model", "", verdict.base.facts))
    engines += [
        _engine(each.variant, each.quantization, each.facts, each.made, each.environment) for each in verdict.candidates
    ]
    return Page(
        sentence=figures.sentence(verdict),
        cards=tuple(_card(each, index, shown) for index, each in enumerate(verdict.candidates)),
        columns=shown,
        scatters=scatters(verdict),
        forests=forests(verdict),
        kl_charts=kl_charts(verdict),
        flips=tuple(group for each in verdict.candidates for group in _flips(each)),
        slices=tuple(
            SliceTable(variant=each.variant, measure=measure)
            for each in verdict.candidates
            for measure in each.measures
            if measure.slices
        ),
        speed=tuple(SpeedLine(variant=each.variant, row=row) for each in verdict.candidates for row in each.speed),
        memory=tuple(memory) if any(line.memory is not None for line in memory) else (),
        engines=tuple(engines),
        host=_host(verdict),
        noise=() if verdict.noise is None else noise_rows(verdict.noise),
    )


def _card(candidate: CandidateVerdict, index: int, shown: tuple[Column, ...]) -> Card:
    facts = [
        Fact(name=f"{column.title} {column.detail}".strip(), text=column.cells[index].text)
        for column in shown
        if column.cells[index].text != DASH
    ]
    return Card(
        variant=candidate.variant,
        decision=candidate.decision,
        quantization=candidate.quantization,
        sentence=candidate.sentence,
        facts=tuple(facts),
    )


def _flips(candidate: CandidateVerdict) -> list[FlipGroup]:
    groups = []
    for task, total in candidate.flips_total.items():
        own = tuple(flip for flip in candidate.flips if flip.task == task)[:FLIPS_SHOWN]
        metric = own[0].metric if own else None
        measure = next((m for m in candidate.measures if (m.task, m.metric) == (task, metric)), None)
        if total:
            groups.append(
                FlipGroup(
                    variant=candidate.variant,
                    task=task,
                    flips=own,
                    total=total,
                    worse=measure.right_to_wrong if measure else None,
                    better=measure.wrong_to_right if measure else None,
                )
            )
    return groups


def _engine(
    variant: str, quantization: str, facts: EngineFacts | None, made: str | None = None, environment: str | None = None
) -> EngineColumn:
    rows = [("quantization", quantization), ("made", made or ""), ("environment", environment or "")]
    if facts is None:
        return EngineColumn(variant=variant, facts=(*_facts(rows), Fact(name="engine", text=NONE)))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(facts.quantized_kinds.items()))
    bits = NONE if facts.bits_per_weight is None else significant(facts.bits_per_weight, 3)
    rows += [
        ("engine", f"{facts.engine}, {facts.scoring_path} scoring"),
        ("architecture", f"{facts.architecture} ({facts.model_type})"),
        ("parameters", f"{facts.parameters:,}"),
        ("dtype", facts.dtype),
        ("device", ", ".join([facts.device, *facts.device_names])),
        ("quantized modules", f"{facts.quantized_modules:,} of {facts.linear_modules:,} linear"),
        ("kinds", kinds),
        ("dequantised", facts.dequantised or ""),
        ("bits per weight", bits),
        (
            "resident weights",
            NONE if facts.weight_bytes is None else byte_size(facts.weight_bytes),
        ),
        ("on disk", NONE if facts.disk_bytes is None else byte_size(facts.disk_bytes)),
        ("kernels", ", ".join(facts.kernels)),
        ("vocabulary", f"{facts.vocabulary:,}"),
        ("context", NONE if facts.context_length is None else f"{facts.context_length:,} tokens"),
        ("batches", _batches(facts)),
        ("loaded in", duration(facts.load_s)),
        ("weights digest", (facts.weights_digest or "")[:16]),
        ("not finite", ", ".join(facts.non_finite)),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items()))),
        *(("note", note) for note in facts.notes),
    ]
    return EngineColumn(variant=variant, facts=_facts(rows))


def _batches(facts: EngineFacts) -> str:
    """Limits on batches, of engines that go by some."""
    if facts.pass_tokens is None or facts.cache_tokens is None or facts.memory_budget is None:
        return ""
    return batch_words(facts.pass_tokens, facts.cache_tokens, facts.memory_budget)


def _facts(rows: list[tuple[str, str]]) -> tuple[Fact, ...]:
    return tuple(Fact(name=name, text=text) for name, text in rows if text)


def _host(verdict: Verdict) -> tuple[Fact, ...]:
    host = verdict.host
    return _facts(
        [
            ("processor", f"{host.processor}, {host.cores} cores"),
            ("memory", byte_size(host.memory_bytes)),
            ("accelerators", ", ".join(host.accelerators) or "none"),
            ("system", f"{host.system}, {host.machine}"),
            ("python", host.python),
            ("quantgate", verdict.quantgate),
            ("host fingerprint", host.fingerprint),
        ]
    )
