"""Gates beside those of the promoted run: nothing moves unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.comparison import compare_run
from harness.gates import judge
from harness.gates.promoted_gates import PromotedGates, gate_changes
from harness.records.findings import GateChange
from harness.suite.models import Suite
from tests.gates.handmade import DROP, NOW, binary_bench, one

ASK: dict[str, object] = {"task": "t", "metric": "acc", "max_drop": 0.02}
WEIGHTS: dict[str, object] = {"metric": "weight_bytes", "max_ratio": 0.5}


def suite(*gates: dict[str, object], **changes: object) -> Suite:
    return Suite.model_validate(
        {
            "suite": "s",
            "model": "m",
            "variants": {"fp32": {"baseline": True}, "q": {}, "r": {}},
            "tasks": {"t": {"choice": {"data": "d", "prompt": "p", "choices": ["a"], "answer": "a"}}},
            "gates": gates,
            **changes,
        }
    )


def changes(now: Suite, old: Suite) -> tuple[GateChange, ...]:
    return gate_changes(now, PromotedGates(label="v12", suite=old)).all


def test_equal_suites_have_no_changes() -> None:
    assert changes(suite(ASK, WEIGHTS), suite(ASK, WEIGHTS)) == ()
    assert gate_changes(suite(ASK), None).all == ()


@pytest.mark.parametrize(
    ("now", "looser", "says"),
    [
        ({"max_drop": 0.03}, True, "t acc: limit 3.00 pp, was 2.00 pp when v12 was promoted"),
        ({"max_drop": 0.01}, False, "t acc: limit 1.00 pp, was 2.00 pp when v12 was promoted"),
        ({"alpha": 0.2}, True, "t acc: alpha 0.2, was 0.05 when v12 was promoted"),
        ({"severity": "warn"}, True, "t acc: severity warn, was block when v12 was promoted"),
        (
            {"max_drop": 0.01, "severity": "warn"},
            True,
            "t acc: limit 1.00 pp, was 2.00 pp, severity warn, was block when v12 was promoted",
        ),
    ],
)
def test_what_changed_is_said(now: dict[str, object], looser: bool, says: str) -> None:
    """Limit, alpha and severity, with both values and whether more gets through."""
    (change,) = changes(suite({**ASK, **now}), suite(ASK))
    assert (change.gate, change.what, change.looser, change.says) == ("gates[0]", "changed", looser, says)


@pytest.mark.parametrize(("form", "old", "new"), [("min", 0.8, 0.7), ("min_recovery", 0.97, 0.9), ("max", 0.1, 0.2)])
def test_looser_is_looser_for_every_form(form: str, old: float, new: float) -> None:
    """A floor that sinks lets more through, as a ceiling that rises; the other way round, less."""
    one_, other = ({"task": "t", "metric": "acc", form: value} for value in (old, new))
    assert [each.looser for each in changes(suite(other), suite(one_))] == [True]
    assert [each.looser for each in changes(suite(one_), suite(other))] == [False]


def test_the_suites_alpha_counts() -> None:
    """A gate without an alpha of its own moves with the suite's."""
    (change,) = changes(suite(ASK, alpha=0.1), suite(ASK))
    assert change.says.startswith("t acc: alpha 0.1, was 0.05")
    assert changes(suite({**ASK, "alpha": 0.05}), suite(ASK)) == ()


def test_added_and_removed_gates_are_listed() -> None:
    """A gate that is gone lets everything through; one that is new is named too."""
    added, removed = changes(suite(WEIGHTS), suite(ASK))
    assert (added.what, added.looser, removed.what, removed.looser) == ("added", False, "removed", True)
    assert added.says == "weight_bytes: max_ratio 0.500 × was not there when v12 was promoted"
    assert removed.says == "t acc: max_drop 2.00 pp was there when v12 was promoted and is gone"


def test_a_gate_that_moves_is_the_same_gate() -> None:
    """Order is no change; two gates on one thing are matched in order."""
    assert changes(suite(WEIGHTS, ASK), suite(ASK, WEIGHTS)) == ()
    warn = {**ASK, "max_drop": 0.01, "severity": "warn"}
    assert changes(suite(ASK, warn), suite(ASK, warn)) == ()


def test_a_name_holds_a_gate_together() -> None:
    """By name even another form, slice or variant is a change of the same gate, not a new one."""
    named = {**ASK, "name": "drop"}
    (change,) = changes(suite({**named, "variants": ["q"]}), suite(named))
    assert (change.looser, "variants q, was all" in change.says) == (True, True)
    (form,) = changes(suite({"name": "drop", "task": "t", "metric": "acc", "max_relative_drop": 0.1}), suite(named))
    assert (form.looser, form.what) == (None, "changed")
    assert "max_relative_drop 10.0 %, was max_drop 2.00 pp" in form.says
    assert changes(suite(named), suite(ASK)) == ()


def test_findings_carry_the_limit_they_had(tmp_path: Path) -> None:
    """The finding's `limit_before` is set where the limit moved, and nowhere else; the verdict lists the change."""
    bench = binary_bench(tmp_path, 1000, 20, 20)
    before = PromotedGates(label="v12", suite=bench.suite([{**DROP[0], "max_drop": 0.01}]))
    comparison = compare_run(bench.store, bench.manifest())
    verdict = judge(bench.suite(DROP), comparison, judged_at=NOW, before=before)
    assert one(verdict).findings[0].limit_before == 0.01
    assert [each.says for each in verdict.gate_changes] == ["t acc: limit 2.00 pp, was 1.00 pp when v12 was promoted"]
    same = judge(
        bench.suite(DROP), comparison, judged_at=NOW, before=PromotedGates(label="v12", suite=bench.suite(DROP))
    )
    assert (one(same).findings[0].limit_before, same.gate_changes) == (None, ())


def test_a_suite_that_cannot_be_read_is_said() -> None:
    """What nobody can compare is not passed over as unchanged."""
    (change,) = gate_changes(suite(ASK), PromotedGates(label="v12", suite=None)).all
    assert "the suite of v12 can no longer be read" in change.says
