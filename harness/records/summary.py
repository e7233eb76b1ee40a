"""The figures of a stored verdict without its evidence: what history reads, so that hundreds of runs take a second.

The one place where unknown keys are left out instead of refused: these shapes are a view of `verdict.py`'s, whose
flips, slices, reasons and charts nobody needs here; leaving them out makes reading four times as fast.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import RecordError
from harness.records.decisions import held_to_its_parts
from harness.records.evaluation_manifest import Host
from harness.records.files import read_whole
from harness.records.findings import Bound, Decision, FindingDecision
from harness.records.seal import SEALED, opened
from harness.records.timings import MemoryFigures
from harness.records.verdict import VERDICT_SCHEMA, Conditions, Verdict


class View(BaseModel):
    """Part of a record: other keys are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class GateView(View):
    metric: str
    task: str | None
    slice: str | None = None
    workload: str | None = None
    against: str = ""
    decision: FindingDecision
    severity: str = "block"


class MeasureView(View):
    task: str
    metric: str
    kind: str
    unit: str
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    change: float | None
    lower: Bound
    upper: Bound


class SpeedView(View):
    workload: str
    metric: str
    unit: str
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    ratio: float | None
    lower: Bound
    upper: Bound


class MemoryView(MemoryFigures):
    """`MemoryFigures`, read as a view."""

    model_config = View.model_config


class FactsView(View):
    """Bytes that a load found, for runs that measured no memory."""

    weight_bytes: int | None = None
    disk_bytes: int | None = None


class StopView(View):
    """A candidate that was stopped before it was asked everything."""

    task: str
    items: int
    planned: int


class CheckView(View):
    """Whether the comparison is sound; a check's words are left out."""

    held: bool
    blocks: bool


class CandidateView(View):
    variant: str
    decision: Decision
    sentence: str
    findings: tuple[GateView, ...] = ()
    checks: tuple[CheckView, ...] = ()
    measures: tuple[MeasureView, ...] = ()
    speed: tuple[SpeedView, ...] = ()
    memory: MemoryView | None = None
    facts: FactsView | None = None
    conditions: Conditions | None = None
    stopped: StopView | None = None


class TaskView(View):
    task: str
    items: int = 0
    plan: str = ""
    definition: str = ""
    data_hash: str | None = None
    batching: str = ""


class VerdictSummary(View):
    """A verdict's figures and what they were measured under."""

    schema_version: int = Field(ge=1)
    suite: str
    run: str
    label: str = ""
    decision: Decision
    sentence: str = ""
    baseline: str
    baseline_findings: tuple[GateView, ...] = ()
    baseline_checks: tuple[CheckView, ...] = ()
    baseline_memory: MemoryView | None = None
    baseline_facts: FactsView | None = None
    baseline_conditions: Conditions | None = None
    candidates: tuple[CandidateView, ...]
    tasks: tuple[TaskView, ...] = ()
    host: Host
    quantgate: str
    alpha: float = Field(gt=0, lt=1)
    started_at: str
    reference: str | None = None
    partial: bool = False
    report_only: bool = False
    limit: int | None = None


def read_summary(root: Path, suite: str, run: str) -> VerdictSummary:
    """The figures of a stored verdict. Raises `RecordError` naming the file, what is wrong and what to do."""
    address = f"{suite}/runs/{run}/verdict.json"
    path, again = root / address, f"judge the run again: quantgate gate {run}"
    content = read_whole(path)
    if content is None:
        raise RecordError(f"{path}: not judged yet; {again}")
    content, is_sealed = opened(path, content, address, f"To go on, {again}")
    try:
        found = VerdictSummary.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path}: damaged: {where + ': ' if where else ''}{first['msg']}; {again}") from error
    if found.schema_version > VERDICT_SCHEMA:
        raise RecordError(
            f"{path}: has schema version {found.schema_version}, this quantgate reads up to {VERDICT_SCHEMA}; "
            "use the quantgate that wrote it or a newer one"
        )
    if not is_sealed and found.schema_version >= SEALED:
        raise RecordError(f"{path}: carries no checksum, which every verdict of its version has; {again}")
    if (found.suite, found.run) != (suite, run):
        raise RecordError(f"{path}: is the verdict of run {found.run}; {again}")
    try:
        return held_to_its_parts(found)
    except ValueError as error:
        raise RecordError(f"{path}: {error}; {again}") from error


def summary_of(verdict: Verdict) -> VerdictSummary:
    """The same view of a verdict in memory."""
    return VerdictSummary.model_validate(verdict.model_dump())
