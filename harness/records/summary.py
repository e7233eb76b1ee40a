"""The figures of a stored verdict without its evidence: what the history reads, so that hundreds of runs take a second.

The one place where unknown keys are left out instead of refused: these shapes are a view of `verdict.py`'s, whose
flips, slices, reasons and charts are not needed here; skipping them makes reading four times as fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from harness.errors import RecordError
from harness.records.decisions import held_to_its_parts
from harness.records.evaluation_manifest import EngineFacts
from harness.records.files import read_whole
from harness.records.findings import Check, Finding
from harness.records.measures import Measure, SpeedRow
from harness.records.run_manifest import EarlyStop
from harness.records.seal import SEALED, opened
from harness.records.timings import MemoryFigures
from harness.records.verdict import VERDICT_SCHEMA, CandidateVerdict, TaskFacts, Verdict


class View(BaseModel):
    """Part of a record: other keys are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


def _view(model: type[BaseModel], names: str, **changed: Any) -> Any:
    """A model with the named fields of `model` alone, as they are there but for those that are `changed`."""
    kept: dict[str, Any] = {name: model.model_fields[name] for name in names.split()}
    fields: Any = {**changed, **{name: (field.annotation, field) for name, field in kept.items()}}
    return create_model(f"{model.__name__}View", __base__=View, **fields)


if TYPE_CHECKING:  # what a view does not hold, no reader of it may ask for: tests read every field that history shows
    GateView = Finding
    MeasureView = Measure
    SpeedView = SpeedRow
    FactsView = EngineFacts
    StopView = EarlyStop
    CheckView = Check
    CandidateView = CandidateVerdict
    TaskView = TaskFacts
    VerdictSummary = Verdict
else:
    GateView = _view(Finding, "metric task slice workload against decision severity")
    MeasureView = _view(Measure, "task metric kind unit higher_is_better baseline candidate change lower upper")
    SpeedView = _view(SpeedRow, "workload metric unit higher_is_better baseline candidate ratio lower upper")
    FactsView = _view(EngineFacts, "weight_bytes disk_bytes")
    StopView = _view(EarlyStop, "task items planned")
    CheckView = _view(Check, "held blocks")
    CandidateView = _view(
        CandidateVerdict,
        "variant decision sentence conditions",
        findings=(tuple[GateView, ...], ...),
        checks=(tuple[CheckView, ...], ...),
        measures=(tuple[MeasureView, ...], ...),
        speed=(tuple[SpeedView, ...], ...),
        memory=(MemoryFigures | None, None),
        facts=(FactsView | None, None),
        stopped=(StopView | None, None),
    )
    TaskView = _view(TaskFacts, "task items plan definition data_hash batching")
    VerdictSummary = _view(
        Verdict,
        "label decision sentence baseline baseline_conditions host quantgate started_at reference partial "
        "report_only limit",
        suite=(str, ...),
        run=(str, ...),
        schema_version=(int, Field(ge=1)),
        alpha=(float, Field(gt=0, lt=1)),
        baseline_findings=(tuple[GateView, ...], ...),
        baseline_checks=(tuple[CheckView, ...], ...),
        baseline_memory=(MemoryFigures | None, None),
        baseline_facts=(FactsView | None, None),
        candidates=(tuple[CandidateView, ...], ...),
        tasks=(tuple[TaskView, ...], ...),
    )


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
