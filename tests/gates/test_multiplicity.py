"""Several claims at once: Holm over the FAILs of a candidate, the exploratory list of slices that moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.forms.base import BROKEN, Reason
from harness.gates.judged import Judged
from harness.gates.multiplicity import explored, judged_together
from harness.records.findings import Finding
from harness.records.measures import Measure, SliceMeasure
from tests.gates.handmade import DROP, Bench, answers, binary_bench, facts, items, one


def finding(p: float | None, **changes: object) -> Finding:
    """A finding whose decision is what its p says at 5 %."""
    whole = Finding(
        gate="gates[0]", variant="q", task="t", metric="acc", form="max_drop", limit=0.02, value=0.05, lower=0.03,
        upper=0.07, alpha=0.05, p=p, n=100, unit="fraction", against="fp32", severity="block",
        decision="FAIL" if p is None or p < 0.05 else "PASS", reason="drop 5.00 pp; limit 2.00 pp: the limit is broken",
    )  # fmt: skip
    return whole.model_copy(update=changes)


def together(findings: list[Finding]) -> tuple[Finding, ...]:
    """The findings as they are written after they were judged together."""
    reason = Reason(measured="drop 5.00 pp; limit 2.00 pp", ending=BROKEN)
    return tuple(each.written() for each in judged_together([Judged(finding=each, reason=reason) for each in findings]))


def test_holm_on_the_reference_values() -> None:
    """.001, .01, .02, .04, .3 become .005, .04, .06, .08, .3: two claims stand, two are not decided."""
    found = together([finding(p) for p in (0.001, 0.01, 0.02, 0.04, 0.3)])
    assert [each.p_adjusted for each in found] == pytest.approx([0.005, 0.04, 0.06, 0.08, 0.3])
    assert [each.decision for each in found] == ["FAIL", "FAIL", "INCONCLUSIVE", "INCONCLUSIVE", "PASS"]
    assert "of 5 limits judged together 0.1 are expected" in found[2].reason
    assert "Holm-adjusted p 0.06, not under 0.05" in found[2].reason
    assert "the limit is broken" not in found[2].reason


def test_one_limit_alone_is_judged_by_its_bound() -> None:
    """A family of one changes nothing but the p that is written down."""
    alone = together([finding(0.03)])[0]
    assert alone == finding(0.03).model_copy(update={"p_adjusted": 0.03, "together": 1})


def test_what_is_no_statistical_claim_is_in_no_family() -> None:
    """Exact values have no p: they FAIL as before and are no further chance for the others to fail."""
    memory = finding(None, metric="weight_bytes", task=None)
    invalid = finding(0.001, decision="INVALID")
    found = together([finding(0.03), memory, invalid])
    assert [each.decision for each in found] == ["FAIL", "FAIL", "INVALID"]
    assert [each.together for each in found] == [1, None, None]


def test_speed_and_warnings_are_families_of_their_own() -> None:
    """A hundred slices do not take a slow candidate's FAIL away, and warnings take none from what blocks."""
    slices = [finding(0.4, slice=f"s={n}") for n in range(100)]
    slow = finding(0.001, metric="decode_tokens_per_s", task=None, form="min_ratio")
    warned = [finding(0.04, severity="warn") for _ in range(2)]
    found = together([finding(0.0001), *slices, slow, *warned])
    assert [each.decision for each in found if each.decision != "PASS"] == ["FAIL", "FAIL"] + ["INCONCLUSIVE"] * 2
    assert (found[0].together, found[101].together, found[102].together) == (101, 1, 2)


def test_a_correction_never_makes_a_fail() -> None:
    """Over random families: adjusted is at least raw, and only FAIL to INCONCLUSIVE ever changes."""
    source = np.random.default_rng(3)
    for _ in range(50):
        before = [finding(float(p)) for p in source.random(source.integers(1, 30)) ** 3]
        after = together(before)
        assert all((b.p_adjusted or 0) >= (a.p or 0) for a, b in zip(before, after, strict=True))
        changed = {(a.decision, b.decision) for a, b in zip(before, after, strict=True) if a.decision != b.decision}
        assert changed <= {("FAIL", "INCONCLUSIVE")}


def sliced_bench(root: Path, values: int, size: int, lost: dict[int, int]) -> Bench:
    """`values` slices of `size` items, all right before; so many lost in some of them."""
    bench = Bench(root)
    count = values * size
    plan = [each.model_copy(update={"slices": {"part": f"p{n // size:02d}"}}) for n, each in enumerate(items(count))]
    bench.plan("t", plan)
    candidate = [0.0 if n % size < lost.get(n // size, 0) else 1.0 for n in range(count)]
    for name, scores in (("fp32", [1.0] * count), ("q", candidate)):
        bench.evaluation(name, "t", answers(scores))
        bench.variant(name, ["t"], facts=facts(weights_digest=name))
    return bench


def test_one_of_many_slices_needs_more_than_five_percent(tmp_path: Path) -> None:
    """The same slice FAILs when it is the only limit, and is not decided as one of 24."""
    bench = sliced_bench(tmp_path, 24, 60, {7: 5})
    gate = {**DROP[0], "slice": "part=p07"}
    assert one(bench.verdict([gate])).decision == "FAIL"
    candidate = one(bench.verdict([{**gate, "slice": "each"}]))
    found = next(each for each in candidate.findings if each.slice == "part=p07")
    assert (found.decision, found.together) == ("INCONCLUSIVE", 24)
    assert found.p is not None
    assert found.p_adjusted is not None
    assert found.p < 0.05 < found.p_adjusted == pytest.approx(min(1.0, 24 * found.p))


def test_a_waiver_changes_no_other_gate(tmp_path: Path) -> None:
    """What is waived stays in the family: excusing one limit never turns another from INCONCLUSIVE into FAIL."""
    bench = sliced_bench(tmp_path, 24, 60, {7: 5, 8: 40})
    gates = [{**DROP[0], "slice": "each"}]
    waiver = {"gate": "t/acc/max_drop", "variant": "q", "slice": "part=p08", "reason": "r", "by": "b"}
    plain = one(bench.verdict(gates)).findings
    waived = one(bench.verdict(gates, waivers=[{**waiver, "until": "2030-01-01"}])).findings
    assert [each.decision for each in waived if each.slice == "part=p08"] == ["WAIVED"]
    assert [(e.p_adjusted, e.decision) for e in plain if e.slice != "part=p08"] == [
        (e.p_adjusted, e.decision) for e in waived if e.slice != "part=p08"
    ]


def test_without_copied_items_a_gate_is_looked_at_twice(tmp_path: Path) -> None:
    """The second look, apart from the calibration data, counts as a limit too."""
    from tests.gates.test_judge import overlap

    copied = tuple(f"i{n}" for n in range(900, 1000))
    bench = binary_bench(tmp_path, 1000, 40, 0, calibration=overlap(items=1000, copied=100, copied_items=copied))
    assert one(bench.verdict(DROP)).findings[0].together == 2


def test_the_list_of_moved_slices(tmp_path: Path) -> None:
    """Slices are listed by q; the p is McNemar's mid-p, the q Benjamini and Hochberg's over all slices."""
    candidate = one(sliced_bench(tmp_path, 24, 60, {7: 12, 3: 20}).verdict(DROP))
    assert candidate.exploratory is not None
    assert [each.slice for each in candidate.exploratory.moved] == ["part=p03", "part=p07"]
    first = candidate.exploratory.moved[0]
    assert first.p == pytest.approx(2 * 0.5**20 - 0.5**20)
    assert first.q == pytest.approx(24 * first.p)
    assert candidate.exploratory.slices == 24
    assert {row.q for row in candidate.measures[0].slices if row.slice == "part=p03"} == {first.q}


def test_nothing_moved_is_an_empty_list_and_no_slices_none(tmp_path: Path) -> None:
    """An empty list says that it was looked for."""
    candidate = one(sliced_bench(tmp_path, 3, 60, {}).verdict(DROP))
    assert candidate.exploratory is not None
    assert candidate.exploratory.moved == ()
    plain = Measure(
        task="t", metric="acc", kind="binary", unit="fraction", higher_is_better=True, n=1, baseline=1.0,
        candidate=1.0, change=0.0, lower=None, upper=None,
    )  # fmt: skip
    assert explored([plain]) == ((plain,), None)
    row = SliceMeasure(slice="a=b", n=1, baseline=1.0, candidate=1.0, change=0.0, lower=None, upper=None)
    _, found = explored([plain.model_copy(update={"slices": (row,)})])
    assert found is not None
    assert (found.slices, found.moved) == (0, ())


def test_what_a_slice_certifies(tmp_path: Path) -> None:
    """More items certify less; a slice without a flip is not taken for one that has none to come; one item nothing."""
    candidate = one(sliced_bench(tmp_path / "a", 4, 200, {1: 10}).verdict(DROP))
    quiet, moved, *_ = candidate.measures[0].slices
    assert quiet.certifies is not None
    assert moved.certifies is not None
    assert 0.0133 < quiet.certifies < moved.certifies < 0.08
    single = one(sliced_bench(tmp_path / "b", 3, 1, {0: 1}).verdict(DROP)).measures[0].slices[0]
    assert single.certifies is None or single.certifies > 0.7
