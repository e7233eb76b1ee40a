"""A whole run through real worker processes: reuse, resume, faults, and what a person is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import harness
from harness.cli import size
from harness.errors import RunError, SuiteError, UsageError
from harness.records.run_manifest import RunManifest
from harness.records.store import Store

Write = Callable[..., Path]
BASE = {"engine": "scripted", "baseline": True, "script": {}}


def small(**script: object) -> dict[str, object]:
    return {"engine": "scripted", "quantized": True, "script": {"quantized_modules": 12, **script}}


def two(**script: object) -> dict[str, object]:
    return {"full": BASE, "small": small(**script)}


def quantgate(*args: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "100", **(env or {})},
    )


def digests(store: Store, run: RunManifest) -> dict[tuple[str, str], str]:
    """(variant, task) to the digest of its item records."""
    found = {}
    for name, variant in run.variants.items():
        for task, key in variant.evaluations.items():
            manifest = store.evaluation(key)
            assert manifest is not None
            found[name, task] = manifest.digest
    return found


def test_the_main_job(write_suite: Write, tmp_path: Path) -> None:
    """One command: verdict on stdout, exit code, verdict file, report in three formats."""
    results, reports = tmp_path / "results", tmp_path / "reports"
    done = quantgate("run", write_suite(), "--results", results, "--reports", reports)
    verdicts = list(results.glob("scripted/runs/*/verdict.json"))
    assert len(verdicts) == 1, done.stderr
    verdict = json.loads(verdicts[0].read_text())
    assert done.returncode == {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11, "INVALID": 12}[verdict["decision"]]
    assert verdict["decision"] in done.stdout
    assert "small · ask: 90/90" in done.stderr
    folder = next(reports.glob("scripted/*"))
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md", "junit.xml"}


def test_a_run_against_itself_passes(write_suite: Write, tmp_path: Path) -> None:
    """A candidate that answers exactly as the baseline passes every quality gate with enough items."""
    variants = {"full": BASE, "twin": {"engine": "scripted", "quantized": False, "script": {"digest": "other"}}}
    gates = [{"task": "say", "metric": "exact_match", "max_drop": 0.02}]  # at `ask` the scripted model only guesses
    gates.append({"task": "read", "metric": "perplexity", "max_increase": "5%"})
    run = harness.run(write_suite(items=200, variants=variants, gates=gates), results=tmp_path / "r")
    assert run.verdict.decision == "PASS"
    assert run.verdict.candidates[0].flips_total == {"ask": 0, "say": 0}


def test_what_exists_is_not_computed_again(write_suite: Write, tmp_path: Path) -> None:
    """A second run starts no worker; a changed limit judges anew; --fresh computes everything again."""
    results = tmp_path / "r"
    first = harness.run(write_suite(), results=results)
    gates = [{"task": "say", "metric": "exact_match", "max_drop": 0.2}]
    second = harness.run(write_suite(gates=gates), results=results)
    logs = Store(results).run_folder("scripted", second.manifest.run) / "logs"
    assert not logs.exists()
    assert second.verdict.decision == "PASS"
    assert digests(Store(results), first.manifest) == digests(Store(results), second.manifest)
    third = harness.run(write_suite(), results=results, fresh=True)
    assert (Store(results).run_folder("scripted", third.manifest.run) / "logs").exists()
    assert digests(Store(results), first.manifest) == digests(Store(results), third.manifest)


def test_only_a_changed_variant_runs(write_suite: Write, tmp_path: Path) -> None:
    """Another candidate reuses the baseline."""
    results = tmp_path / "r"
    harness.run(write_suite(), results=results)
    run = harness.run(write_suite(variants=two(noise=0.2)), results=results)
    logs = Store(results).run_folder("scripted", run.manifest.run) / "logs"
    assert [path.name for path in logs.iterdir()] == ["small.log"]


def test_a_worker_that_dies_once_is_started_again(write_suite: Write, tmp_path: Path) -> None:
    """The run goes on where the dead worker was; the records equal an undisturbed run's."""
    calm = harness.run(write_suite(variants=two(noise=0.05)), results=tmp_path / "calm")
    script = {"noise": 0.05, "die_after": 100, "die_once": str(tmp_path / "died")}
    rough = harness.run(write_suite(variants=two(**script)), results=tmp_path / "rough")
    assert (tmp_path / "died").exists()
    assert rough.manifest.variants["small"].failure is None
    assert digests(Store(tmp_path / "calm"), calm.manifest) == digests(Store(tmp_path / "rough"), rough.manifest)


def test_a_worker_that_keeps_dying_is_invalid(write_suite: Write, tmp_path: Path) -> None:
    """The candidate is INVALID with the worker's end named; the run itself goes on."""
    run = harness.run(write_suite(variants=two(die_after=10)), results=tmp_path / "r")
    candidate = run.verdict.candidates[0]
    assert (run.verdict.exit_code, candidate.decision) == (12, "INVALID")
    assert "ended with status 9 during score" in candidate.sentence


def test_a_dead_baseline_is_no_verdict(write_suite: Write, tmp_path: Path) -> None:
    """Without a baseline the run could not be done: exit code 3, not a verdict."""
    variants = {"full": {**BASE, "script": {"refuse": True}}, "small": small()}
    done = quantgate("run", write_suite(variants=variants), "--results", tmp_path / "r")
    assert done.returncode == 3
    assert "the baseline full could not be run" in done.stderr


@pytest.mark.parametrize("delay", [0.3, 0.9, 1.5])
def test_a_killed_driver_is_resumed(write_suite: Write, tmp_path: Path, delay: float) -> None:
    """kill -9 of the driver: its workers end too, and the same command goes on to equal records."""
    suite, results = write_suite(items=400), tmp_path / "r"
    calm = harness.run(suite, results=tmp_path / "calm")
    command = [sys.executable, "-m", "harness", "run", str(suite), "--results", str(results)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    again = harness.run(suite, results=results)
    assert digests(Store(tmp_path / "calm"), calm.manifest) == digests(Store(results), again.manifest)
    counted = {name: facts.items for name, facts in again.manifest.tasks.items()}
    assert counted == {"ask": 400, "say": 400, "read": 24}


@pytest.mark.parametrize("limit", [1, 3])
def test_one_item_alone_has_no_interval(limit: int, write_suite: Write, tmp_path: Path) -> None:
    """A task, a slice or a document by itself: a value without bounds, no gate that passes on it, no crash."""
    run = harness.run(write_suite(variants=two()), results=tmp_path / "results", limit=limit)
    measures = {(each.task, each.metric): each for each in run.verdict.candidates[0].measures}
    overall = measures["ask", "acc"]
    single = overall if limit == 1 else next(each for each in overall.slices if each.n == 1)
    assert single.change is not None
    assert (measures["read", "perplexity"].upper is None) == (limit == 1)
    assert all(finding.decision != "PASS" for finding in run.verdict.candidates[0].findings)
    assert harness.report(run, results=tmp_path / "results", reports=tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("text", "expected"), [("1048576", 2**20), ("512MiB", 2**29), ("4gb", 4 * 10**9), ("1.5 GiB", 3 * 2**29)]
)
def test_sizes(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "banana", "4 apples", "-1GB", "0", "0.1", "GiB"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="expected a size such as 512MiB or 4GB"):
        size(text)


def test_a_batch_that_does_not_fit_is_halved(write_suite: Write, tmp_path: Path) -> None:
    """Out of memory changes nothing but the batch: the records are the same."""
    roomy = harness.run(write_suite(variants=two()), results=tmp_path / "a")
    tight = harness.run(write_suite(variants=two(oom_tokens=300)), results=tmp_path / "b")
    assert digests(Store(tmp_path / "a"), roomy.manifest) == digests(Store(tmp_path / "b"), tight.manifest)
    log = Store(tmp_path / "b").run_folder("scripted", tight.manifest.run) / "logs" / "small.log"
    assert "out of memory with" in log.read_text()
    note = "memory ran out: batches of at most "
    for place, run in ((tmp_path / "a", roomy), (tmp_path / "b", tight)):
        keys = run.manifest.variants["small"].evaluations.values()
        limits = [manifest.batch_tokens for manifest in map(Store(place).evaluation, keys) if manifest is not None]
        facts = run.verdict.candidates[0].facts
        assert facts is not None
        notes = [each for each in facts.notes if each.startswith(note)]
        if run is roomy:
            assert (limits, notes) == ([None] * 3, [])
        else:
            least = min(limit or 0 for limit in limits)
            assert 75 < least <= max(limit or 0 for limit in limits) <= 300
            assert notes == [f"{note}{least} tokens"]


@pytest.mark.fault("kind: memory", "memory runs out in a worker above a size of batch", "smaller batches, noted")
def test_what_memory_allows_is_found_once(write_suite: Write, tmp_path: Path) -> None:
    """The next task, a run that goes on and a run of one task more ask in batches that fit from the start."""
    suite, results = write_suite(variants=two(oom_tokens=300)), tmp_path / "r"
    first = harness.run(suite, results=results)
    store, keys = Store(results), first.manifest.variants["small"].evaluations
    log = (store.run_folder("scripted", first.manifest.run) / "logs" / "small.log").read_text()
    assert log.count("out of memory with") == len(set(log.splitlines())) <= 5
    limits = {task: manifest.batch_tokens for task, key in keys.items() if (manifest := store.evaluation(key))}
    # as if it had been killed before the last chunk of one task, and before another
    folder = store.evaluation_folder(keys["ask"])
    (folder / "manifest.json").unlink()
    lines = (folder / "chunks.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "chunks.jsonl").write_bytes(b"".join(lines[:-1]))
    shutil.rmtree(store.evaluation_folder(keys["read"]))
    again = harness.run(suite, results=results)
    log_again = store.run_folder("scripted", again.manifest.run) / "logs" / "small.log"
    assert "out of memory" not in log_again.read_text()
    assert digests(store, first.manifest) == digests(store, again.manifest)
    assert {task: each.batch_tokens for task, key in keys.items() if (each := store.evaluation(key))} == limits
    assert again.verdict.candidates[0].facts == first.verdict.candidates[0].facts


@pytest.mark.fault("F19", "NaN answers or weights, a refusal to load, no quantized module, the baseline's digest")
@pytest.mark.parametrize(
    ("variant", "says"),
    [
        (small(tokens="shift"), "its tokenizer disagrees with the baseline's first at item 'q0'"),
        (small(non_finite=True), "1 loaded tensors hold NaN or infinity: layer.0.weight"),
        (small(quantized_modules=0), "claims to be quantized, but none of its 12 linear modules"),
        (small(nan=True), "gave no finite acc"),
        (small(refuse=True), "the script says to refuse"),
        (small(digest="full"), "it is the same model"),
    ],
)
def test_unsound_candidates_are_invalid(
    write_suite: Write, tmp_path: Path, variant: dict[str, object], says: str
) -> None:
    """Each is INVALID with its reason in one sentence, and the run itself succeeds."""
    run = harness.run(write_suite(variants={"full": BASE, "bad": variant}), results=tmp_path / "r")
    assert run.verdict.exit_code == 12
    assert says in run.verdict.candidates[0].sentence


def test_two_runs_at_once(write_suite: Write, tmp_path: Path) -> None:
    """The second run into one folder is refused with exit code 3 and who holds it."""
    store = Store(tmp_path / "r")
    store.root.mkdir()
    suite = write_suite()
    with store.locked():
        done = quantgate("run", suite, "--results", store.root)
    assert done.returncode == 3
    assert "in use by quantgate run, process" in done.stderr


def test_a_damaged_record_is_named(write_suite: Write, tmp_path: Path) -> None:
    """A changed byte in a stored chunk stops the judgement with the file and what to do; --fresh repairs it."""
    results = tmp_path / "r"
    run = harness.run(write_suite(), results=results)
    key = run.manifest.variants["small"].evaluations["ask"]
    chunks = results / "evaluations" / key / "chunks.jsonl"
    chunks.write_bytes(chunks.read_bytes().replace(b'"scored"', b'"scOred"', 1))
    done = quantgate("gate", run.manifest.run, "--results", results, "--reports", tmp_path / "reports")
    assert done.returncode == 3
    assert "chunks.jsonl:1: the stored items do not match their checksum" in done.stderr
    assert harness.run(write_suite(), results=results, fresh=True).verdict is not None


def test_hostile_output_stays_text(write_suite: Write, tmp_path: Path) -> None:
    """HTML, control characters and CI commands in a model's answer reach no terminal, page or CI runner raw."""
    hostile = "<script>alert(1)</script>\x1b[31m\n::error::pwned"
    suite = write_suite(variants=two(answer=hostile))
    results, reports = tmp_path / "r", tmp_path / "reports"
    done = quantgate("run", suite, "--results", results, "--reports", reports, env={"GITHUB_ACTIONS": "true"})
    page = next(reports.glob("scripted/*/report.html")).read_text()
    assert "<script" not in page
    assert "\x1b[31m" not in page + done.stdout
    assert not any(line.startswith("::error::") for line in done.stdout.splitlines())


def test_limit_variant_and_task_make_a_partial_run(write_suite: Write, tmp_path: Path) -> None:
    """A part of a suite is marked as one, and gates on what was left out decide nothing."""
    run = harness.run(write_suite(), results=tmp_path / "r", limit=10, tasks=("ask",))
    assert (run.manifest.partial, list(run.manifest.tasks), run.manifest.tasks["ask"].items) == (True, ["ask"], 10)
    assert [finding.decision for finding in run.verdict.candidates[0].findings] == ["INCONCLUSIVE"] * 2


def test_usage_errors(write_suite: Write) -> None:
    """An unknown option is told in a line, with exit code 2."""
    done = quantgate("run", write_suite(), "--nope")
    assert (done.returncode, "No such option: --nope" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_unknown_selection_names_what_there_is(write_suite: Write, tmp_path: Path) -> None:
    """--variant and --task take names of the suite."""
    with pytest.raises(UsageError, match="--variant tiny: the suite has full, small"):
        harness.run(write_suite(), results=tmp_path / "r", variants=("tiny",))


def test_later_stages_work_from_files(write_suite: Write, tmp_path: Path) -> None:
    """gate under changed limits, compare, report, show, history and promote on a saved run."""
    results, reports = tmp_path / "r", tmp_path / "reports"
    where = ("--results", results)
    run = harness.run(write_suite(), results=results).manifest.run
    strict = write_suite(gates=[{"task": "ask", "metric": "acc", "min": 0.99}])
    done = quantgate("gate", run, "--suite", strict, *where, "--reports", reports)
    assert (done.returncode, "limit at least 99.0 %" in done.stdout) == (10, True)
    assert "acc" in quantgate("compare", run, *where).stdout
    assert quantgate("report", run, *where, "--reports", reports).stdout.strip().endswith("report.html")
    lines = quantgate("show", run, "--task", "ask", *where).stdout.splitlines()
    assert len(lines) == 180
    assert set(json.loads(lines[0])) >= {"item", "prompt_hash", "log_likelihoods", "acc", "variant"}
    assert quantgate("show", run, "--format", "csv", *where).stdout.startswith("task,item,variant,prompt_hash")
    assert "small" in quantgate("history", "scripted", *where).stdout
    assert json.loads(quantgate("history", "scripted", "--json", *where).stdout)["runs"][0]["run"] == run
    assert quantgate("promote", run, "small", *where).returncode == 2
    assert quantgate("promote", run, "small", "--force", *where).returncode == 0
    later = harness.run(write_suite(), results=results)
    assert later.verdict.reference == f"small@{run}"
    assert later.verdict.candidates[0].reference_measures[0].change == 0


def test_a_label_and_the_conditions_are_kept(write_suite: Write, tmp_path: Path) -> None:
    """What a version is called and what it was measured with stand in the manifest, the verdict and the reports."""
    results, reports = tmp_path / "r", tmp_path / "reports"
    suite = write_suite(variants=two(noise=0.2))
    where = ("--results", results, "--reports", reports)
    done = quantgate("run", suite, *where, "--label", " v12 <3f2a9c> ", "--limit", "30", "--task", "ask")
    assert "(v12 <3f2a9c>)" in done.stdout
    manifest = Store(results).find_run("latest")
    assert (manifest.label, manifest.limit) == ("v12 <3f2a9c>", 30)
    verdict = Store(results).verdict("scripted", manifest.run)
    assert (verdict.label, verdict.limit, verdict.partial) == ("v12 <3f2a9c>", 30, True)
    assert verdict.tasks[0].plan == manifest.tasks["ask"].plan
    assert (verdict.tasks[0].definition, verdict.tasks[0].data_hash) != ("", None)
    base, small = verdict.baseline_conditions, verdict.candidates[0].conditions
    assert base is not None
    assert small is not None
    assert (base.engine, base.quantization, small.quantization) == ("scripted", "", "")
    assert base.weights != small.weights
    folder = reports / "scripted" / manifest.run
    assert "v12 &lt;3f2a9c&gt;" in (folder / "report.html").read_text()
    assert "v12" in (folder / "report.md").read_text()
    assert "partial" in quantgate("history", "scripted", "--results", results).stdout


@pytest.mark.parametrize("label", ["x" * 65, "two\nlines", "bell\x07"])
def test_a_label_is_one_short_line(label: str, write_suite: Write, tmp_path: Path) -> None:
    """A text that would not fit a table or could move a terminal's cursor is refused before anything runs."""
    with pytest.raises(UsageError, match="--label: expected at most 64 printable characters on one line, got"):
        harness.run(write_suite(), results=tmp_path / "r", label=label)
    assert not (tmp_path / "r").exists()


def test_changed_items_cannot_be_judged(write_suite: Write, tmp_path: Path) -> None:
    """A run whose data file changed since is INVALID under the suite as it is now."""
    run = harness.run(write_suite(), results=tmp_path / "r")
    suite = write_suite(items=91)
    verdict = harness.gate(run, suite=suite, results=tmp_path / "r")
    assert verdict.decision == "INVALID"
    assert "data/choice.jsonl changed since this run" in verdict.candidates[0].sentence


def test_unwritable_results_are_found_before_any_model(write_suite: Write, tmp_path: Path) -> None:
    """A results path below a file is refused at once, with exit code 3."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        harness.run(write_suite(), results=tmp_path / "file" / "r")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{broken", r"data/choice.jsonl:91: expected one JSON object per line"),
        ('{"id": "x"}', r"data/choice.jsonl:91: tasks.ask.choice.choices: expected a field 'options'"),
        ('{"id": "q1", "question": "?", "topic": "a", "options": ["a", "b"], "answer": 0}', "same id 'q1' as data/"),
        ('{"id": "x", "question": "?", "topic": "a", "options": ["a", "b"], "answer": "c"}', "expected one of ['a', "),
    ],
)  # fmt: skip
def test_bad_rows_are_named_by_line(write_suite: Write, tmp_path: Path, line: str, says: str) -> None:
    """Broken JSON, a missing field, a duplicate and an answer that is no option: file, line and key."""
    suite = write_suite()
    with (tmp_path / "data" / "choice.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(SuiteError) as caught:
        harness.run(suite, results=tmp_path / "r")
    assert says in str(caught.value)


def test_an_empty_task_is_an_error(write_suite: Write, tmp_path: Path) -> None:
    """A data file without items is named; nothing runs."""
    suite = write_suite()
    (tmp_path / "data" / "choice.jsonl").write_text("\n")
    with pytest.raises(SuiteError, match="expected at least one item, the file has none"):
        harness.run(suite, results=tmp_path / "r")
    assert not list((tmp_path / "r").glob("evaluations/*"))


def test_prompts_beyond_the_context_are_counted(write_suite: Write, tmp_path: Path) -> None:
    """An item that does not fit is asked of nobody, counted and reported; it is never cut."""
    variants = {
        name: {**each, "script": {**each["script"], "context_length": 70}}
        for name, each in two().items()
        if isinstance(each, dict)
    }
    suite = write_suite(variants=variants)
    long = {"id": "long", "question": "very " * 30, "topic": "a", "options": ["yes", "no"], "answer": 0}
    with (tmp_path / "data" / "choice.jsonl").open("a") as stream:
        stream.write(json.dumps(long) + "\n")
    run = harness.run(suite, results=tmp_path / "r")
    assert run.manifest.tasks["ask"].too_long == 1
    assert run.verdict.candidates[0].measures[0].n == 90


def test_a_variant_may_run_in_an_interpreter_of_its_own(write_suite: Write, tmp_path: Path) -> None:
    """Named by path, recorded in the run; one that is gone is the variant's failure, not the run's."""
    variants = {
        "full": BASE,
        "small": {**small(), "environment": sys.executable},
        "gone": {**small(), "environment": str(tmp_path / "nowhere" / "python")},
    }
    run = harness.run(write_suite(variants=variants), results=tmp_path / "r")
    assert run.manifest.variants["small"].environment == sys.executable
    failure = run.manifest.variants["gone"].failure
    assert failure is not None
    assert "no such interpreter" in failure
