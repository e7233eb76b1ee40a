"""GitHub workflow commands for what did not pass: a line per finding, shown on the run's page.

For GitHub Actions only (`GITHUB_ACTIONS=true`, the caller's check). A value can never start a command of
its own: everything that could end a line or a property is percent-encoded as GitHub's runner decodes it.
"""

from harness.records.findings import FindingDecision
from harness.records.verdict import Verdict
from harness.reports import figures
from harness.reports.safe_text import one_line, without_commands


def annotations(verdict: Verdict) -> str:
    """`::error title=…::…` lines, errors for what blocks and warnings for the rest; empty when all passed."""
    lines: list[str] = []
    parts = [(f"{verdict.baseline} (baseline)", verdict.baseline_findings, verdict.baseline_checks)]
    parts += [(each.variant, each.findings, each.checks) for each in verdict.candidates]
    for name, findings, checks in parts:
        for check in checks:
            if not check.held:
                title = f"{name} {'INVALID' if check.blocks else 'note'}: {check.name}"
                lines.append(_command("error" if check.blocks else "notice", title, check.says))
        for finding in findings:
            if finding.decision != "PASS":
                title = f"{name} {finding.decision}: {figures.gate_name(finding)}"
                lines.append(_command(_level(finding.decision, finding.severity), title, finding.reason))
    lines += [_command("notice", "waiver", says) for says in figures.waiver_notes(verdict)]
    lines += [_command("notice", "changed gate", says) for says in figures.change_notes(verdict)]
    if verdict.report_only:
        lines.append(_command("notice", f"{verdict.suite}: {verdict.headline}", verdict.sentence))
    elif verdict.decision != "PASS":
        title = f"{verdict.suite}: {verdict.decision}"
        lines.append(_command("error" if lines else _level(verdict.decision, "block"), title, verdict.sentence))
    return "".join(f"{line}\n" for line in lines)


def _level(decision: FindingDecision, severity: str) -> str:
    if decision == "WAIVED":
        return "notice"
    return "warning" if severity == "warn" or decision == "INCONCLUSIVE" else "error"


def _command(level: str, title: str, message: str) -> str:
    title = _escape(without_commands(one_line(title))).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_escape(without_commands(one_line(message, longest=1000)))}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
