"""A decision follows from the findings and checks beside it whenever it is read; nothing judged is no PASS."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import api
from harness.errors import RecordError
from harness.notation import WORST_FIRST
from harness.records.decisions import counted, derived, held_to_its_parts, worst
from harness.records.findings import Check, Finding, FindingDecision
from harness.records.summary import summary_of
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.markdown import render_markdown
from tests.gates.handmade import DROP, Bench, binary_bench, one

WARN: list[dict[str, object]] = [{**DROP[0], "severity": "warn"}]


def broken(root: Path) -> tuple[Bench, Verdict]:
    bench = binary_bench(root, 1000, 68, 18)
    return bench, bench.verdict(DROP)


@pytest.mark.fault("F31", "verdict.json set to PASS by hand, its findings left as they were", "refused by every reader")
@pytest.mark.parametrize("whose", ["run", "candidate", "both"])
def test_a_verdict_over_its_findings_is_refused(tmp_path: Path, whose: str) -> None:
    """The file is named, and what its findings give; reports, promotion, explanations and history read no such file."""
    bench, verdict = broken(tmp_path)
    changes: dict[str, object] = {}
    if whose in ("run", "both"):
        changes |= {"decision": "PASS", "sentence": "PASS: q can be deployed."}
    if whose in ("candidate", "both"):
        changes["candidates"] = (one(verdict).model_copy(update={"decision": "PASS"}),)
    bench.store.save_verdict(verdict.model_copy(update=changes))
    for read in (bench.store.verdict, bench.store.summary):
        with pytest.raises(RecordError, match=r"verdict\.json: says PASS.* give.? FAIL.*quantgate gate r1"):
            read("s", "r1")


def test_what_was_judged_is_read_back(tmp_path: Path) -> None:
    """A verdict of ours follows from its parts, whole and as a summary."""
    for place, gates in enumerate((DROP, WARN, [])):
        bench = binary_bench(tmp_path / str(place), 200, 0, 0)
        verdict = bench.verdict(gates)
        bench.store.save_verdict(verdict)
        assert bench.store.verdict("s", "r1") == verdict
        assert bench.store.summary("s", "r1") == summary_of(verdict)


def test_a_pass_of_nothing_is_read_as_undecided(tmp_path: Path) -> None:
    """Earlier versions stored PASS where no limit was set; it is no PASS any more, and no damage either."""
    bench = binary_bench(tmp_path, 200, 0, 0)
    verdict = bench.verdict([])
    old = one(verdict).model_copy(update={"decision": "PASS"})
    said = "PASS: q could be compared soundly, but no blocking limit says whether it can be deployed."
    bench.store.save_verdict(verdict.model_copy(update={"decision": "PASS", "candidates": (old,), "sentence": said}))
    read = bench.store.verdict("s", "r1")
    assert (read.decision, one(read).decision, read.exit_code) == ("INCONCLUSIVE", "INCONCLUSIVE", 11)
    assert read.sentence.startswith("INCONCLUSIVE: q could be compared")
    assert bench.store.summary("s", "r1").decision == "INCONCLUSIVE"


@pytest.mark.fault("F32", "no gates, or none that blocks, and a candidate that lost much", "INCONCLUSIVE, exit 11")
@pytest.mark.parametrize("gates", [[], WARN])
def test_nothing_judged_is_inconclusive(tmp_path: Path, gates: list[dict[str, object]]) -> None:
    """11, and the sentence says what to do."""
    verdict = binary_bench(tmp_path, 1000, 68, 18).verdict(gates)
    assert (verdict.decision, verdict.exit_code, one(verdict).decision) == ("INCONCLUSIVE", 11, "INCONCLUSIVE")
    assert "no blocking limit judged anything" in verdict.sentence
    assert "--report-only" in verdict.sentence


def test_one_candidate_without_a_limit_is_no_pass(tmp_path: Path) -> None:
    """Where another one was judged, the run goes by that one; the one without a limit cannot be promoted."""
    bench = binary_bench(tmp_path, 400, 0, 0)
    bench.variants["extra"] = bench.variants["q"].model_copy(update={"variant": "extra"})
    verdict = bench.verdict([{**DROP[0], "variants": ["q"]}])
    assert {each.variant: each.decision for each in verdict.candidates} == {"q": "PASS", "extra": "INCONCLUSIVE"}
    assert (verdict.decision, verdict.exit_code) == ("PASS", 0)
    assert "extra could be compared soundly, but no blocking limit says" in verdict.sentence


def test_report_only_asks_for_no_verdict(tmp_path: Path) -> None:
    """Exit code 0, no gate applied, and the headline says so; what is unsound is still said to be."""
    from harness.comparison import compare_run
    from harness.gates import judge
    from tests.gates.handmade import NOW

    bench = binary_bench(tmp_path, 1000, 68, 18)
    comparison = compare_run(bench.store, bench.manifest())
    verdict = judge(bench.suite(DROP), comparison, judged_at=NOW, report_only=True)
    assert (verdict.exit_code, one(verdict).findings, verdict.headline) == (0, (), "REPORT ONLY")
    assert "No verdict was asked for (--report-only)" in verdict.sentence
    page = render_markdown(verdict)
    assert page.startswith("## REPORT ONLY: s")
    assert "not judged" in page
    assert "PASS" not in page
    bench.variant("q", [], failure="its worker was killed by signal 9", facts=None)
    verdict = judge(bench.suite(DROP), compare_run(bench.store, bench.manifest()), judged_at=NOW, report_only=True)
    assert (verdict.exit_code, one(verdict).decision) == (0, "INVALID")
    assert "q could not be compared soundly" in verdict.sentence
    assert api.Run(manifest=bench.manifest(), verdict=verdict, results=tmp_path).exit_code == 0


DECISIONS: st.SearchStrategy[FindingDecision] = st.sampled_from(["PASS", "FAIL", "INCONCLUSIVE", "INVALID", "WAIVED"])
PARTS = st.lists(st.tuples(DECISIONS, st.booleans()), max_size=4)
CHECKS = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=3)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    return binary_bench(tmp_path_factory.mktemp("judged"), 200, 0, 0).verdict(DROP)


def arranged(verdict: Verdict, parts: list[tuple[FindingDecision, bool]], checks: list[tuple[bool, bool]]) -> Verdict:
    """The verdict with other findings (decision, blocks?) and checks (held?, blocks?)."""
    finding: Finding = one(verdict).findings[0]
    candidate: CandidateVerdict = one(verdict).model_copy(
        update={
            "findings": tuple(
                finding.model_copy(update={"decision": each, "severity": "block" if blocks else "warn"})
                for each, blocks in parts
            ),
            "checks": tuple(Check(name="c", held=held, blocks=blocks, says="x") for held, blocks in checks),
        }
    )
    return verdict.model_copy(update={"candidates": (candidate,)})


@pytest.mark.fault("kind: decision", "any decision over any findings and checks", "only the one that follows is read")
@settings(max_examples=200, deadline=None)
@given(parts=PARTS, checks=CHECKS, claimed=st.sampled_from(("PASS", "INCONCLUSIVE", "FAIL", "INVALID")))
def test_only_what_follows_is_read(
    judged: Verdict, parts: list[tuple[FindingDecision, bool]], checks: list[tuple[bool, bool]], claimed: str
) -> None:
    """No decision is better than the worst blocking finding, none is PASS without one, and no other one is read."""
    verdict = arranged(judged, parts, checks)
    (own,), whole = derived(verdict)
    blocking = [each for each in one(verdict).findings if each.severity == "block"]
    assert WORST_FIRST.index(own) <= WORST_FIRST.index(worst(map(counted, blocking)))
    assert own == whole
    assert own != "PASS" or blocking
    assert own == "INVALID" or all(held or not blocks for held, blocks in checks)
    said = one(verdict).model_copy(update={"decision": claimed})
    stored = verdict.model_copy(update={"candidates": (said,), "decision": claimed})
    if claimed == own or (claimed == "PASS" and own == "INCONCLUSIVE" and not blocking):
        assert held_to_its_parts(stored).decision == own
    else:
        with pytest.raises(ValueError, match=f"says {claimed}"):
            held_to_its_parts(stored)


@pytest.mark.fault("F32", "only a limit on the baseline, and a candidate that lost half", "INCONCLUSIVE, exit 11")
@pytest.mark.parametrize("more", [[], WARN])
def test_a_limit_on_the_baseline_judges_no_candidate(tmp_path: Path, more: list[dict[str, object]]) -> None:
    """A good baseline is no PASS of the candidate, and beside a candidate that was judged it holds nobody up."""
    floor: dict[str, object] = {"task": "t", "metric": "acc", "min": 0.5, "on": "baseline"}
    bench = binary_bench(tmp_path, 400, 200, 0)
    verdict = bench.verdict([floor, *more])
    assert verdict.baseline_findings[0].decision == "PASS"
    assert (one(verdict).decision, verdict.exit_code) == ("INCONCLUSIVE", 11)
    assert "no blocking limit" in one(verdict).sentence
    bench = binary_bench(tmp_path / "beside", 400, 0, 0)
    bench.variants["extra"] = bench.variants["q"].model_copy(update={"variant": "extra"})
    verdict = bench.verdict([floor, {**DROP[0], "variants": ["q"]}])
    assert {each.variant: each.decision for each in verdict.candidates} == {"q": "PASS", "extra": "INCONCLUSIVE"}
    assert verdict.exit_code == 0
