"""What would change the verdict, held against judging again with exactly that change."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import api
from harness.explanations import Explanation
from harness.explanations.shapes import Change
from harness.records.findings import Finding
from tests.explanations.saved import findings, judged, whole
from tests.explanations.test_formulas import FORMS
from tests.gates.handmade import binary_bench


def form_of(gate: dict[str, object]) -> str:
    return next(key for key in gate if key.startswith(("max", "min")))


def nearer(change: Change, form: str) -> float:
    """A limit a little on the other side of the one named."""
    assert change.value is not None
    stricter = (change.gives == "PASS") == form.startswith("max")
    return change.value - abs(change.value) * 2e-3 * (1 if stricter else -1)


def alone(finding: Finding) -> str:
    """The decision of a gate by itself: more than a hundred are judged here together, and Holm corrects their FAILs."""
    return "FAIL" if "limits judged together" in finding.reason else finding.decision


def test_limits_and_alphas_hold_when_judged_again(tmp_path: Path) -> None:
    """The limit named gives the decision named, one a little stricter (looser) does not; so for alpha. Every form."""
    gates = [gate for gate in FORMS if "slice" not in gate]
    bench = whole(tmp_path)
    judged(bench, gates)
    asked: list[dict[str, object]] = []
    expected: list[tuple[Change, bool]] = []
    for place, gate in enumerate(gates):
        (each,) = api.explain("r1", str(place), results=tmp_path)
        form = form_of(gate)
        limits = [change for change in each.changes if change.of == "limit"]
        assert limits, gate
        for change in limits:
            assert change.value is not None
            asked.append({**gate, form: change.value})
            expected.append((change, True))
            if nearer(change, form) > 0:
                asked.append({**gate, form: nearer(change, form)})
                expected.append((change, False))
        for change in each.changes:
            if change.of == "alpha" and change.value is not None and change.value > 1e-11:
                asked += [{**gate, "alpha": min(0.4999, change.value * 1.01)}, {**gate, "alpha": change.value * 0.99}]
                expected += [(change, True), (change, False)]
    # The baseline's own findings stand apart, so each is found by its gate.
    found = {finding.gate.split(" ")[0]: finding for finding in findings(judged(bench, asked, run="r2"))}
    assert len(found) == len(asked) > 100
    for place, (change, same) in enumerate(expected):
        assert (alone(found[f"gates[{place}]"]) == change.gives) == same, (asked[place], change)


@pytest.mark.parametrize(
    ("n", "b", "c", "gate"),
    [
        (300, 30, 8, {"max_drop": 0.02}),
        (300, 4, 6, {"max_drop": 0.02}),
        (300, 9, 2, {"max_drop": 0.03}),
        (20, 3, 0, {"max_drop": 0.02}),
        (300, 24, 3, {"min_recovery": 0.97}),
        (1000, 4, 5, {"max_relative_drop": 0.03}),
    ],
)
def test_flips_hold_when_made_so(tmp_path: Path, n: int, b: int, c: int, gate: dict[str, float]) -> None:
    """A run with exactly the flips named gets the decision named, and with one more it does not."""
    gates = [{"task": "t", "metric": "acc", **gate}]

    def decision(harmful: int) -> str:
        return findings(judged(binary_bench(tmp_path / f"{harmful}", n, harmful, c), gates))[0].decision

    judged(binary_bench(tmp_path / "own", n, b, c), gates)
    (each,) = api.explain("r1", "0", results=tmp_path / "own")
    for change in flips(each):
        if change.value is None:
            assert each.decision != "PASS"
            assert decision(0) != "PASS"
        elif each.decision == "PASS":
            assert (decision(int(change.value) - 1), decision(int(change.value))) == ("PASS", change.gives)
        else:
            assert decision(int(change.value)) == change.gives
            assert decision(int(change.value) + 1) != change.gives


def flips(each: Explanation) -> list[Change]:
    found = [change for change in each.changes if change.of == "flips"]
    assert found
    return found


def test_few_documents_say_that_no_limit_is_decided(tmp_path: Path) -> None:
    """Under 20 documents no limit and no alpha decides, and the explanation does not pretend otherwise."""
    judged(whole(tmp_path, documents=12), [{"task": "w", "metric": "perplexity", "max_increase": 0.5}])
    (each,) = api.explain("r1", "0", results=tmp_path)
    assert each.decision == "INCONCLUSIVE"
    assert not any(condition.holds for condition in each.conditions)
    assert [(change.of, change.gives) for change in each.changes] == [("limit", None), ("items", None)]
    assert "12 documents are too few" in each.changes[0].says
