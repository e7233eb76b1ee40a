"""The verdict: the one source of every exit code, report and annotation.

Every number that a report prints is here; reports format and never compute. Fractions everywhere
(0.02 is 2 percentage points), seconds, bytes, nats.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.records.evaluation_manifest import EngineFacts, Host
from harness.records.findings import Check, Decision, Finding, GateChange, WaiverUse
from harness.records.measures import (
    CumulativeDrift,
    DivergentTokens,
    Exploratory,
    Flip,
    Histogram,
    Measure,
    Noise,
    Retained,
    SpeedRow,
)
from harness.records.model import Model, Name
from harness.records.run_manifest import EarlyStop
from harness.records.timings import MemoryFigures

VERDICT_SCHEMA = 2
"""2: it carries a checksum (`seal.py`)."""


class BaseModelFacts(Model):
    """The model before fine-tuning."""

    model: str
    """As the suite names it."""
    facts: EngineFacts | None = None
    note: str | None = None
    """Why the retained gain is undefined, where that holds for every task."""
    log: str | None = None


class Conditions(Model):
    """The conditions of a measurement. Figures of two runs form one series only under equal conditions; `weights` is
    not a condition but the version itself."""

    weights: str
    quantization: str
    """Canonical JSON of the `quantize` block and what else changes how it runs; empty for none."""
    engine: str
    versions: dict[str, str]
    dtype: str
    device_type: str


class CandidateVerdict(Model):
    """Everything about one candidate."""

    variant: str
    decision: Decision
    sentence: str
    """Why, in one sentence."""
    findings: tuple[Finding, ...]
    checks: tuple[Check, ...]
    measures: tuple[Measure, ...]
    retained: tuple[Retained, ...] = ()
    """The retained fine-tuning gain, where the suite names the model before fine-tuning."""
    reference_measures: tuple[Measure, ...] = ()
    """The same metrics paired with the last promoted version (`Verdict.reference`) instead of the baseline."""
    creep: tuple[CumulativeDrift, ...] = ()
    """The loss over the promoted versions, by task and metric; empty where none was promoted."""
    exploratory: Exploratory | None = None
    """None where no task has slices."""
    flips: tuple[Flip, ...]
    """At most 200 a task, largest change of margin first."""
    flips_total: dict[str, int]
    """Task to number of flips."""
    histograms: tuple[Histogram, ...]
    divergent: Annotated[tuple[DivergentTokens, ...], Field(exclude_if=lambda tasks: not tasks)] = ()
    """The most divergent tokens, task by task."""
    speed: tuple[SpeedRow, ...]
    memory: MemoryFigures | None
    facts: EngineFacts | None
    quantization: str
    """From the suite, for people: `bitsandbytes 4-bit nf4, double quantization`, `bfloat16`."""
    stopped: EarlyStop | None = None
    """Where the run stopped it early, and what that saved."""
    seconds: float | None = None
    log: str | None = None
    environment: str | None = None
    """The environment it ran in; None is quantgate's own."""
    made: str | None = None
    """How quantgate made its checkpoint, in a sentence."""
    conditions: Conditions | None = None
    """None where nothing was evaluated."""


class TaskFacts(Model):
    task: str
    kind: str
    items: int
    tokens: int
    too_long: int
    metrics: tuple[str, ...]
    source: str
    plan: str = ""
    """Hash of every token id, option and limit that was asked; empty in verdicts from before it was stored."""
    definition: str = ""
    """Hash of the task as the suite defined it."""
    data_hash: str | None = None
    """SHA-256 of the data file, where there is one."""
    batching: str = ""
    """How requests were put into batches."""
    notes: tuple[str, ...] = ()
    """The plan's notes on prompts and metrics, each beginning with the task."""


class Verdict(Model):
    """The whole judgement of a run. `decision` follows from the candidates' by the rule in `decided.py`: the worst of
    them (INVALID over FAIL over INCONCLUSIVE over PASS), where any was judged."""

    schema_version: int = VERDICT_SCHEMA
    suite: Name
    run: Name
    decision: Decision
    sentence: str
    baseline: str
    baseline_facts: EngineFacts | None
    baseline_memory: MemoryFigures | None
    baseline_checks: tuple[Check, ...]
    baseline_findings: tuple[Finding, ...]
    baseline_measures: dict[str, float]
    """`task/metric` to the baseline's value."""
    candidates: tuple[CandidateVerdict, ...]
    tasks: tuple[TaskFacts, ...]
    host: Host
    quantgate: str
    alpha: float
    started_at: str
    judged_at: str
    elapsed_s: float
    partial: bool = False
    report_only: bool = False
    """No verdict was asked for (`--report-only`): no gate was applied; `decision` is at most INVALID."""
    limit: int | None = None
    """At most this many items of each task (`--limit`)."""
    label: str = ""
    """The version's label (`--label`)."""
    baseline_conditions: Conditions | None = None
    base: BaseModelFacts | None = None
    """The model before fine-tuning, where the suite names one."""
    reference: str | None = None
    """`variant@run` of the last promoted version, where there is one."""
    reference_label: str | None = None
    """That version's name: the one it was promoted under."""
    gate_changes: tuple[GateChange, ...] = ()
    """Gates that changed since that version was promoted."""
    waivers: tuple[WaiverUse, ...] = ()
    """Every waiver of the suite."""
    noise: Noise | None = None
    """The baseline against itself, where that was measured."""
    method: tuple[str, ...]
    """How it was judged, in sentences."""

    @property
    def headline(self) -> str:
        """The headline of a report: the decision, or that none was asked for."""
        return "REPORT ONLY" if self.report_only else self.decision

    @property
    def exit_code(self) -> int:
        """0 PASS, 10 FAIL, 11 INCONCLUSIVE, 12 INVALID; 0 where no verdict was asked for."""
        if self.report_only:
            return 0
        return {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "INVALID": 12}[self.decision]
