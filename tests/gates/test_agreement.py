"""Agreement with the baseline's answers shows something only where the baseline's answers differ from item to item."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.gates.noise_floor import tight_gates
from harness.records.findings import Finding
from harness.records.measures import Noise, NoiseMeasure
from harness.suite.models import Suite
from tests.gates.handmade import one
from tests.samples.test_derived import bench_of

N = 100
GATES = (
    {"metric": "identical", "min": 0.8},
    {"metric": "identical", "max_drop": 0.2},
    {"metric": "edit_similarity", "min": 0.8},
    {"metric": "first_divergence", "min": 0.8},
)


def judged(root: Path, baseline: Sequence[str], candidate: Sequence[str], gate: dict[str, object]) -> Finding:
    bench = bench_of(root, [(text, False) for text in baseline], [(text, False) for text in candidate])
    (finding,) = one(bench.verdict([{"task": "say", **gate}])).findings
    return finding


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: "-".join(map(str, gate.values())))
@pytest.mark.parametrize("one_text", ["", "I do not know."])
@pytest.mark.parametrize("others", [0, 5])
def test_a_baseline_that_answers_everything_alike(
    tmp_path: Path, gate: dict[str, object], one_text: str, others: int
) -> None:
    """A broken prompt makes every model silent: that a candidate is so too is no PASS, however alike they are."""
    baseline = [f"Answer {n}" if n < others else one_text for n in range(N)]
    finding = judged(tmp_path, baseline, baseline, gate)
    assert (finding.decision, finding.code) == ("INVALID", "blind_limit")
    assert f"{N - others}.0 % of the answers of the baseline are one and the same" in finding.reason
    assert finding.value is not None


def test_blank_answers_are_one_answer(tmp_path: Path) -> None:
    """A line break, a space and nothing all say nothing."""
    blank = [("", " ", "\n", "\t")[n % 4] for n in range(N)]
    assert judged(tmp_path, blank, blank, {"metric": "identical", "min": 0.8}).code == "blind_limit"


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: "-".join(map(str, gate.values())))
def test_a_candidate_that_answers_everything_alike(tmp_path: Path, gate: dict[str, object]) -> None:
    """No PASS, even where all answers are alike but for a number, so that one is near to all."""
    varied = [f"{n} is the answer, which nobody else gives" for n in range(N)]
    assert judged(tmp_path, varied, [varied[0]] * N, gate).decision in ("FAIL", "INVALID")


def test_a_limit_above_what_is_usual(tmp_path: Path) -> None:
    """Labels of which one is frequent: a limit that only a model that reads the items holds does pass."""
    labels = ["spam" if n % 4 == 0 else "ham" for n in range(N)]
    assert judged(tmp_path / "a", labels, labels, {"metric": "identical", "min": 0.8}).decision == "PASS"
    assert judged(tmp_path / "b", labels, labels, {"metric": "identical", "min": 0.7}).code == "blind_limit"


def test_a_failed_gate_stays_failed(tmp_path: Path) -> None:
    """That the baseline is odd excuses no candidate that differs from it."""
    finding = judged(tmp_path, [""] * N, ["word"] * N, {"metric": "identical", "min": 0.8})
    assert finding.decision == "FAIL"


def test_a_slice_with_one_answer(tmp_path: Path) -> None:
    """Fine where the task as a whole has many answers, and nothing where it has one."""
    gate = {"metric": "identical", "min": 0.8, "slice": "half=a"}
    sorted_out = ["yes" if n % 2 == 0 else f"No, {n}" for n in range(N)]
    assert judged(tmp_path / "many", sorted_out, sorted_out, gate).decision == "PASS"
    silent = ["" if n != 1 else "One" for n in range(N)]
    assert judged(tmp_path / "one", silent, silent, gate).code == "blind_limit"


def test_a_floor_of_agreement_within_the_noise() -> None:
    """A floor that the baseline itself would not hold in another batch is named, as a tight drop is."""
    flipped = NoiseMeasure(
        task="say", metric="identical", kind="binary", unit="fraction", n=40, value=0.1, flips=4, upper=0.2
    )
    noise = Noise(measures=(flipped,), likelihoods={}, speed=())
    gates = [{"task": "say", "metric": "identical", "min": limit} for limit in (0.95, 0.85)]
    suite = Suite.model_validate(
        {
            "suite": "s", "model": "m", "variants": {"fp32": {"baseline": True}, "q": {}},
            "tasks": {"say": {"generate": {"data": "d", "prompt": "{{p}}"}}}, "gates": gates,
        }
    )  # fmt: skip
    (tight,) = tight_gates(suite, noise, {"say/identical": 1.0})
    assert tight.gate == "gates[0]"
    assert "4 of 40 answers flip" in tight.says
