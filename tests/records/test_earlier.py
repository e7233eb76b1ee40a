"""A results folder as version 1 of the records left it, before they carried checksums: `stored_v1/`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness import api
from harness.errors import RecordError
from harness.records.store import Store
from harness.records.verdict import Verdict

STORED = Path(__file__).parent / "stored_v1"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STORED, tmp_path / "results"))


def figures(verdict: Verdict) -> list[tuple[object, ...]]:
    measures = [measure for each in verdict.candidates for measure in each.measures]
    return [(each.task, each.metric, each.baseline, each.candidate, each.change, each.n) for each in measures]


def test_it_is_judged_as_it_was(results: Path) -> None:
    """Every measure of the verdict that it was stored with, beside those that came later, and a sentence that nothing
    proves them unchanged."""
    before = Store(results).verdict("earlier", Store(results).find_run("latest").run)
    after = api.gate("latest", results=results)
    assert before.schema_version == 1
    later = set(figures(after)) - set(figures(before))
    assert set(figures(before)) <= set(figures(after))
    assert {metric for _, metric, *_ in later} == {"byte_perplexity", "brier", "brier_norm", "margin_ratio"}
    assert "carry no checksum" in after.method[-1]
    assert Store(results).verdict("earlier", after.run) == after
    assert [each.name for each in Store(results).accepted("earlier")] == ["v1"]
    assert [run.run for run in api.history("earlier", results=results).runs] == [after.run]


def test_what_could_be_told_then_is_told_now(results: Path) -> None:
    """Keys are hashes of identities since the first version: an evaluation under another one's key is refused."""
    keys = {name: variant.evaluations["ask"] for name, variant in Store(results).find_run("latest").variants.items()}
    for name in ("chunks.jsonl", "manifest.json"):
        shutil.copyfile(*(results / "evaluations" / keys[variant] / name for variant in ("full", "small")))
    with pytest.raises(RecordError, match="not of the folder it is in"):
        api.gate("latest", results=results)
