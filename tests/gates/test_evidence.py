"""Which samples a gate looks at: by task, slice and workload, and what is said where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.comparison.candidates import CandidateComparison
from harness.forms.base import Judgement
from harness.gates.evidence import Evidence, select
from harness.records.run_manifest import VariantRun
from harness.records.timings import MemoryFigures, SpeedRecord
from harness.samples.pairs import PairedMetric
from harness.samples.sample import DocumentSample, MemoryPair
from harness.suite.gate_model import Gate
from tests.forms.handmade import NOTHING, documents, paired, speed
from tests.gates.handmade import HOST

HALVES = {"half=a": np.arange(10), "half=b": np.arange(10, 40)}
ACC = replace(paired(np.ones(40), np.ones(40)), slices=HALVES)
PAIRED = replace(
    NOTHING, metrics={("t", "acc"): ACC}, documents={"w": documents(np.full(30, 200.0), np.full(30, 200.0))},
    broken={"broken": "items differ"},
)  # fmt: skip


def gate(**values: object) -> Gate:
    return Gate.model_validate({"task": "t", "metric": "acc", "max_drop": 0.02, **values})


def said(evidence: Evidence) -> str:
    """What is said without a sample."""
    assert isinstance(evidence.sample, Judgement)
    return f"{evidence.sample.decision}: {evidence.sample.reason}"


def test_the_whole_a_slice_or_each() -> None:
    """One sample for the task or a slice, one for each of its slices in their order."""
    (whole,) = select(gate(), PAIRED, None)
    assert whole.sample is ACC
    assert whole.slice is None
    (part,) = select(gate(slice="half=a"), PAIRED, None)
    assert isinstance(part.sample, PairedMetric)
    assert (part.slice, part.sample.count) == ("half=a", 10)
    assert [each.slice for each in select(gate(slice="each"), PAIRED, None)] == ["half=a", "half=b"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"slice": "half=c"}, "INVALID: no item is in slice 'half=c'; the task has half=a, half=b"),
        ({"metric": "f1"}, "INVALID: t has no metric 'f1'; it has acc"),
        ({"task": "other"}, "INCONCLUSIVE: other was not measured in this run"),
        ({"task": "broken"}, "INVALID: items differ"),
        ({"metric": "decode_tokens_per_s", "task": None, "max_drop": None, "min_ratio": 1.2},
         "INCONCLUSIVE: decode_tokens_per_s was not measured in this run"),
        ({"task": "w", "metric": "word_perplexity", "max_drop": None, "max_increase": 0.02},
         "INCONCLUSIVE: word_perplexity needs the number of words of every document, which this run did not store. If "
         "an earlier version made the run, run the suite again: it counts them and takes every stored answer as it is"),
        ({"max_drop": None, "min_retained": 0.8}, "INCONCLUSIVE: t was not measured on the base model"),
    ],
)  # fmt: skip
def test_nothing_to_look_at(changes: dict[str, object], says: str) -> None:
    """A gate without a sample says why."""
    (found,) = select(gate(**changes), PAIRED, None)
    assert said(found) == says


def test_documents() -> None:
    """The metric decides what of the documents is looked at; who failed on one is told by name."""
    rise = {"task": "w", "metric": "perplexity", "max_drop": None, "max_increase": 0.02}
    (found,) = select(gate(**rise), PAIRED, None)
    assert isinstance(found.sample, DocumentSample)
    assert (found.sample.metric, found.sample.kind) == ("perplexity", "perplexity")
    failed = replace(PAIRED.documents["w"], baseline_failed=("d1",))
    (found,) = select(gate(**rise), replace(PAIRED, documents={"w": failed}), None, against="v12")
    assert said(found) == "INVALID: v12 gave no finite likelihood to d1"


def candidate(memory: MemoryFigures, baseline: MemoryFigures) -> CandidateComparison:
    record = SpeedRecord(
        key="k", variant="q", baseline="fp32", host=HOST, workloads=(), memory=memory, baseline_memory=baseline,
        measured_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    pairs = [replace(speed([1.3] * 12), workload=workload) for workload in ("1x8+8", "4x8+8")]
    return CandidateComparison(
        variant="q", run=VariantRun(variant="q", evaluations={}), paired=PAIRED, reference=None,
        clean=None, speed=record, speed_pairs=tuple(pairs), manifests={},
    )  # fmt: skip


def test_speed_by_workload() -> None:
    """Every workload, or the one that the gate names."""
    timed = candidate(MemoryFigures(), MemoryFigures())
    fast = {"metric": "decode_tokens_per_s", "task": None, "max_drop": None, "min_ratio": 1.2}
    assert [each.workload for each in select(gate(**fast), PAIRED, timed)] == ["1x8+8", "4x8+8"]
    assert [each.workload for each in select(gate(**fast, workload="4x8+8"), PAIRED, timed)] == ["4x8+8"]


def test_memory_that_cannot_be_had() -> None:
    """A figure that is not there is never 0; a level needs no baseline."""
    size = {"metric": "weight_bytes", "task": None, "max_drop": None}
    none, some = MemoryFigures(), MemoryFigures(weight_bytes=10)
    (found,) = select(gate(**size, max_ratio=0.5), PAIRED, candidate(some, some))
    assert found.sample == MemoryPair(metric="weight_bytes", baseline=10, candidate=10)
    for memory, baseline in ((none, some), (some, none), (some, MemoryFigures(weight_bytes=0))):
        (found,) = select(gate(**size, max_ratio=0.5), PAIRED, candidate(memory, baseline))
        assert said(found) == "INCONCLUSIVE: weight_bytes was not measured in this run"
    (found,) = select(gate(**size, max=50), PAIRED, candidate(some, none))
    assert found.judge(gate(**size, max=50).row, limit=50, alpha=0.05).decision == "PASS"


def test_a_limit_on_a_loss_needs_something_to_lose() -> None:
    """The sample is judged by its form, and held to what the baseline had to lose."""
    nothing = replace(NOTHING, metrics={("t", "acc"): paired(np.zeros(50), np.zeros(50))})
    (found,) = select(gate(), nothing, None, against="v12")
    judgement = found.judge(gate().row, limit=0.02, alpha=0.05)
    assert (judgement.decision, judgement.code) == ("INVALID", "at_zero")
    assert str(judgement.reason).startswith("v12 has acc 0 on all 50 items: there is nothing to lose")
