"""Blocks as JUnit XML: what every CI system draws as a list of tests.

One suite per variant, one case per thing judged. FAIL and INCONCLUSIVE of a blocking gate are failures, INVALID is an
error, WAIVED is skipped, a warning is only printed. Other blocks are the printed output of a case of their section's.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from harness.records.verdict import Verdict
from harness.reports.blocks import Outcome, Outcomes, Section
from harness.reports.sections import SECTIONS, Row, arranged
from harness.shown import one_line


def render_junit(verdict: Verdict, rows: tuple[Row, ...] = SECTIONS) -> str:
    """A `testsuites` document with its declaration, UTF-8."""
    return drawn(verdict, arranged(verdict, "junit", rows))


def drawn(verdict: Verdict, sections: Iterable[Section]) -> str:
    """The sections as a document of this run's."""
    root = ET.Element("testsuites", name=one_line(verdict.suite), time=f"{verdict.elapsed_s:.3f}")
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Outcomes):
                suite = _suite(root, verdict, f"{verdict.suite}.{block.title}", block.seconds)
                for outcome in block.outcomes:
                    _outcome(suite, outcome)
                continue
            suite = _suite(root, verdict, f"{verdict.suite}.{section.title or section.name}", None)
            text = "\n".join(one_line(line, longest=2000) for line in block.words())
            ET.SubElement(_case(suite, type(block).__name__.lower()), "system-out").text = text
    for element in (*root, root):
        _count(element)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(root: ET.Element, verdict: Verdict, name: str, seconds: float | None) -> ET.Element:
    attributes = {"name": one_line(name), "timestamp": verdict.judged_at, "hostname": verdict.host.fingerprint}
    if seconds is not None:
        attributes["time"] = f"{seconds:.3f}"
    return ET.SubElement(root, "testsuite", attributes)


def _case(suite: ET.Element, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name=one_line(name))


def _outcome(suite: ET.Element, outcome: Outcome) -> None:
    case, decision = _case(suite, outcome.case), outcome.decision
    says = one_line(outcome.reason, longest=2000)
    if decision == "WAIVED":
        ET.SubElement(case, "skipped", message=f"WAIVED: {says}").text = says
    elif decision != "PASS" and outcome.weight == "block":
        tag = "error" if decision == "INVALID" else "failure"
        ET.SubElement(case, tag, type=decision, message=says).text = says
    else:
        ET.SubElement(case, "system-out").text = f"{decision}: {says}"


def _count(element: ET.Element) -> None:
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(1 for _ in element.iter(tag))))
