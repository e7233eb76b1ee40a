"""What `quantgate compare` prints."""

from __future__ import annotations

from harness.reports.blocks import Lines, Table
from harness.reports.sections.compared import section
from tests.reports.example import example


def test_measures_and_speed_of_each_candidate() -> None:
    """One after the other, with the flips; no decision."""
    blocks = section(example()).blocks
    titles = [block.title for block in blocks if isinstance(block, Table) and block.title]
    assert titles == ["bf16 against fp32", "int8 against fp32", "nf4 against fp32"]
    assert [block.note for block in blocks if isinstance(block, Table)][3] == "flips: intents 70, replies 9"
    assert "INCONCLUSIVE" not in "\n".join(line for block in blocks for line in block.words() if "It says" not in line)


def test_a_candidate_without_figures_says_why() -> None:
    """Its sentence stands in their place."""
    last = section(example()).blocks[-1]
    assert isinstance(last, Lines)
    assert [line.text for line in last.lines] == ["It says 4-bit and holds no quantized module."]
