"""The noise floor where a reader looks: one line in the terminal and in Markdown, a table on the page."""

from __future__ import annotations

import io

from rich.console import Console

from harness.records.measures import Noise, NoiseMeasure, NoiseSpeed
from harness.records.verdict import Verdict
from harness.reports.html import render_html
from harness.reports.markdown import render_markdown
from harness.reports.terminal import print_verdict
from tests.reports.example import HOSTILE, example

FLOOR = Noise(
    measures=(
        NoiseMeasure(
            task="intents", metric="acc", kind="binary", unit="fraction", n=64, value=1 / 64, upper=0.07, flips=1
        ),
        NoiseMeasure(task="heldout", metric="kl_mean", kind="divergence", unit="nats", n=4, value=4.1e-7),
    ),
    likelihoods={"intents": 0.00031},
    speed=(
        NoiseSpeed(workload="1x512+128", metric="decode_tokens_per_s", pairs=12, spread=0.018),
        NoiseSpeed(workload="1x512+128", metric="ttft_s", pairs=12, spread=0.03),
    ),
)
LINE = "intents acc 1 of 64 flip; heldout KL 4.1e-07 nats; decode_tokens_per_s ±1.80 %"


def with_noise(noise: Noise | None) -> Verdict:
    return example().model_copy(update={"noise": noise})


def terminal(verdict: Verdict) -> str:
    console = Console(file=io.StringIO(), width=160)
    print_verdict(verdict, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_one_line() -> None:
    """Flips, KL with itself and the spread of decoding; none where nothing was measured."""
    assert f"noise floor  {LINE}" in terminal(with_noise(FLOOR))
    assert "noise floor" not in terminal(with_noise(None))
    text = render_markdown(with_noise(FLOOR))
    assert "Noise floor (fp32 against itself): intents acc 1 of 64 flip; heldout KL 4.1e-07 nats" in text
    assert "Noise floor" not in render_markdown(with_noise(None))


def test_the_page_holds_every_figure() -> None:
    """With the bound of the share and the number behind each."""
    page = render_html(with_noise(FLOOR))
    for shown in ("1 flip, 1.56 %, at most 7.00 %", "64 items", "4.1e-07 nats", "0.00031 nats apart on average",
                  "±3.00 % from one run to the next", "12 adjacent runs"):  # fmt: skip
        assert shown in page
    assert 'id="noise"' in page
    assert 'id="noise"' not in render_html(with_noise(None))


def test_hostile_text_stays_text() -> None:
    """A task's name and an engine's message."""
    verdict = with_noise(FLOOR.model_copy(update={"measures": (), "speed": (), "note": HOSTILE}))
    assert "<script" not in render_html(verdict)
    assert "\x1b" not in terminal(verdict)
    assert "<script" not in render_markdown(verdict)
