"""What is kept of the fine-tuning gain, as the terminal, Markdown and the page show it."""

from __future__ import annotations

import io

from rich.console import Console

from harness.records.findings import Finding
from harness.records.measures import Retained
from harness.records.verdict import BaseModelFacts, Verdict
from harness.reports.html import render_html
from harness.reports.markdown import render_markdown
from harness.reports.sections.overview import figures
from harness.reports.terminal import print_verdict
from tests.reports.example import HOSTILE, example

ROW = Retained(
    task="intents", metric="acc", unit="fraction", n=900, base=0.412, fine_tuned=0.612, candidate=0.604, gain=0.2,
    gain_lower=0.175, gain_upper=0.225, retained=0.962, lower=0.91, upper=1.013,
)  # fmt: skip
UNSHOWN = Retained(
    task="heldout", metric="perplexity", unit="", n=40, base=15.3, fine_tuned=15.31, candidate=15.5, gain=-0.0007,
    gain_lower=-0.01, gain_upper=0.008, note="no gain from fine-tuning is shown by these items",
)  # fmt: skip


def with_base(note: str | None = None, *, gated: bool = False) -> Verdict:
    verdict = example()
    first = verdict.candidates[0]
    finding = Finding(
        gate="gates[9]", variant=first.variant, task="intents", metric="acc", form="min_retained", limit=0.95,
        value=0.962, lower=0.91, upper=1.013, alpha=0.05, n=900, unit="fraction", decision="INCONCLUSIVE",
        severity="block", against="the base model", reason="keeps 96.2 % of what fine-tuning gained in acc",
    )  # fmt: skip
    changed = first.model_copy(
        update={"retained": (ROW, UNSHOWN), "findings": (*first.findings, finding) if gated else first.findings}
    )
    base = BaseModelFacts(model="./before", note=note)
    return verdict.model_copy(update={"base": base, "candidates": (changed, *verdict.candidates[1:])})


def terminal(verdict: Verdict) -> str:
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=200, color_system=None))
    return out.getvalue()


def test_every_report_gives_share_interval_and_reason() -> None:
    """The share with its bounds where there is one, otherwise why there is none."""
    verdict = with_base()
    for text in (terminal(verdict), render_markdown(verdict)):
        assert "fine-tuning retained, over ./before" in text
        assert "intents acc 96.2 %" in text
        assert "91.0 … 101.3 %" in text
        assert "heldout perplexity undefined" in text
        assert "no gain from fine-tuning is shown" in text
    page = render_html(verdict)
    section = page[page.index('<section id="retained">') :].partition("</section>")[0]
    for told in ("41.2 %", "61.2 %", "60.4 %", "20.00 pp", "17.50 … 22.50 pp", "96.2 %", "91.0 … 101.3 %", "undefined"):
        assert told in section
    assert '<a href="#retained">' in page


def test_without_a_base_nothing_is_said() -> None:
    """A suite without `base` has no such line, section or column."""
    verdict = example()
    assert "retained" not in terminal(verdict)
    assert "retained" not in render_markdown(verdict)
    assert 'id="retained"' not in render_html(verdict)


def test_why_nothing_is_known_is_safe_to_show() -> None:
    """What an engine said about the base is said once and forms no markup and no command."""
    verdict = with_base(note=f"the base model could not be run: {HOSTILE}")
    assert "undefined, the base model could not be run" in terminal(verdict)
    assert "\x1b" not in terminal(verdict)
    assert "::error" not in terminal(verdict)
    assert "<script>alert" not in render_markdown(verdict)
    assert "<script>alert" not in render_html(verdict)


def test_a_gated_share_is_a_column() -> None:
    """A gate on the share puts it beside the drops, with its own decision; the drop's column keeps the drop gate's."""
    shares = [figure for figure in figures(with_base(gated=True)) if figure.detail == "retained"]
    assert [(figure.title, figure.cells[0].text, figure.cells[0].decision) for figure in shares] == [
        ("intents", "96.2 %", "INCONCLUSIVE")
    ]
    assert next(figures(with_base(gated=True))) == next(figures(with_base()))
