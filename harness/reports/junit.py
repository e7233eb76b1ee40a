"""The verdict as JUnit XML: what every CI system draws as a list of tests.

One suite per candidate (and one for the baseline's own gates and checks), one case per finding and per check.
FAIL and INCONCLUSIVE of a blocking gate are failures, INVALID is an error, WAIVED is skipped, a warning is only
printed.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from harness.records.findings import Check, Finding, FindingDecision
from harness.records.verdict import Verdict
from harness.reports import figures
from harness.reports.safe_text import one_line


def render_junit(verdict: Verdict) -> str:
    """A `testsuites` document with its declaration, UTF-8."""
    root = ET.Element("testsuites", name=one_line(verdict.suite), time=f"{verdict.elapsed_s:.3f}")
    if verdict.baseline_findings or verdict.baseline_checks:
        name = f"{verdict.suite}.{verdict.baseline} (baseline)"
        suite = _suite(root, verdict, name, None)
        _fill(suite, verdict.baseline_findings, verdict.baseline_checks)
    for candidate in verdict.candidates:
        suite = _suite(root, verdict, f"{verdict.suite}.{candidate.variant}", candidate.seconds)
        _fill(suite, candidate.findings, candidate.checks)
        if verdict.report_only and candidate.decision != "INVALID":
            _outcome(_case(suite, "verdict"), candidate.decision, verdict.sentence, blocks=False)
        elif candidate.decision != "PASS" and not _counted(suite, "failure") + _counted(suite, "error"):
            case = _case(suite, "verdict")
            _outcome(case, candidate.decision, candidate.sentence, blocks=True)
    for suite in root:
        _count(suite)
    _count(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def write_junit(verdict: Verdict, path: Path) -> None:
    """Write the XML to `path` by rename. Raises `RecordError` when it cannot be written."""
    from harness.records.store import write_atomically

    write_atomically(path, render_junit(verdict).encode())


def _suite(root: ET.Element, verdict: Verdict, name: str, seconds: float | None) -> ET.Element:
    attributes = {
        "name": one_line(name),
        "timestamp": verdict.judged_at,
        "hostname": verdict.host.fingerprint,
    }
    if seconds is not None:
        attributes["time"] = f"{seconds:.3f}"
    return ET.SubElement(root, "testsuite", attributes)


def _fill(suite: ET.Element, findings: tuple[Finding, ...], checks: tuple[Check, ...]) -> None:
    for finding in findings:
        case = _case(suite, f"{finding.gate} {figures.gate_name(finding)} {figures.limit(finding)}")
        _outcome(case, finding.decision, finding.reason, blocks=finding.severity == "block")
    for check in checks:
        case = _case(suite, f"validity: {check.name}")
        _outcome(case, "PASS" if check.held else "INVALID", check.says, blocks=check.blocks)


def _case(suite: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name=one_line(name))


def _outcome(case: ET.Element, decision: FindingDecision, says: str, *, blocks: bool) -> None:
    says = one_line(says, longest=2000)
    if decision == "WAIVED":
        ET.SubElement(case, "skipped", message=f"WAIVED: {says}").text = says
    elif decision != "PASS" and blocks:
        tag = "error" if decision == "INVALID" else "failure"
        ET.SubElement(case, tag, type=decision, message=says).text = says
    else:
        ET.SubElement(case, "system-out").text = f"{decision}: {says}"


def _counted(element: ET.Element, tag: str) -> int:
    return sum(1 for _ in element.iter(tag))


def _count(element: ET.Element) -> None:
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(_counted(element, tag)))
