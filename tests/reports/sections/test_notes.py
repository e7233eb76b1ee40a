"""What else a reader should know."""

from __future__ import annotations

from harness.records.findings import GateChange
from harness.reports.blocks import Lines
from harness.reports.sections.notes import section
from tests.reports.example import example
from tests.reports.sections.test_versions import drifted
from tests.reports.test_waived import use


def lines(**changes: object) -> list[tuple[str, str, tuple[str, ...]]]:
    found = section(example().model_copy(update=changes))
    assert found is not None
    (block,) = found.blocks
    assert isinstance(block, Lines)
    return [(line.annotation, line.text, line.about) for line in block.lines]


def test_a_check_of_several_variants_is_noted_once() -> None:
    """With the variants it is about."""
    assert lines() == [("", "calibration: No calibration data is named.", ("bf16", "int8", "nf4"))]


def test_waivers_and_changed_gates_are_annotated() -> None:
    """A waiver that excuses nothing, a gate that lets more through; a waiver in use is told with its finding."""
    change = GateChange(gate="gates[0]", what="changed", looser=True, says="intents acc: limit 2.00 pp, was 1.00 pp")
    unused = use(state="unused", says="excuses nothing")
    assert lines(waivers=(use(), unused), gate_changes=(change,))[1:] == [
        ("waiver", "excuses nothing", ()),
        ("changed gate", "looser gate: intents acc: limit 2.00 pp, was 1.00 pp", ()),
    ]


def test_notes_of_tasks_and_drift() -> None:
    """What the plan said of a task, and the loss over versions of what a gate looks at."""
    tasks = (example().tasks[0].model_copy(update={"notes": ("intents: prompts give answers away",)}),)
    told = lines(tasks=tasks, candidates=drifted().candidates)
    assert ("", "intents: prompts give answers away", ()) in told
    assert ("", "intents acc over versions: down 2 pp in all", ("bf16",)) in told


def test_nothing_to_note_is_no_section() -> None:
    """A clean run has no empty list."""
    clean = example().candidates[0].model_copy(update={"checks": ()})
    assert section(example().model_copy(update={"candidates": (clean,)})) is None
