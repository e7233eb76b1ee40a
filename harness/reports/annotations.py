"""Blocks as GitHub workflow commands: a line for what did not pass, shown on the run's page.

For GitHub Actions only. A value can never start a command of its own: everything that could end a line or a property
is percent-encoded as GitHub's runner decodes it.
"""

from collections.abc import Iterable, Iterator

from harness.records.verdict import Verdict
from harness.reports.blocks import Block, Headline, Lines, Outcome, Outcomes, Section, told
from harness.reports.sections import SECTIONS, Row, arranged
from harness.shown import one_line, without_commands


def annotations(verdict: Verdict, rows: tuple[Row, ...] = SECTIONS) -> str:
    """`::error title=…::…` lines, errors for what blocks and warnings for the rest; empty when all passed."""
    return drawn(arranged(verdict, "annotations", rows))


def drawn(sections: Iterable[Section]) -> str:
    """The sections' commands, a line each."""
    lines: list[str] = []
    for section in sections:
        for block in section.blocks:
            lines += _block(block, section.title, anything=bool(lines))
    return "".join(f"{line}\n" for line in lines)


def _block(block: Block, title: str, *, anything: bool) -> Iterator[str]:
    match block:
        case Outcomes():
            yield from (_outcome(block.title, each) for each in block.failed)
        case Lines() if block.kind in ("note", "quiet"):
            noted = [line for line in told(block.lines, "annotations") if line.annotation]
            yield from (_command("notice", line.annotation, line.text) for line in noted)
        case Headline():
            if not block.judged:
                yield _command("notice", f"{block.title}: {block.word}", block.sentence)
            elif block.decision != "PASS":
                doubt = block.decision == "INCONCLUSIVE" and not anything
                yield _command("warning" if doubt else "error", f"{block.title}: {block.decision}", block.sentence)
        case _:
            yield _command("notice", title, "; ".join(block.words()))


def _outcome(variant: str, outcome: Outcome) -> str:
    level = "warning" if outcome.weight == "warn" or outcome.decision == "INCONCLUSIVE" else "error"
    if outcome.weight == "note" or outcome.decision == "WAIVED":
        level = "notice"
    word = "note" if outcome.weight == "note" else outcome.decision
    return _command(level, f"{variant} {word}: {outcome.name}", outcome.reason)


def _command(level: str, title: str, message: str) -> str:
    title = _escape(without_commands(one_line(title))).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_escape(without_commands(one_line(message, longest=1000)))}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
