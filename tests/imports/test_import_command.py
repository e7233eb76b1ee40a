"""`quantgate import`: a starter suite or the gates of a file, the run, the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.commands.check import check_suite
from harness.commands.import_results import Imports, import_results
from harness.commands.plan import plan_command
from harness.errors import SuiteError, UsageError
from harness.runner.run_options import RunOptions
from harness.suite.load import load_suite

SUITES = Path(__file__).parents[2] / "suites"
GATES = "gates:\n  - {task: short, metric: 'exact_match,strict', max_drop: 0.02}\n"


def called(folder: Path, *paths: str, gates: Path | None = None, out: Path | None = None, form: str = "lm-eval") -> int:
    asked = Imports(form=form, paths=paths, gates=gates, suite="imported", out=out)
    return import_results(asked, RunOptions(results=folder / "results"), reports=folder / "reports", outcome=None)


def test_a_starter_suite_is_written_and_runs_again(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every task and metric of the files is in it; it is a suite like any other, and never written over."""
    out = written / "suites" / "mine.yaml"
    code = called(written, str(written / "fp32"), str(written / "nf4"), out=out)
    assert code == 12  # on `cloze` and `sampled` nothing is right, so that nothing can be lost
    assert f"wrote    {out}" in capsys.readouterr().out
    suite = load_suite(out).suite
    assert list(suite.variants) == ["fp32", "nf4"]
    assert list(suite.tasks) == ["cloze", "facts", "sampled", "short"]
    assert [gate.metric for gate in suite.gates] == ["acc", "acc", "exact_match,first", "exact_match,strict"]
    assert check_suite(out, limit=None, results=written / "results") == 0
    assert "12 items of fp32/" in " ".join(capsys.readouterr().out.split())
    assert plan_command(out, results=written / "results", limit=None, as_json=False) == 0
    assert "cannot PASS" in capsys.readouterr().out
    with pytest.raises(UsageError, match="is there already; judge by it with --gates"):
        called(written, str(written / "fp32"), str(written / "nf4"), out=out)


def test_the_gates_of_a_file(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is the verdict; variants are called as the command line says."""
    gates = written / "gates.yaml"
    gates.write_text(GATES)
    assert called(written, f"full={written / 'fp32'}", f"small={written / 'nf4'}", gates=gates) == 10
    assert "FAIL  small must not be deployed." in capsys.readouterr().out


def test_a_suites_own_variants_give_way(written: Path) -> None:
    """A file of gates may be a suite with variants: these are replaced, and its lines keep their numbers."""
    gates = written / "gates.yaml"
    gates.write_text("suite: mine\nvariants:\n  a: {import: gone, baseline: true}\n  b: {import: gone}\n" + GATES)
    assert called(written, str(written / "fp32"), str(written / "nf4"), gates=gates) == 10
    gates.write_text(gates.read_text() + "waivers: 3\n")
    with pytest.raises(SuiteError, match=r"gates\.yaml:7:1: waivers: expected a list"):
        called(written, str(written / "fp32"), str(written / "nf4"), gates=gates)


@pytest.mark.parametrize(
    ("paths", "form", "says"),
    [
        (("fp32", "other/fp32"), "lm-eval", "would both be called fp32; write NAME=PATH"),
        (("fp32", "a b=nf4"), "lm-eval", "expected a name of letters"),
        (("fp32", "nf4"), "lmeval", "expected one of lm-eval, inspect, nemo, jsonl"),
    ],
)
def test_arguments_that_do_not_fit(written: Path, paths: tuple[str, ...], form: str, says: str) -> None:
    """Said before anything is read."""
    with pytest.raises(UsageError, match=says):
        called(written, *paths, form=form, out=written / "s.yaml")


def test_a_gates_file_that_is_no_suite(written: Path) -> None:
    """The loader's own message, in the user's file."""
    gates = written / "gates.yaml"
    for text, says in (("[1, 2]\n", "got a list"), ("gates: [\n", "not valid YAML")):
        gates.write_text(text)
        with pytest.raises(SuiteError, match=says):
            called(written, str(written / "fp32"), str(written / "nf4"), gates=gates)


def test_the_example_suite(tmp_path: Path) -> None:
    """`suites/imported.yaml` runs where it is, without a model: 8 bits hold the limit, nf4 breaks it."""
    run = harness.run(SUITES / "imported.yaml", results=tmp_path / "results")
    assert {each.variant: each.decision for each in run.verdict.candidates} == {"int8": "PASS", "nf4": "FAIL"}
