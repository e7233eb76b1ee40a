"""The verdict in sentences: why each candidate may be deployed or not, what follows for the run, and by which method.

Written from findings and checks that are decided already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.forms.sequential import stopped_at
from harness.notation import WORST_FIRST, shortened
from harness.records.decisions import blocking
from harness.records.findings import Check, Decision, Finding
from harness.records.run_manifest import EarlyStop
from harness.records.verdict import CandidateVerdict

UNJUDGED = "unjudged"
"""For a candidate without a blocking limit."""
ADVICE = "add gates, or use --report-only for a comparison without a verdict"


def candidate_sentence(
    decision: Decision,
    checks: Iterable[Check],
    baseline_findings: Sequence[Finding],
    own: Sequence[Finding],
    stopped: EarlyStop | None,
) -> str:
    """Why, in one sentence: the first check or blocking finding that decided it."""
    findings = (*baseline_findings, *own)
    if decision == "INVALID":
        for check in checks:
            if check.blocks and not check.held:
                return check.says
    blocks = [finding for finding in findings if finding.severity == "block"]
    deciding = [finding for finding in blocks if finding.decision == decision]
    if decision != "PASS" and not (deciding or stopped or blocking(own)):
        return _passed([], [finding for finding in own if finding.severity == "warn"])
    if decision == "PASS" or not (deciding or stopped):
        return _passed(blocks, [finding for finding in findings if finding.severity == "warn"])
    if not deciding and stopped is not None:
        return f"{stopped_at(stopped)}; run again without --stop-early"
    first = deciding[0]
    others = len(deciding) - 1
    return f"{_where(first)}: {first.reason}" + (f" (and {others} more)" if others else "")


def _passed(blocks: Sequence[Finding], warnings: Sequence[Finding]) -> str:
    """Why it may be deployed, and under which waivers."""
    waived = [finding for finding in blocks if finding.decision == "WAIVED"]
    warned = sum(1 for finding in warnings if finding.decision not in ("PASS", "WAIVED"))
    held = "no blocking limit is set for it"
    if blocks:
        limits = "limit" if len(blocks) == 1 else "limits"
        held = f"holds {len(blocks) - len(waived)} of {len(blocks)} blocking {limits}"
    if not waived and blocks:
        held = "holds the only blocking limit" if len(blocks) == 1 else f"holds all {len(blocks)} blocking limits"
    excuses = "".join(f"; {_where(each)} {each.waiver.says}" for each in waived if each.waiver is not None)
    return held + excuses + (f"; {warned} warning{'s' if warned != 1 else ''}" if warned else "")


def _where(finding: Finding) -> str:
    where = f"{finding.task} {finding.metric}" if finding.task else finding.metric
    return f"{where} on {shortened(finding.slice)}" if finding.slice else where


def run_sentence(candidates: tuple[CandidateVerdict, ...], decision: Decision, *, report_only: bool) -> str:
    if report_only:
        unsound = [each.variant for each in candidates if each.decision == "INVALID"]
        broken_ones = f"; {_list(unsound)} could not be compared soundly" if unsound else ""
        return f"No verdict was asked for (--report-only){broken_ones}."
    if not candidates:
        return "No candidate was judged: the suite or the selection has only the baseline."
    groups: dict[str, list[str]] = {each: [] for each in (*reversed(WORST_FIRST), UNJUDGED)}
    for candidate in candidates:
        unjudged = candidate.decision == "INCONCLUSIVE" and not candidate.stopped and not blocking(candidate.findings)
        groups[UNJUDGED if unjudged else candidate.decision].append(_named(candidate))
    words = {
        "PASS": "can be deployed",
        UNJUDGED: "could be compared soundly, but no blocking limit says whether it can be deployed",
        "INCONCLUSIVE": "cannot be decided with these items",
        "FAIL": "must not be deployed",
        "INVALID": "could not be compared soundly",
    }
    parts = [f"{_list(names)} {words[each]}" for each, names in groups.items() if names]
    if not any(blocking(candidate.findings) for candidate in candidates) and decision == "INCONCLUSIVE":
        return f"{decision}: no blocking limit judged anything ({'; '.join(parts)}); {ADVICE}."
    return f"{decision}: {'; '.join(parts)}."


def _named(candidate: CandidateVerdict) -> str:
    """The variant's name, with a remark where it passes under a waiver."""
    waived = any(finding.decision == "WAIVED" and finding.severity == "block" for finding in candidate.findings)
    return f"{candidate.variant} (under a waiver)" if waived and candidate.decision == "PASS" else candidate.variant


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_PAIRED = (
    "Every variant was given the same token ids, and every answer is paired with the baseline's answer to the "
    "same item."
)
_IMPORTED = (
    "The results were computed elsewhere and imported. Both sides were asked the same, as far as their files show it, "
    "and every answer is paired with the baseline's answer to the same item."
)
_DROPS = (
    "A drop is judged as non-inferiority: PASS when the upper one-sided bound of the drop lies below the limit, "
    "FAIL when the lower bound lies above it, otherwise INCONCLUSIVE. “No significant difference” is never "
    "taken for “safe”.",
    "Right-or-wrong metrics: Tango's score bound on the paired flips; with clusters, divided by the design effect. "
    "McNemar's mid-p is shown beside it and decides nothing.",
)
_TIES = "Options that tie count as one over their number."
_NOTHING_TO_LOSE = (
    "A limit on a loss is INVALID where the baseline has nothing to "
    "lose: the metric's worst value, no more than guessing gives, or one answer for all."
)
_SHARES = (
    "Share of the baseline's score kept: the score test of Nam and Blackwelder for right-or-wrong metrics, "
    "Fieller's theorem for graded ones. A level of its own: Wilson's bounds.",
    "Share of the fine-tuning gain kept, (candidate - base) / (fine-tuned - base): Fieller's set over the same items, "
    "by the score test for right-or-wrong metrics; undefined where the gain's own bound reaches 0.",
    "Graded metrics: paired t; where fewer than 50 items (or clusters, also of right-or-wrong metrics) changed, the "
    "wider of that and Gaffke's bound, which counts with one unseen loss. Perplexity and divergence: the document is "
    "the unit; under 20 documents nothing is decided.",
)
_MEASURED_HERE = (
    "KL divergence is KL(baseline || variant) in nats per scored token over the whole vocabulary.",
    "Speed: adjacent baseline/candidate runs in ABBA order after a discarded warm-up; Hodges–Lehmann estimate of the "
    "ratio with exact signed-rank bounds.",
    "Noise floor: the baseline is asked a part of every task again in other batches. What flips or moves there is "
    "noise; a limit below it is named and decides as any other. Speed: two adjacent runs of the baseline.",
)
_DECISIONS = (
    "A candidate's failed answer counts against it; a failed answer of the baseline makes the comparison INVALID.",
    "A candidate passes when every blocking gate passes, each at its own alpha; a false PASS needs no correction "
    "for several gates. Every limit is another chance to FAIL, so FAILs across tasks and slices get Holm's correction; "
    "one that does not survive it is INCONCLUSIVE.",
    "Which slices moved is an exploratory list (Benjamini and Hochberg) and decides nothing.",
)
METHOD = (_PAIRED, *_DROPS, f"{_TIES} {_NOTHING_TO_LOSE}", *_SHARES, *_MEASURED_HERE, *_DECISIONS)
IMPORTED_METHOD = (_IMPORTED, *_DROPS, _NOTHING_TO_LOSE, *_SHARES, *_DECISIONS)
"""Of a run whose results were imported: values are those of the files, nothing was timed, no distribution was seen."""
