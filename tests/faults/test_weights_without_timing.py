"""Bytes of weights are known from loading, so they can be gated in a suite that times nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.suite.crosscheck import cross_check
from tests.gates.handmade import QUANTIZED, binary_bench, facts, one


@pytest.mark.fault("M34", "a weight_bytes gate in a suite without speed:", "judged by what loading told")
@pytest.mark.parametrize(
    ("gate", "decision"),
    [
        ({"max_ratio": 0.35}, "PASS"),
        ({"max_ratio": 0.25}, "FAIL"),
        ({"max": 40.0}, "PASS"),
        ({"max": 20.0}, "FAIL"),
    ],
)
@pytest.mark.parametrize("metric", ["weight_bytes", "disk_bytes"])
def test_weights_are_gated_without_timing(tmp_path: Path, metric: str, gate: dict[str, object], decision: str) -> None:
    """30 bytes of 100, and the suite is accepted."""
    bench = binary_bench(tmp_path, 200, 0, 0, facts=QUANTIZED.model_copy(update={metric: 30}))
    bench.variants["fp32"] = bench.variants["fp32"].model_copy(update={"facts": facts(**{metric: 100})})
    gates: list[dict[str, object]] = [{"metric": metric, **gate}]
    assert list(cross_check(bench.suite(gates))) == []
    finding = one(bench.verdict(gates)).findings[0]
    assert (finding.decision, finding.value) == (decision, 0.3 if "max_ratio" in gate else 30)


def test_what_only_timing_tells_still_needs_it(tmp_path: Path) -> None:
    """A peak, or a workload, is refused without `speed:`; a figure nobody has is INCONCLUSIVE, never 0."""
    bench = binary_bench(tmp_path, 200, 0, 0)
    refused: list[dict[str, object]] = [
        {"metric": "process_peak_bytes", "max_ratio": 0.5},
        {"metric": "weight_bytes", "max": 1.0, "workload": "1x8+8"},
    ]
    for gate in refused:
        assert any("needs `speed:`" in says for _, says in cross_check(bench.suite([gate])))
    finding = one(bench.verdict([{"metric": "weight_bytes", "max_ratio": 0.5}])).findings[0]
    assert (finding.decision, "was not measured" in finding.reason) == ("INCONCLUSIVE", True)
