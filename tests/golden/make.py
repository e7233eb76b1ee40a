"""What a user sees of the stored runs in `inputs.py`, as text; `python -m tests.golden.make` writes it as golden files.

Goes through the command line and the library's public functions only. What depends on the time, the folder, the
machine or the versions of libraries is replaced by its name in angle brackets; nothing else is. `--check` writes
nothing and names the files that differ by any byte, the last digits of numbers included.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import chdir
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from io import StringIO
from pathlib import Path

from rich.console import Console
from typer.testing import CliRunner

import harness
from harness.cli import app
from harness.reports.annotations import annotations as github_annotations
from harness.reports.terminal import print_verdict
from tests.golden import inputs
from tests.reports.example import example

EXPECTED = Path(__file__).parent / "expected"
STORED_V1 = Path(__file__).parent.parent / "records" / "stored_v1"
Files = dict[str, str]
WRONG = "suite: s\nmodel: m\nvariants: {a: {baseline: true}}\ntasks: {}\ngates:\n- {metric: ac, max_dropp: 1}\n"
RUNNER = CliRunner()
PLAIN = {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb", "GITHUB_ACTIONS": "", "TZ": "UTC"}
TIMES = ("elapsed_s", "load_s", "seconds", "saved_s", "started_at", "judged_at", "measured_at")
MACHINE = ("host", "versions", "quantgate", "memory_budget", "log", "python", "checksum")
MOMENT = r"\b(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:\+00:00|Z| UTC)?)?"
PEAKS = ("process_peak_load_bytes", "process_peak_inference_bytes")


def quantgate(*arguments: str | Path, ci: bool = False) -> str:
    """What a command prints, and its exit code where that is not 0."""
    env = {**PLAIN, "GITHUB_ACTIONS": "true"} if ci else PLAIN
    done = RUNNER.invoke(app, [*map(str, arguments)], env=env, terminal_width=120, catch_exceptions=False)
    return done.stdout + (f"--- stderr\n{done.stderr}" if done.stderr else "") + _code(done.exit_code)


def _code(code: int) -> str:
    return f"--- exit code {code}\n" if code else ""


def refused(*arguments: str | Path) -> str:
    """What a command says that cannot be done, through the process as people start it."""
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return f"{done.stdout}{done.stderr}{_code(done.returncode)}"


def judged(results: Path, run: str, gates: int) -> Files:
    """Everything a stored run is shown as, beginning with judging it."""
    to = Path("reports")
    found = {"gate.txt": quantgate("gate", run, "--results", results, "--reports", to, ci=True)}
    (verdict,) = results.glob(f"*/runs/{run}/verdict.json")
    found["verdict.json"] = re.sub(r'(?<="checksum": ")\w{64}', "<checksum>", verdict.read_text())  # of the time too
    (page,) = to.glob("*/*/report.html")
    found |= {name: (page.parent / name).read_text() for name in ("report.md", "junit.xml")}
    found["compare.txt"] = quantgate("compare", run, "--results", results)
    for place in range(gates):
        asked = ("explain", run, str(place), "--flips", "1", "--results", results)
        found[f"explain/{place:02d}.txt"] = quantgate(*asked)
        found[f"explain/{place:02d}.json"] = quantgate(*asked, "--json")
    return found


def shown(results: Path, run: str, task: str) -> Files:
    asked = ("show", run, "--task", task, "--results", results)
    return {f"show-{task}.{form}": quantgate(*asked, "--format", form) for form in ("jsonl", "csv")}


def rich(folder: Path) -> Files:
    inputs.rich(folder)
    found = judged(folder, "r2", len(inputs.GATES))
    found["report.html"] = Path("reports", "s", "r2", "report.html").read_text()
    found |= {"keys.json": _keys(folder / "s" / "runs" / "r2" / "run.json")}
    found["promoted.txt"] = quantgate("promote", "s", "--list", "--results", folder)
    at_length = ("--variant", "q4", "--full", "--flips", "2")
    found["full.txt"] = quantgate("explain", "r2", "answers", *at_length, "--results", folder)
    found["report-only.txt"] = quantgate("gate", "r2", "--report-only", "--results", folder, "--reports", "other")
    return found


def few(folder: Path) -> Files:
    inputs.few(folder)
    stored = sorted(path for path in folder.rglob("*") if path.is_file())
    records = {f"stored/{path.relative_to(folder).as_posix()}": path.read_text() for path in stored}
    return {**records, **judged(folder, "r1", 4), **shown(folder, "r1", "t")}


def early(folder: Path) -> Files:
    inputs.early(folder)
    return judged(folder, "r1", 4)


def earlier(folder: Path) -> Files:
    """Records of version 1, as that version wrote them."""
    shutil.copytree(STORED_V1, folder, dirs_exist_ok=True)
    (run,) = (folder / "earlier" / "runs").iterdir()
    suite = json.loads((run / "run.json").read_text())["suite"]
    found = judged(folder, run.name, 1) | {"history.json": quantgate("history", suite, "--json", "--results", folder)}
    return found | {"promoted.txt": quantgate("promote", suite, "--list", "--results", folder)}


def verdict(folder: Path) -> Files:
    """The example verdict of the report's tests, with every section and hostile text."""
    whole, console = example(), Console(file=StringIO(), width=120, color_system=None)
    page = harness.report(whole, reports=folder)
    found = {name: (page.parent / name).read_text() for name in ("report.md", "report.html", "junit.xml")}
    print_verdict(whole, console)
    assert isinstance(console.file, StringIO)
    return found | {"terminal.txt": console.file.getvalue(), "annotations.txt": github_annotations(whole)}


def history(folder: Path) -> Files:
    inputs.releases(folder)
    asked = ("history", "support-bot", "--results", folder)
    found = {"history.txt": quantgate(*asked, "--last", "12")}
    found["history.json"] = quantgate(*asked, "--metric", "acc", "--json")
    found["history.csv"] = quantgate(*asked, "--csv", "--variant", "int8")
    one = ("--variant", "int8", "--metric", "acc", "--metric", "kl_mean", "--html", "page.html")
    return found | {"one.txt": quantgate(*asked, *one), "page.html": Path("page.html").read_text()}


def scripted(folder: Path) -> Files:
    """A suite of every kind of task before, during and after a run: plans, keys and what is judged."""
    suite, results = inputs.scripted(Path()), folder
    before = {
        "check.txt": quantgate("check", suite, "--results", results),
        "plan.txt": quantgate("plan", suite, "--results", results),
        "plan.json": quantgate("plan", suite, "--results", results, "--json"),
    }
    run = harness.run(suite, results=results).manifest.run
    names = {run: "<run>", **_key_names(results, run)}
    found = {
        "keys.json": json.dumps(_identities(results, run), indent=1),
        "verdict.json": _without_machine((results / "every-kind" / "runs" / run / "verdict.json").read_text()),
        "show-read.csv": quantgate("show", run, "--task", "read", "--format", "csv", "--results", results),
    }
    for place in range(len(inputs.SCRIPTED_GATES)):
        asked = ("explain", run, str(place), "--flips", "1", "--results", results)
        found[f"explain/{place:02d}.txt"] = quantgate(*asked)
    after = {
        "plan-after.txt": re.sub(r"time from nothing.*", "<times>", quantgate("plan", suite, "--results", results)),
    }
    for old, new in names.items():
        found = {name: text.replace(old, new) for name, text in found.items()}
        after = {name: text.replace(old, new) for name, text in after.items()}
    return {**before, **found, **after}


def _keys(manifest: Path) -> str:
    """Under which key a run's evaluations lie."""
    run = json.loads(manifest.read_text())
    return json.dumps({name: each["evaluations"] for name, each in run["variants"].items()}, indent=1)


def _evaluations(results: Path, run: str) -> dict[str, str]:
    """Variant and task to the key of an evaluation."""
    manifest = json.loads((results / "every-kind" / "runs" / run / "run.json").read_text())
    found: dict[str, str] = {}
    for each in (*manifest["variants"].values(), manifest["base"]):
        for kind in ("evaluations", "second_pass"):
            found |= {f"{each['variant']}/{task}/{kind}": key for task, key in each[kind].items()}
    return found


def _key_names(results: Path, run: str) -> dict[str, str]:
    """Keys hold the versions of libraries and so differ between machines; their names do not."""
    return {key: f"<key of {name}>" for name, key in _evaluations(results, run).items()}


def _identities(results: Path, run: str) -> dict[str, object]:
    """All that a key is made of but versions, and the digest of the items in the order in which they were asked."""
    found: dict[str, object] = {}
    for name, key in _evaluations(results, run).items():
        stored = json.loads((results / "evaluations" / key / "manifest.json").read_text())
        identity = {**stored["identity"], "versions": sorted(stored["identity"]["versions"])}
        found[name] = {"identity": identity, "digest": stored["digest"], "items": stored["items"]}
    return found


def _without_machine(text: str) -> str:
    """A verdict's JSON without what a machine decides."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            named = {name: f"<{name}>" for name in (*TIMES, *MACHINE, *PEAKS)}
            return {name: named[name] if name in named and each else plain(each) for name, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, list) else value

    return json.dumps(plain(json.loads(text)), indent=1)


def commands(folder: Path) -> Files:
    """What needs no run, and what is refused."""
    inputs.few(folder)
    suite = Path("suite.yaml")
    suite.write_text(WRONG)
    return {
        "schema.json": quantgate("schema"),
        "refused-suite.txt": refused("check", suite),
        "refused-gate.txt": refused("explain", "r1", "7", "--results", folder),
        "refused-run.txt": refused("gate", "r9", "--results", folder),
        "refused-promotion.txt": refused("promote", "r1", "nobody", "--results", folder),
        "refused-history.txt": refused("history", "other", "--results", folder),
    }


SCENES: Mapping[str, Callable[[Path], Files]] = {
    each.__name__: each for each in (rich, few, early, earlier, verdict, history, scripted, commands)
}


def outputs(scene: str, folder: Path) -> Files:
    """The files of a scene, without what differs between machines and days."""
    begun = datetime.now(UTC)
    with chdir(folder):  # what is printed and where its lines break depends on the length of paths
        found = SCENES[scene](Path("results"))
    ended = datetime.now(UTC)
    return {name: normalised(text, begun, ended) for name, text in found.items()}


def normalised(text: str, begun: datetime, ended: datetime) -> str:
    """Moments between the scene's two ends and our own version by their names; a stored run of today keeps its own."""

    def name(moment: re.Match[str]) -> str:
        day, time = moment.groups()
        if time is None:
            return "<now>" if begun.date().isoformat() <= day <= ended.date().isoformat() else moment.group()
        at = datetime.fromisoformat(f"{day}T{time}+00:00")
        return "<now>" if begun - timedelta(minutes=1) <= at <= ended else moment.group()

    text = re.sub(MOMENT, name, text)
    return text.replace(f"quantgate {version('quantgate')}", "quantgate <version>")


def stored(scene: str) -> Files:
    """A scene's files as they were last written."""
    folder = EXPECTED / scene
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes().decode() for path in paths}


def main() -> int:
    """Write the files of the scenes named, or of all. `--check` writes nothing and names what differs by any byte."""
    asked = [each for each in sys.argv[1:] if each != "--check"]
    different = False
    for scene in asked or SCENES:
        with tempfile.TemporaryDirectory() as folder:
            found = outputs(scene, Path(folder))
        before = stored(scene)
        for name in sorted({*before, *found}):
            if before.get(name) == found.get(name):
                continue
            different = True
            sys.stdout.write(f"{scene}/{name}\n")
            if "--check" not in sys.argv:
                _write(EXPECTED / scene / name, found.get(name))
    return int(different and "--check" in sys.argv)


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


if __name__ == "__main__":
    sys.exit(main())
