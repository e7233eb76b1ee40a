"""History: rows from verdicts, and what other programs get of them."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.records.summary import summary_of
from harness.records.verdict import Verdict
from harness.trends import History, HistoryRow, collect, history_csv, history_json
from tests.reports.example import example
from tests.trends.runs import run, steps

FIRST_COLUMNS = (
    *("run", "started_at", "variant", "metric", "task", "kind", "unit", "baseline", "candidate", "change"),
    *("lower", "upper", "decision", "verdict", "accepted", "host"),
)


def verdict(day: int, *, host: str = "one") -> Verdict:
    whole = example(run=f"run-{day}", shift=0.003 * day)
    return whole.model_copy(
        update={
            "started_at": f"2026-03-{day:02d}T10:00:00+00:00",
            "host": whole.host.model_copy(update={"fingerprint": host}),
            "label": f"v{day}",
        }
    )


@pytest.fixture
def found() -> History:
    verdicts = [verdict(3, host="two"), verdict(1), verdict(2)]
    return collect("support-bot", map(summary_of, verdicts), accepted={("run-2", "int8")})


@pytest.fixture
def rows(found: History) -> tuple[HistoryRow, ...]:
    return found.figures


def test_rows_are_in_time_order(rows: tuple[HistoryRow, ...]) -> None:
    """Oldest first, whatever order the verdicts came in; every measured candidate is there."""
    assert list(dict.fromkeys(row.run for row in rows)) == ["run-1", "run-2", "run-3"]
    drops = [row.change for row in rows if (row.variant, row.task, row.metric) == ("nf4", "intents", "acc")]
    assert drops == pytest.approx([0.049, 0.052, 0.055])
    assert [row.label for row in rows if (row.variant, row.metric) == ("nf4", "acc")] == ["v1", "v2", "v3"]


def test_a_row_carries_its_gate_and_promotion(found: History) -> None:
    """The decision is that of the gate on the whole figure, not of one of its slices."""
    by_key = {(row.run, row.variant): row for row in found.figures if (row.task, row.metric) == ("intents", "acc")}
    assert by_key["run-1", "int8"].decision == "INCONCLUSIVE"
    assert by_key["run-1", "nf4"].decision == "FAIL"
    assert [key for key, row in by_key.items() if row.accepted] == [("run-2", "int8")]
    assert next(row for row in found.figures if row.task == "replies").decision is None
    assert [each.promoted for each in found.runs] == [(), ("int8",), ()]


def test_a_waived_gate_is_shown_as_waived() -> None:
    """A FAIL that the suite excuses is neither a FAIL nor a PASS in history."""
    whole = verdict(1)
    nf4 = whole.candidates[2]
    waived = nf4.findings[0].model_copy(update={"decision": "WAIVED"})
    changed = nf4.model_copy(update={"findings": (waived, *nf4.findings[1:])})
    summary = summary_of(whole.model_copy(update={"candidates": (changed,)}))
    assert next(row for row in collect("s", [summary]).figures if row.metric == "acc").decision == "WAIVED"


def test_a_gate_against_the_promoted_version_judges_another_difference() -> None:
    """The row shows the drop from the baseline, so the decision beside it is that of the gates on this drop."""
    whole = verdict(1)
    bf16 = whole.candidates[0]
    step = bf16.findings[0].model_copy(update={"decision": "FAIL", "against": whole.reference})
    changed = bf16.model_copy(update={"findings": (step, *bf16.findings)})
    summary = summary_of(whole.model_copy(update={"candidates": (changed,)}))
    assert next(row for row in collect("s", [summary]).figures if row.metric == "acc").decision == "PASS"


def test_memory_is_a_ratio_to_the_baseline(rows: tuple[HistoryRow, ...]) -> None:
    """Bytes of both sides and their ratio, with the decision of its gate; what a side lacks is no row."""
    found = {row.metric: row for row in rows if (row.run, row.variant, row.kind) == ("run-1", "nf4", "memory")}
    assert set(found) == {"weight_bytes", "process_peak_bytes"}
    weights = found["weight_bytes"]
    assert (weights.candidate, weights.baseline, weights.decision) == (112_300_000, 538_000_000, "PASS")
    assert weights.change == pytest.approx(112.3 / 538)
    assert (weights.lower, weights.upper) == (None, None)


def test_csv_gives_the_numbers_back(found: History) -> None:
    """Unrounded, one line a row; a missing number is empty; the first columns are those of the first version."""
    read = list(csv.DictReader(io.StringIO(history_csv(found))))
    assert tuple(read[0])[:16] == FIRST_COLUMNS
    assert [row["change"] for row in read] == ["" if row.change is None else str(row.change) for row in found.figures]
    assert {row["lower"] for row in read if row["metric"] == "ttft_s"} == {""}
    assert {row["accepted"] for row in read} == {"true", "false"}
    assert {row["series"] for row in read if row["metric"] == "ttft_s"} == {"1", "2"}


def test_csv_runs_no_formula() -> None:
    """A label that a spreadsheet would take for a formula gets an apostrophe."""
    found = collect("s", [run(0, label="=1+1")])
    assert {row["label"] for row in csv.DictReader(io.StringIO(history_csv(found)))} == {"'=1+1"}


def test_json_holds_everything() -> None:
    """Runs, figures, shifts and what was skipped, unrounded, null where nothing could be had."""
    found = collect("support-bot", steps([0.01] * 12 + [0.04] * 8), accepted={("run-003", "int8")})
    read = json.loads(history_json(found))
    assert set(read) == {"schema_version", "suite", "runs", "runs_in_all", "figures", "shifts", "skipped"}
    assert (read["schema_version"], read["suite"], read["runs_in_all"]) == (1, "support-bot", 20)
    assert [row["change"] for row in read["figures"]] == [row.change for row in found.figures]
    assert read["runs"][3]["promoted"] == ["int8"]
    assert [each["at_run"] for each in read["shifts"]] == [each.at_run for each in found.shifts] == ["run-012"]
    assert next(row for row in read["figures"] if row["metric"] == "ttft_s")["lower"] is None


def test_an_empty_history_is_no_error() -> None:
    """No run yet: a header, an empty document."""
    assert history_csv(collect("s", [])).count("\n") == 1
    assert json.loads(history_json(collect("s", [])))["figures"] == []
