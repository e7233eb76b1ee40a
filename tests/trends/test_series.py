"""Series: what begins one, what goes on, what stays outside, and the shifts within."""

from __future__ import annotations

import pytest

from harness.records.summary import VerdictSummary
from harness.trends import History, HistoryRow, Selection, collect
from tests.trends.runs import conditions, run, steps

OTHER_TORCH = conditions(versions={"torch": "2.13.0", "python": "3.12.1"})


def line(history: History, task: str = "intents", metric: str = "acc") -> list[HistoryRow]:
    return [row for row in history.figures if (row.task, row.metric) == (task, metric)]


def second(**changes: object) -> dict[str, HistoryRow]:
    """A run as usual and one with `changes`: the second's rows, by metric."""
    found = collect("s", [run(0), run(1, **changes)])  # type: ignore[arg-type]
    return {row.metric: row for row in found.figures if row.run == "run-001"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": "data-2", "plan": "plan-2"}, "suite changed: data of task intents"),
        ({"definition": "definition-2", "plan": "plan-2"}, "suite changed: definition of task intents"),
        ({"plan": "plan-2"}, "the tokens of task intents changed (tokenizer, template or items)"),
        ({"both": OTHER_TORCH}, "torch 2.12.0 → 2.13.0"),
        ({"candidate": OTHER_TORCH}, "torch 2.12.0 → 2.13.0 (int8)"),
        (
            {"candidate": conditions(quantization='{"quantize": {"bits": 4, "method": "bitsandbytes"}}')},
            "quantize bits 8 → 4 (int8)",
        ),
        ({"candidate": conditions(quantization="")}, "quantize bits 8 → none; quantize method bitsandbytes → none"),
        ({"both": conditions(dtype="float32")}, "dtype bfloat16 → float32"),
        ({"both": conditions(device_type="cuda")}, "device cpu → cuda"),
        ({"both": conditions(engine="vllm")}, "engine transformers → vllm"),
    ],
)
def test_another_condition_begins_a_series(changes: dict[str, object], reason: str) -> None:
    """Each kind of change is named, and the figure's series is another."""
    row = second(**changes)["acc"]
    assert row.series == 2
    said = row.series_reason.replace(" (int8)", "") if "none" in reason else row.series_reason
    assert said == reason


def test_a_new_fine_tune_goes_on() -> None:
    """Other weights are another version of the same series: the drop is from their own baseline."""
    row = second(both=conditions(weights="sha256:two"))["acc"]
    assert (row.series, row.series_reason, row.model) == (1, "", "sha256:two")


def test_the_host_and_python_matter_for_speed_and_memory_only() -> None:
    """Quality of two machines of one device type is one series; speed and memory are not."""
    rows = second(host="host-2", processor="Intel Xeon 8480")
    assert rows["acc"].series == 1
    assert rows["decode_tokens_per_s"].series == rows["weight_bytes"].series == 2
    assert rows["decode_tokens_per_s"].series_reason == (
        "host changed: AMD EPYC 9354, 8 cores, 34 GB → Intel Xeon 8480, 8 cores, 34 GB"
    )
    rows = second(both=conditions(versions={"torch": "2.12.0", "python": "3.12.2"}))
    assert (rows["acc"].series, rows["weight_bytes"].series) == (1, 2)
    assert rows["weight_bytes"].series_reason == "python 3.12.1 → 3.12.2"
    alike = second(host="host-2")["weight_bytes"]
    assert alike.series_reason == "host changed: fingerprint host-1 → host-2"


def test_a_series_is_taken_up_again() -> None:
    """Two machines in turn are two series, not one for each run."""
    hosts = ["a", "b", "a", "b", "c", "b"]
    found = collect("s", [run(index, host=host) for index, host in enumerate(hosts)])
    rows = line(found, "1x256+64", "decode_tokens_per_s")
    assert [row.series for row in rows] == [1, 2, 1, 2, 3, 2]
    assert rows[2].series_reason.startswith("back to series 1: host changed")


def test_what_was_not_recorded_begins_nothing() -> None:
    """Verdicts of before conditions were kept count as under those of the run before; what is known later counts."""
    unknown = {"both": None, "plan": "", "data": None, "baseline_conditions": None}
    old = run(1, **unknown)  # type: ignore[arg-type]
    old = old.model_copy(update={"candidates": (old.candidates[0].model_copy(update={"conditions": None}),)})
    found = collect("s", [run(0), old, run(2), run(3, both=OTHER_TORCH)])
    assert [row.series for row in line(found)] == [1, 1, 1, 2]
    found = collect("s", [old, run(2), run(3, both=OTHER_TORCH)])
    assert [row.series for row in line(found)] == [1, 1, 2]


def test_partial_stopped_and_invalid_runs_stand_outside() -> None:
    """They are shown with the reason, begin no series and break none."""
    stop = {"task": "intents", "items": 40, "planned": 900, "gate": "gates[0]"}
    summaries = [
        run(0),
        run(1, partial=True, limit=50, plan="plan-50"),
        with_candidate(run(2, plan="plan-x"), decision="INVALID"),
        with_candidate(run(3), stopped=stop),
        run(4),
    ]
    rows = line(collect("s", summaries))
    assert [row.series for row in rows] == [1, None, None, None, 1]
    assert [row.note for row in rows[1:4]] == [
        "partial run, --limit 50",
        "INVALID",
        "stopped early, after 40 of 900 items",
    ]


def test_a_run_of_some_variants_or_all_items_is_whole() -> None:
    """--variant and --task leave whole figures; so does a limit above the task's items."""
    assert line(collect("s", [run(0, partial=True)]))[0].series == 1
    assert line(collect("s", [run(0, partial=True, limit=901)]))[0].series == 1
    assert line(collect("s", [run(0, partial=True, limit=900)]))[0].series is None
    assert line(collect("s", [run(0, partial=True, plan="")]))[0].note == "partial run"


def test_a_candidate_without_figures_says_why() -> None:
    """An INVALID candidate that was never measured has one row, with its sentence."""
    empty = with_candidate(
        run(0), decision="INVALID", sentence="it died", measures=(), speed=(), memory=None, facts=None
    )
    (row,) = collect("s", [empty]).figures
    assert (row.kind, row.metric, row.note, row.verdict) == ("none", "", "it died", "INVALID")


def test_a_planted_shift_is_marked() -> None:
    """From, to and size stand in the mark; the row at which it begins carries its size."""
    found = collect("s", steps([0.01] * 12 + [0.04] * 8))
    (shift,) = [each for each in found.shifts if each.metric == "acc"]
    assert (shift.after_run, shift.at_run, shift.runs_before, shift.runs_after) == ("run-011", "run-012", 12, 8)
    assert shift.before == pytest.approx(0.01, abs=0.001)
    assert shift.size == pytest.approx(0.03, abs=0.001)
    assert shift.lower < shift.size < shift.upper
    assert shift.worse
    assert not shift.model_changed
    assert [row.run for row in line(found) if row.shift is not None] == ["run-012"]


def test_no_shift_across_a_break() -> None:
    """A level that changes together with the library is a new series, not a shift."""
    old = steps([0.01] * 10)
    new = [run(10 + index, drop=0.05, both=OTHER_TORCH) for index in range(10)]
    assert [each for each in collect("s", [*old, *new]).shifts if each.metric == "acc"] == []


def test_partial_runs_do_not_make_a_shift() -> None:
    """Five limited runs far off do not count."""
    partial = [run(10 + index, drop=0.3, partial=True, limit=50, plan="plan-50") for index in range(5)]
    assert collect("s", [*steps([0.01] * 10), *partial]).shifts == ()


def test_ratios_shift_by_a_factor() -> None:
    """Speed and memory: the size is new over old; less speed is worse, fewer bytes are better."""
    slow = [slowed(run(index), 0.5 if index >= 9 else 1.0) for index in range(18)]
    (shift,) = [each for each in collect("s", slow).shifts if each.metric == "decode_tokens_per_s"]
    assert shift.size == pytest.approx(0.5)
    assert shift.after == pytest.approx(shift.before / 2)
    assert shift.worse


def test_a_selection_changes_no_series() -> None:
    """`--last` shows the same series and shifts as the whole; other filters leave the rest out."""
    summaries = steps([0.01] * 12 + [0.04] * 8)
    whole, last = collect("s", summaries), collect("s", summaries, selection=Selection(last=9))
    assert list(last.figures) == [row for row in whole.figures if row.run >= "run-011"]
    assert (len(last.runs), last.runs_in_all, last.shifts) == (9, 20, whole.shifts)
    assert collect("s", summaries, selection=Selection(last=5)).shifts == ()
    only = collect("s", summaries, selection=Selection(metrics=("acc",), tasks=("intents",), variants=("int8",)))
    assert {(row.task, row.metric) for row in only.figures} == {("intents", "acc")}


def test_order_of_reading_does_not_matter() -> None:
    """History is by time, whatever order the verdicts came in."""
    summaries = steps([0.01] * 10 + [0.04] * 5)
    assert collect("s", summaries[::-1]) == collect("s", summaries)


def with_candidate(summary: VerdictSummary, **changes: object) -> VerdictSummary:
    whole = {**summary.candidates[0].model_dump(), **changes}
    return VerdictSummary.model_validate({**summary.model_dump(), "candidates": [whole]})


def slowed(summary: VerdictSummary, factor: float) -> VerdictSummary:
    rows = [
        each.model_copy(
            update={
                "ratio": each.ratio * factor,
                "lower": each.lower and each.lower * factor,
                "upper": each.upper and each.upper * factor,
            }
        )
        for each in summary.candidates[0].speed
        if each.ratio is not None
    ]
    return with_candidate(summary, speed=[row.model_dump() for row in rows])
