"""The loss over promoted versions."""

from __future__ import annotations

from harness.records.measures import CumulativeDrift, DriftStep
from harness.records.verdict import Verdict
from harness.reports.blocks import Fold
from harness.reports.sections.versions import section
from tests.reports.example import example
from tests.reports.sections.said import said

STEPS = tuple(
    DriftStep(
        version=f"v{place}", variant="int8", run="r", promoted_at=None if place == 2 else f"2026-0{place + 1}-01T00:00",
        step=0.01 * place, step_lower=0.0, step_upper=0.03, total=0.02, total_lower=0.01, total_upper=0.05, n=900,
    )
    for place in range(3)
)  # fmt: skip


def drifted() -> Verdict:
    """bf16 after two promoted versions."""
    drift = CumulativeDrift(
        task="intents", metric="acc", kind="binary", unit="", steps=STEPS, earlier=2, limit=0.02, step_decision="PASS",
        total_decision="FAIL", starts_anew="the data changed", says="down 2 pp in all",
    )  # fmt: skip
    first = example().candidates[0].model_copy(update={"creep": (drift,)})
    return example().model_copy(update={"candidates": (first, *example().candidates[1:])})


def test_every_step_with_its_bounds() -> None:
    """Version by version and in all; a share of zeros and ones is in points although its metric has no unit."""
    found = section(drifted())
    text = said(found)
    assert "intents acc step PASS in all FAIL" in text
    assert "Version 2 earlier and v0, Promoted 2026-01-01, Step 0.00 pp, In all 2.00 pp, Items 900" in text
    assert "Version v2, Promoted –, Step 2.00 pp" in text
    assert "the data changed" in text
    assert found is not None
    assert [block.open for block in found.blocks if isinstance(block, Fold)] == [True]


def test_without_promoted_versions_there_is_no_section() -> None:
    """Nothing is said where nothing was promoted."""
    assert section(example()) is None
