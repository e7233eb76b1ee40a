"""Faults around the process: whatever happens to its streams and limits, the exit code is one of the contract's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.entry import CODES
from harness.shown import json_text, showable, without_line_commands

LIMIT_S = 60
ROWS = 60


@dataclass(frozen=True)
class Place:
    """A folder with a suite and a finished run of it."""

    folder: Path

    def ask(self, arguments: Sequence[str], shell: str = '"$@"') -> subprocess.CompletedProcess[str]:
        """`quantgate` with these arguments, within a line of bash."""
        command = ["bash", "-c", f"set -o pipefail; {shell}", "bash", sys.executable, "-m", "harness", *arguments]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S, check=False, errors="replace"
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("exits")
    rows = [{"q": f"w{n}", "a": "w8", "b": "w9"} for n in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ask = {"data": "rows.jsonl", "prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
    suite = {
        "suite": "exits",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}, "cand": {"engine": "scripted"}},
        "tasks": {"t": {"choice": ask}},
        "gates": [{"task": "t", "metric": "acc", "max_drop": 0.3}],
        "noise_floor": False,
    }
    (folder / "suite.yaml").write_text(json.dumps(suite))
    found = Place(folder)
    done = found.ask(["run", "suite.yaml", "--outcome", "outcome.json"])
    assert done.returncode in CODES - {2, 3}, done.stderr
    return found


COMMANDS = {
    "check": ["check", "suite.yaml"],
    "gate": ["gate", "latest"],
    "compare": ["compare", "latest"],
    "show": ["show", "latest"],
    "show csv": ["show", "latest", "--format", "csv"],
    "history": ["history", "exits"],
    "explain": ["explain", "latest", "0"],
    "schema": ["schema"],
    "report": ["report", "latest"],
    "run": ["run", "suite.yaml"],
    "no suite": ["check", "missing.yaml"],
    "no option": ["gate", "--what"],
    "nothing": [],
}
CONDITIONS = {
    "a reader that goes away": '"$@" | head -c 1 >/dev/null',
    "a full disk behind standard output": '"$@" >/dev/full',
    "standard output closed": '"$@" >&-',
    "everything closed": '"$@" <&- >&- 2>&-',
    "a full disk behind standard error": '"$@" 2>/dev/full',
}
LIMITS = {
    "little address space": 'ulimit -v 300000; "$@"',
    "few open files": 'ulimit -n 12; "$@"',
    "short files": 'ulimit -f 1; "$@"',
}


@pytest.mark.fault("I5", "standard output full or closed", "the code is the contract's, the message names the stream")
@pytest.mark.fault("I9", "files that may not grow past a limit", "exit 3, the file is named")
@pytest.mark.fault("I10", "an address space of 300 MB", "exit 3 at once, with what is needed")
@pytest.mark.parametrize(
    ("command", "condition"),
    [*product(COMMANDS, CONDITIONS), *product(("check", "gate", "show", "run", "schema"), LIMITS)],
)
def test_an_exit_code_is_one_of_the_contract(place: Place, command: str, condition: str) -> None:
    """In time, never 1, and no traceback for what is no mistake of quantgate's."""
    done = place.ask(COMMANDS[command], {**CONDITIONS, **LIMITS}[condition])
    assert done.returncode in CODES, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if condition == "a full disk behind standard output" and command in ("check", "gate", "show", "schema"):
        assert done.returncode == 3
        assert done.stderr.strip().endswith("standard output: could not be written: No space left on device")
    if condition == "little address space":
        assert done.returncode == 3
        assert "700 MiB have to be left" in done.stderr
    if command == "no suite":
        assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "latest", "--results", "suite.yaml"], ""),
        (["gate", "latest", "--reports", "suite.yaml"], "suite.yaml"),
        (["history", "exits", "--html", "/proc/none/page.html"], "/proc/none"),
        (["run", "suite.yaml", "--outcome", "."], "--outcome ."),
        (["check", "."], "got a folder"),
        (["check", "a\x1b[31m\n::error::b.yaml"], "no such suite file"),
        (["init", "x", "--out", "suite.yaml/below/suite.yaml"], "suite.yaml"),
    ],
)
def test_a_mistake_of_the_user_is_told_in_words(place: Place, arguments: list[str], words: str) -> None:
    """Exit 2 or 3 and a sentence that names the file; nothing of quantgate's own code is shown."""
    done = place.ask(arguments)
    assert done.returncode in (2, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert "bug in quantgate" not in done.stderr
    assert words in done.stderr
    assert "\n::" not in done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.fault("I4", "the reports' folder is a file", "told before anything is measured")
def test_a_folder_for_reports_that_cannot_be_written_is_told_before_the_run(place: Place, tmp_path: Path) -> None:
    """No evaluation is made first."""
    done = place.ask(["run", "suite.yaml", "--reports", "rows.jsonl", "--results", str(tmp_path / "new")])
    assert done.returncode == 3
    assert "rows.jsonl: could not be written" in done.stderr
    assert not (tmp_path / "new").exists()


def test_the_outcome_of_a_run_is_written_only_by_it(place: Place) -> None:
    """A program that started a run finds what that run made, and nothing where it did not come about."""
    outcome = place.folder / "outcome.json"
    says = json.loads(outcome.read_text())
    assert says["exit_code"] in CODES
    assert says["run"] in (place.folder / says["markdown"]).read_text()
    assert (place.folder / says["verdict"]).is_file()
    assert place.ask(["run", "missing.yaml", "--outcome", "outcome.json"]).returncode == 2
    assert not outcome.exists()


# -- what is printed


@pytest.mark.fault("S8b", "a data file whose name starts a CI command on a line of its own", "neutral, exit 2")
@pytest.mark.parametrize("model", ["none", "./missing"])
def test_a_name_in_a_suite_starts_no_command(place: Place, model: str) -> None:
    """Where the model is missing too, the suite's mistakes are still mistakes of the suite."""
    suite = json.loads((place.folder / "suite.yaml").read_text())
    suite["tasks"]["t"]["choice"]["data"] = "x\n::error::pwned\x1b[2J##[group].jsonl"
    if model != "none":
        suite |= {"model": model, "variants": {"full": {"baseline": True}}, "gates": []}
    (place.folder / "evil.yaml").write_text(json.dumps(suite))
    done = place.ask(["check", "evil.yaml"])
    assert done.returncode == 2, done.stdout + done.stderr
    for text in (done.stdout, done.stderr):
        assert not any(line.lstrip().startswith("::") for line in text.splitlines())
        assert "\x1b" not in text
        assert "##[" not in text
    assert "pwned" in done.stdout + done.stderr


@pytest.mark.fault(
    "S8", "an unknown key with a line break, a CI command and a terminal command in it", "neutral, exit 2"
)
def test_a_key_in_a_suite_starts_no_command(place: Place) -> None:
    """It is refused where it stands, and nothing it says begins a line."""
    suite = json.loads((place.folder / "suite.yaml").read_text())
    (place.folder / "key.yaml").write_text(json.dumps({**suite, "x\n::error::pwned\x1b[31m": 1}))
    done = place.ask(["check", "key.yaml"])
    assert done.returncode == 2, done.stdout + done.stderr
    assert "unknown key" in done.stderr
    assert not any(line.lstrip().startswith("::") for line in (done.stdout + done.stderr).splitlines())
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.fault("kind: foreign text", "random texts with control characters and CI commands, printed in parts")
@given(
    parts=st.lists(
        st.one_of(st.text(), st.sampled_from(["::", "\n", " ", "\t", "error::", "##[", "##vso[", "\x1b[31m", "\r"])),
        max_size=12,
    )
)
def test_printed_text_holds_no_command(parts: list[str]) -> None:
    """However it is cut into pieces."""
    printed, at_start = "", True
    for part in parts:
        printed += without_line_commands(showable(part), at_start=at_start)
        at_start = not printed.rpartition("\n")[2].strip()
    assert not any(line.lstrip().startswith("::") for line in printed.split("\n"))
    assert "##[" not in "".join(without_line_commands(showable(part), at_start=True) for part in ["##[", "a##vso["])
    assert "\x1b" not in printed
    value = "".join(parts)
    assert json.loads(json_text(json.dumps(value, ensure_ascii=False))) == value
