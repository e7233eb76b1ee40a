"""Waivers in the suite: which gate each means, and every way of naming the wrong one."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from harness.errors import SuiteError
from harness.suite.describe import task_definition
from harness.suite.load import parse_suite
from harness.suite.models import Suite
from harness.suite.waivers import active_waiver, counts, full_name, waived_gate, waiver_warnings

TODAY = date(2026, 11, 21)
START = """\
suite: s
model: m
variants: {full: {baseline: true}, nf4: {}, int8: {}}
tasks:
  ask: {choice: {data: d, prompt: p, choices: [a, b], answer: a}, slice_by: [language]}
speed: {workloads: [{batch: 1, prompt_tokens: 8, new_tokens: 4}, {batch: 2, prompt_tokens: 8, new_tokens: 4}]}
gates:
  - {task: ask, metric: acc, max_drop: 0.02}
  - {task: ask, metric: acc, max_drop: 0.05, slice: each}
  - {name: step, task: ask, metric: acc, max_drop: 0.01, against: reference}
  - {task: ask, metric: acc, min: 0.5, on: baseline}
  - {metric: decode_tokens_per_s, min_ratio: 1.1}
  - {task: ask, metric: acc_norm, max_drop: 0.02, variants: [nf4]}
waivers:
"""


def waiver(text: str) -> str:
    return f"  - {{{text}, reason: known bug, by: Ann, until: 2026-12-31}}\n"


def suite(*waivers: str) -> Suite:
    return parse_suite(START + ("".join(waiver(each) for each in waivers) or "  []\n"), Path("suite.yaml")).suite


def problems(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, Path("suite.yaml"))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("gate: step, variant: nf4", 2),
        ("gate: ask/acc/max_drop, variant: nf4, slice: language=de", 1),
        ("gate: ask/acc/min, variant: full", 3),
        ("gate: decode_tokens_per_s/min_ratio, variant: nf4, workload: 2x8+4", 4),
        ("gate: ask/acc_norm/max_drop, variant: nf4", 5),
    ],
)
def test_what_a_waiver_means(text: str, gate: int) -> None:
    """By name, or by task, metric and form; slice, workload and variant tell apart what has one full name."""
    found = suite(text)
    assert waived_gate(found, found.waivers[0]) == gate


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ("gate: 'gates[2]', variant: nf4", "waivers[0].gate", "is a position, and positions move"),
        ("gate: stp, variant: nf4", "waivers[0].gate", "unknown gate 'stp', did you mean step?"),
        ("gate: ask/acc/max_drop, variant: nf4", "waivers[0].gate", "fits gates[0] and gates[2]; give the one"),
        ("gate: step, variant: nf5", "waivers[0].variant", "unknown variant 'nf5', did you mean nf4?"),
        ("gate: step, variant: full", "waivers[0].variant", "does not look at full; it looks at nf4, int8"),
        ("gate: ask/acc/min, variant: nf4", "waivers[0].variant", "does not look at nf4; it looks at full"),
        ("gate: ask/acc_norm/max_drop, variant: int8", "waivers[0].variant", "it looks at nf4"),
        ("gate: step, variant: nf4, slice: language=de", "waivers[0].slice", "looks at the whole task"),
        ("gate: decode_tokens_per_s/min_ratio, variant: nf4", "waivers[0]", "several workloads: name the one"),
        ("gate: decode_tokens_per_s/min_ratio, variant: nf4, workload: 3x8+4", "waivers[0].workload", "got '3x8+4'"),
        ("gate: step, variant: nf4, workload: 1x8+4", "waivers[0].workload", "is not measured under a workload"),
        ("gate: step, variant: nf4, untill: 3", "waivers[0].untill", "unknown key, did you mean until?"),
    ],
)
def test_a_wrong_reference_is_an_error(text: str, key: str, says: str) -> None:
    """Each names the line, the key and what to write instead."""
    (found,) = problems(START + waiver(text))
    assert found.startswith("suite.yaml:15:")
    assert f": {key}: " in found
    assert says in found


def test_each_slice_needs_its_slice() -> None:
    """A gate that looks at each slice is not waived as a whole: a slice that fails tomorrow is not excused."""
    text = START.replace("- {task: ask, metric: acc, max_drop: 0.02}", "- {metric: weight_bytes, max_ratio: 0.5}")
    text = text.replace("max_drop: 0.05, slice: each", "max_relative_drop: 0.05, slice: each")
    (found,) = problems(text + waiver("gate: ask/acc/max_relative_drop, variant: nf4"))
    assert "looks at each slice: name the one that is waived" in found


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{gate: step, variant: nf4, by: Ann, until: 2026-12-31}", "waivers[0].reason: required key missing"),
        ("{gate: step, variant: nf4, reason: ' ', by: Ann, until: 2026-12-31}", "waivers[0].reason: must not be empty"),
        ("{gate: step, variant: nf4, reason: r, until: 2026-12-31}", "waivers[0].by: required key missing"),
        ("{gate: step, variant: nf4, reason: r, by: Ann}", "waivers[0].until: required key missing"),
        ("{gate: step, variant: nf4, reason: r, by: Ann, until: 2027-02-30}", "expected a date such as 2026-12-31"),
        ("{gate: step, variant: nf4, reason: r, by: Ann, until: soon}", "expected a date such as 2026-12-31"),
        ("{gate: step, variant: nf4, reason: r, by: Ann, until: 20261231}", "expected a date such as 2026-12-31"),
        ("{gate: step, variant: nf4, reason: r, by: Ann, until: 2026-12-31 10:00:00}", "expected a date such as"),
    ],
)
def test_reason_who_and_date_are_needed(line: str, says: str) -> None:
    """A waiver without a reason, a person or a real date is refused with its line."""
    (found,) = problems(f"{START}  - {line}\n")
    assert "suite.yaml:15:" in found
    assert says in found


def test_one_waiver_for_one_finding() -> None:
    """The same finding waived twice is an error: one of the two would be forgotten."""
    found = problems(START + waiver("gate: step, variant: nf4") * 2)
    assert "waives the same as waivers[0]" in found[0]


def test_a_gates_name_is_its_own() -> None:
    """Two gates of one name, or a name that could be taken for task/metric/form, are errors."""
    twice = START.replace(
        "- {task: ask, metric: acc, max_drop: 0.02}", "- {name: step, metric: acc, task: ask, max: 1}"
    )
    assert any("step is the name of gates[0] already" in each for each in problems(twice + "  []\n"))
    assert "expected a name of letters" in problems(START.replace("name: step", "name: a/b") + "  []\n")[0]


def test_a_gate_put_in_front_moves_no_waiver() -> None:
    """The waiver goes with its gate, not with a place in the list."""
    before = suite("gate: step, variant: nf4")
    moved = START.replace("gates:\n", "gates:\n  - {metric: weight_bytes, max_ratio: 0.5}\n")
    after = parse_suite(moved + waiver("gate: step, variant: nf4"), Path("suite.yaml")).suite
    assert (waived_gate(before, before.waivers[0]), waived_gate(after, after.waivers[0])) == (2, 3)
    assert before.gates[2] == after.gates[3]


def test_it_stops_on_its_date() -> None:
    """It counts up to the day before; on the day itself it does not."""
    found = suite("gate: step, variant: nf4")
    assert [counts(found.waivers[0], date(2026, 12, day)) for day in (30, 31)] == [True, False]
    assert active_waiver(found, 2, "nf4", TODAY)
    assert not active_waiver(found, 2, "nf4", date(2026, 12, 31))
    assert not active_waiver(found, 2, "int8", TODAY)
    assert not active_waiver(found, 0, "nf4", TODAY)


@pytest.mark.parametrize(
    ("until", "says"), [("2026-11-21", "ended on 2026-11-21"), ("2028-01-01", "over a year ahead"), ("2027-11-21", "")]
)
def test_odd_dates_are_warned_about(until: str, says: str) -> None:
    """A date that has come and one a long way off are no errors: `check` says so."""
    text = START + waiver("gate: step, variant: nf4").replace("2026-12-31", until)
    found = list(waiver_warnings(parse_suite(text, Path("suite.yaml")).suite, TODAY))
    assert [where for where, _ in found] == ([("waivers", 0, "until")] if says else [])
    assert not says or says in found[0][1]


def test_a_waiver_makes_no_evaluation_stale() -> None:
    """A task is defined without the waivers: what was measured stays measured."""
    assert task_definition(suite(), "ask") == task_definition(suite("gate: step, variant: nf4"), "ask")


def test_full_names() -> None:
    assert [full_name(gate) for gate in suite().gates[3:5]] == ["ask/acc/min", "decode_tokens_per_s/min_ratio"]
