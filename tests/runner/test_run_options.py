"""The options of a run: written once, and the same on the command line, in the library and in the docs."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import harness
from harness.cli import app, with_run_options
from harness.errors import UsageError
from harness.runner.run_options import LONGEST_LABEL, Option, RunOptions
from harness.suite.models import Suite
from harness.suite.task_model import Choice, Task
from harness.suite.variant_model import Variant

DOCS = Path(__file__).parents[2] / "docs" / "running.md"
SUITE = Suite(
    suite="s",
    model="m",
    variants={"full": Variant(baseline=True), "small": Variant(path="small")},
    tasks={"ask": Task(choice=Choice(data="a.jsonl", prompt="p", choices=("a", "b"), answer="a"))},
)


def options_of(*words: str) -> RunOptions:
    """What the command line makes of these words."""
    asked: list[RunOptions] = []
    one = typer.Typer()

    @one.command()
    @with_run_options
    def command(*, options: RunOptions) -> None:
        asked.append(options)

    done = CliRunner().invoke(one, list(words))
    assert done.exit_code == 0, done.output
    return asked[0]


def test_the_command_line_gives_every_option() -> None:
    """Nothing said is the defaults; each option arrives in its field, repeatable ones as many times as given."""
    assert options_of() == RunOptions()
    words = "--limit 5 --variant a --variant b --task t --offline --fresh --memory-budget 4GiB --stuck-after 2.5"
    assert options_of(*words.split(), "--label", "v 1", "--stop-early") == RunOptions(
        limit=5,
        variants=("a", "b"),
        tasks=("t",),
        offline=True,
        fresh=True,
        memory_budget=4 * 2**30,
        stuck_after=2.5,
        label="v 1",
        stop_early=True,
    )


def test_the_library_takes_the_same_options() -> None:
    """`harness.run` has a suite and then one keyword a field, with its default."""
    suite, *keywords = inspect.signature(harness.run).parameters.values()
    assert (suite.name, suite.kind) == ("suite", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert [(each.name, each.default) for each in keywords] == [
        (each.name, each.default) for each in fields(RunOptions)
    ]
    assert {each.kind for each in keywords} == {inspect.Parameter.KEYWORD_ONLY}


def test_every_option_is_in_the_docs() -> None:
    """The table in docs/running.md is that of the options, row by row."""
    rows = []
    for each in fields(RunOptions):
        shown: Option | None = each.metadata.get("option")
        if shown is not None:
            flag = (shown.flag or f"--{each.name.replace('_', '-')}").split("/")[0]
            rows.append(f"| `{flag}` | `{each.name}` | {shown.help} |")
    assert "\n".join(rows) in DOCS.read_text()


def test_run_says_what_is_shared_with_other_commands_too() -> None:
    """`quantgate run` has every field of the options: those with a help text of their own, and what others have too."""
    said = " ".join(CliRunner().invoke(app, ["run", "--help"]).output.split())
    for each in fields(RunOptions):
        shown: Option | None = each.metadata.get("option")
        flag = shown.flag if shown is not None and shown.flag is not None else f"--{each.name.replace('_', '-')}"
        assert flag.split("/")[0] in said
        assert shown is None or shown.help in said


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (RunOptions(variants=("tiny",)), "--variant tiny: the suite has full, small"),
        (RunOptions(tasks=("told",)), "--task told: the suite has ask"),
        (RunOptions(limit=0), "--limit: expected an integer of at least 1, got 0"),
        (RunOptions(stuck_after=0.0), "--stuck-after: expected seconds, more than 0, got 0"),
        (RunOptions(label="a\nb"), "--label: expected at most 64 printable characters on one line, got 3: 'a\\nb'"),
    ],
)
def test_impossible_values_are_refused(wrong: RunOptions, says: str) -> None:
    """Each is named with what was expected and what came; no model is loaded for it."""
    with pytest.raises(UsageError) as error:
        wrong.check(SUITE)
    assert str(error.value) == says


def test_possible_values_pass() -> None:
    """The longest label, a named variant and task; and only a selection makes a run partial."""
    fine = RunOptions(variants=("small",), tasks=("ask",), limit=1, label="x" * LONGEST_LABEL)
    fine.check(SUITE)
    assert fine.partial
    assert not replace(fine, variants=(), tasks=(), limit=None).partial
