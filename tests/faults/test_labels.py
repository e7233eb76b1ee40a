"""Missing clusters and slices are missing, never the text None."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.asked import planned, refusal, run_saying

GENERATE: dict[str, Any] = {"data": "rows.jsonl", "prompt": "{{q}}", "answer": "A"}


@pytest.mark.fault("T12", "null as the cluster of every row", "refused: the field says nothing")
def test_a_cluster_that_no_row_has_is_refused(tmp_path: Path) -> None:
    """What should make items dependent is not there, so nothing can be said of it."""
    rows = [{"q": f"q{n}", "conv": None} for n in range(5)]
    told = refusal(tmp_path, {"generate": GENERATE, "cluster_by": "conv"}, rows)
    assert told == "rows.jsonl:1: tasks.t.cluster_by: expected a value in 'conv', all 5 items have none"


@pytest.mark.fault("T12", "null, empty and absent clusters beside the text None", "each is a cluster of its own")
def test_an_item_without_a_cluster_is_its_own(tmp_path: Path) -> None:
    """Null, an empty text and an absent field; the text None is a cluster like another."""
    values: list[dict[str, object]] = [{"conv": None}, {"conv": ""}, {}, {"conv": "None"}, {"conv": 1}, {"conv": "1"}]
    rows = [{"q": f"q{n}", **value} for n, value in enumerate(values)]
    plan = planned(tmp_path, {"generate": GENERATE, "cluster_by": "conv"}, rows)
    assert [item.cluster for item in plan.items] == [None, None, None, "None", "1", "1"]
    assert "t: 3 of 6 items have no conv; each of them is a cluster of its own" in plan.notes
    (tmp_path / "rows.csv").write_text("q,conv\na,\nb,\nc,x\n")
    csv = planned(tmp_path, {"generate": {**GENERATE, "data": "rows.csv"}, "cluster_by": "conv"})
    assert [item.cluster for item in csv.items] == [None, None, "x"]


def test_missing_clusters_are_judged_as_single_items(tmp_path: Path) -> None:
    """A run with some of them counts each on its own."""
    rows = [{"q": f"q{n}", "conv": None if n % 2 else f"c{n // 4}"} for n in range(80)]
    done = run_saying(tmp_path, {"generate": GENERATE, "cluster_by": "conv"}, rows, "A", "A")
    assert done.verdict.candidates[0].measures[0].clusters == 40 + 20


@pytest.mark.fault(
    "T13", "slice values null, None, empty, 1 and 1.0 in one column", "missing told apart, two spellings refused"
)
def test_missing_slices_are_in_no_slice(tmp_path: Path) -> None:
    """Told in a note; the text None is a slice; two spellings of one number are refused with both lines."""
    values = [None, "None", "", "en", 1, "1"]
    rows = [{"q": f"q{n}", "lang": value} for n, value in enumerate(values)]
    plan = planned(tmp_path, {"generate": GENERATE, "slice_by": ["lang"]}, rows)
    assert [item.slices for item in plan.items] == [
        {}, {"lang": "None"}, {}, {"lang": "en"}, {"lang": "1"}, {"lang": "1"},
    ]  # fmt: skip
    assert "t: 2 of 6 items have no lang and belong to no slice" in plan.notes
    told = refusal(tmp_path, {"generate": GENERATE, "slice_by": ["lang"]}, [*rows, {"q": "z", "lang": 1.0}])
    assert told.startswith("rows.jsonl:7: tasks.t.slice_by: 'lang' is 1.0 here and 1 in rows.jsonl:5")


def test_a_run_with_missing_slices_shows_the_others(tmp_path: Path) -> None:
    """The whole way to the verdict."""
    rows = [{"q": f"q{n}", "lang": [None, "en", "de"][n % 3]} for n in range(90)]
    done = run_saying(tmp_path, {"generate": GENERATE, "slice_by": ["lang"]}, rows, "A", "A")
    slices = {row.slice: row.n for row in done.verdict.candidates[0].measures[0].slices}
    assert slices == {"lang=en": 30, "lang=de": 30}


MISSING = (None, "", "  ")


@pytest.mark.fault(
    "kind: missing values as text", "random columns with null, empty and absent values", "missing or their own text"
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*MISSING, "None", "null", "a", "b", 3, True]), min_size=2, max_size=8))
def test_labels_are_the_files_or_missing(tmp_path: Path, values: list[Any]) -> None:
    """As many clusters and slices as the column has texts, whatever the mixture."""
    rows = [{"q": f"q{n}", "v": value} for n, value in enumerate(values)]
    task = {"generate": GENERATE, "cluster_by": "v", "slice_by": ["v"]}
    if all(value in MISSING for value in values):
        assert "items have none" in refusal(tmp_path, task, rows)
        return
    plan = planned(tmp_path, task, rows)
    for item, value in zip(plan.items, values, strict=True):
        text = None if value in MISSING else "true" if value is True else str(value)
        assert (item.cluster, item.slices.get("v")) == (text, text)
