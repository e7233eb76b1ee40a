"""Records that were damaged, changed, moved or swapped: what is read is what was stored, or nothing is.

What no checksum tells is said in docs/trust.md: whoever may write to the results folder and forges every one of them.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import harness
from harness import api
from harness.commands.saved import promote_version
from harness.errors import ExitCode, QuantgateError, RecordError, RunError
from harness.records.chunks import Chunks
from harness.records.lock import held_for_a_write
from harness.records.run_manifest import Accepted, RunManifest
from harness.records.seal import with_checksum
from harness.records.store import Store
from harness.records.verdict import Verdict
from tests.faults.stored import SUITE, Kept, everything, make, records

FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return make(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def copy(kept: Kept, tmp_path: Path) -> Kept:
    return kept.at(Path(shutil.copytree(kept.results, tmp_path / "results")))


def judged(kept: Kept) -> Verdict:
    return harness.gate(kept.run.run, results=kept.results, save=False)


def edited(path: Path, change: Callable[[str], str]) -> None:
    """As with an editor: what is not the checksum's own line."""
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)


def refused(kept: Kept, *names: str) -> str:
    """Judging it ends with 3 and names the place."""
    with pytest.raises(RecordError) as raised:
        judged(kept)
    assert raised.value.exit_code == ExitCode.RUN
    for name in names:
        assert name in str(raised.value), str(raised.value)
    return str(raised.value)


# -- one at a time


def test_the_run_that_is_tried_on(kept: Kept) -> None:
    """Undisturbed it is read without an error, holds every kind of record, and `bad` does not pass."""
    assert everything(kept.results, kept.run.run) == everything(kept.results, kept.run.run)
    kinds = {Path(each).name if "evaluations/" in each else each.split("/")[0] for each in records(kept.results)}
    assert kinds >= {"plans", "speed", SUITE, "manifest.json", "chunks.jsonl", "000000.npy"}
    assert Store(kept.results).evaluation(kept.run.variants["full"].evaluations["read"]) is not None
    assert {each.variant: each.decision for each in judged(kept).candidates}["bad"] == "FAIL"


@pytest.mark.fault("F20", "one stored answer is changed, its checksum is left", "refused, file and line named")
def test_a_changed_answer(copy: Kept) -> None:
    """A stored score is turned round by hand: exit code 3 with the file and the line."""
    path = copy.results / copy.address("bad", "ask", "chunks.jsonl")
    edited(path, lambda text: text.replace('"value":0.0', '"value":1.0', 1))
    assert f"{path}:1" in refused(copy, "checksum", "--fresh")


def _without_last(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


def _torn(text: str) -> str:
    return text[:-40]


def _twice(text: str) -> str:
    return text + text.splitlines(keepends=True)[0]


def _reversed(text: str) -> str:
    return "".join(reversed(text.splitlines(keepends=True)))


@pytest.mark.fault("F22", "chunks left out, torn, repeated, reordered; a manifest halved or emptied", "refused")
@pytest.mark.parametrize("change", [_without_last, _torn, _twice, _reversed])
def test_other_chunks_than_were_stored(copy: Kept, change: Callable[[str], str]) -> None:
    """Whatever becomes of whole lines: the manifest says which there were."""
    path = copy.results / copy.address("bad", "ask", "chunks.jsonl")
    if len(path.read_text().splitlines()) == 1 and change is _reversed:
        chunks = Chunks(path)
        half = [item for chunk in chunks.load() for item in chunk]
        path.unlink()
        for part in (half[30:], half[:30]):
            chunks.append(part)
    else:
        edited(path, change)
    refused(copy, "chunks.jsonl")


@pytest.mark.fault("F22", "a manifest is halved or emptied", "refused, file named")
@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("evaluations/*/manifest.json", "manifest.json"),
        ("*/runs/*/verdict.json", "verdict.json"),
        ("*/runs/*/run.json", "run.json"),
        ("*/accepted.jsonl", "accepted.jsonl"),
        ("plans/*.jsonl", "plans/"),
    ],
)
@pytest.mark.parametrize("part", [0.0, 0.5])
def test_a_record_that_is_cut_off(copy: Kept, where: str, name: str, part: float) -> None:
    """Half a record is none, and an empty file is no record without lines."""
    for path in copy.results.glob(where):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(RecordError, match=name):
        everything(copy.results, copy.run.run)


@pytest.mark.fault("F23", "a good variant's chunks and manifest are copied over a bad one's", "refused by the key")
def test_another_evaluation_under_a_key(copy: Kept) -> None:
    """As a wrong restore of a cache does it: the folder of `bad` holds what `good` answered."""
    for task in ("ask", "read"):
        for name in ("chunks.jsonl", "manifest.json"):
            source, target = (copy.results / copy.address(variant, task, name) for variant in ("good", "bad"))
            shutil.copyfile(source, target)
    refused(copy, copy.run.variants["bad"].evaluations["ask"])


@pytest.mark.fault("F23", "the same, with the checksum made anew for the other place", "refused by the key")
def test_a_manifest_made_for_another_place(copy: Kept) -> None:
    """A key is the hash of an identity: a manifest whose identity has another hash belongs elsewhere."""
    address = copy.address("bad", "ask", "manifest.json")
    source = json.loads((copy.results / copy.address("good", "ask", "manifest.json")).read_text())
    del source["checksum"]
    for key in (source["key"], copy.run.variants["bad"].evaluations["ask"]):
        (copy.results / address).write_bytes(with_checksum(json.dumps({**source, "key": key}).encode(), address))
        assert "not of the folder it is in" in refused(copy, "manifest.json")


@pytest.mark.fault("F28", "the run's evaluations of a bad variant point at a good one's", "refused by the checksum")
def test_a_run_that_points_elsewhere(copy: Kept) -> None:
    """Edited by hand, `bad` would have the answers of `good`."""
    good, bad = (copy.run.variants[name].evaluations["ask"] for name in ("good", "bad"))
    path = Store(copy.results).run_folder(SUITE, copy.run.run) / "run.json"
    edited(path, lambda text: text.replace(bad, good))
    refused(copy, "run.json", "checksum")


@pytest.mark.fault("F28", "a whole run record that points at another model's or task's evaluation", "refused")
@pytest.mark.parametrize(
    ("variant", "task", "says"), [("good", "ask", "another model"), ("bad", "read", "other items")]
)
def test_a_run_recorded_wrongly(copy: Kept, variant: str, task: str, says: str) -> None:
    """Were quantgate itself to write such a run: what it says of a variant and of a task has to fit."""
    wrong = copy.run.variants[variant].evaluations[task]
    bad = copy.run.variants["bad"].model_copy(
        update={"evaluations": {**copy.run.variants["bad"].evaluations, "ask": wrong}}
    )
    Store(copy.results).save_run(copy.run.model_copy(update={"variants": {**copy.run.variants, "bad": bad}}))
    assert says in refused(copy, wrong)


@pytest.mark.fault("F29", "facts or the suite's text in a stored run are edited", "refused by the checksum")
@pytest.mark.parametrize("wanted", ["max_drop", '"quantized_modules": 12', '"must_be_quantized": true'])
def test_an_edited_run(copy: Kept, wanted: str) -> None:
    """Gates, what was loaded, what was claimed: all of it is covered."""
    path = Store(copy.results).run_folder(SUITE, copy.run.run) / "run.json"
    edited(path, lambda text: text.replace(wanted, wanted.replace("max_drop", "min_drop").replace("12", "13")
                                           .replace("true", "false"), 1))  # fmt: skip
    refused(copy, "run.json", "checksum")


@pytest.mark.fault("F31", "verdict.json is set to PASS by hand", "refused by the checksum")
def test_an_edited_verdict(copy: Kept, tmp_path: Path) -> None:
    """No report is written of it, and the run can be judged again."""
    path = Store(copy.results).run_folder(SUITE, copy.run.run) / "verdict.json"
    edited(path, lambda text: text.replace('"decision": "FAIL"', '"decision": "PASS"'))
    with pytest.raises(RecordError, match=r"verdict\.json: does not match its checksum.*quantgate gate"):
        harness.report(copy.run.run, results=copy.results, reports=tmp_path / "reports")
    with pytest.raises(RecordError, match="checksum"):
        Store(copy.results).summary(SUITE, copy.run.run)
    harness.gate(copy.run.run, results=copy.results)
    assert Store(copy.results).verdict(SUITE, copy.run.run).decision == "FAIL"


def test_a_checksum_cannot_be_left_out(copy: Kept) -> None:
    """A record of this version without its checksum is refused; only earlier versions had none."""
    path = Store(copy.results).run_folder(SUITE, copy.run.run) / "run.json"
    record = json.loads(path.read_text())
    del record["checksum"]
    path.write_text(json.dumps(record))
    refused(copy, "run.json: carries no checksum")


def test_records_of_an_earlier_version_are_read(copy: Kept) -> None:
    """As version 1 wrote them: without checksums, chunks under the hash of their JSON alone. The numbers are the same,
    and the verdict says that nobody can tell whether they were changed."""
    before = judged(copy)
    for path in (copy.results / each for each in records(copy.results)):
        if path.suffix == ".json":
            record = {**json.loads(path.read_text()), "schema_version": 1}
            for name in ("checksum", "states", "weights", "quantization"):
                record.pop(name, None)
            path.write_text(json.dumps(record["parts"] if path.name == "batches.json" else record))
        elif path.name == "chunks.jsonl":
            _earlier_chunks(path)
        elif path.suffix == ".jsonl":
            path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    after = judged(copy)
    assert after.candidates == before.candidates
    assert "carry no checksum" in after.method[-1]
    assert [each for each in before.method if "carry no checksum" in each] == []


def _earlier_chunks(path: Path) -> None:
    import hashlib

    payloads = [line.partition(b" ")[2] for line in path.read_bytes().splitlines()]
    path.write_bytes(b"".join(hashlib.sha256(each).hexdigest().encode() + b" " + each + b"\n" for each in payloads))


@pytest.mark.fault("F21", "answers are changed and every checksum over them is computed anew", "believed, and said so")
def test_whoever_forges_every_checksum_is_believed(copy: Kept) -> None:
    """The boundary of what checksums tell, which docs/running.md names: they are no signatures."""
    store, key = Store(copy.results), copy.run.variants["bad"].evaluations["ask"]
    manifest, items = store.evaluation(key), store.items(key)
    assert manifest is not None
    chunks = store.chunks(key)
    chunks.path.unlink()
    chunks.append([items[0].model_copy(update={"metrics": items[1].metrics}), *items[1:]])
    store.save(f"evaluations/{key}/manifest.json", manifest.model_copy(update={"chunks": 1, "digest": chunks.digest()}))
    assert judged(copy).run == copy.run.run


# -- all of them


def _flipped(content: bytes, place: int, bits: int) -> bytes:
    at = place % len(content)
    return content[:at] + bytes([content[at] ^ bits]) + content[at + 1 :]


def _cut(content: bytes, place: int, bits: int) -> bytes:
    return content[: place % len(content)]


def _without(content: bytes, place: int, bits: int) -> bytes:
    at = place % len(content)
    return content[:at] + content[at + bits :]


def _doubled(content: bytes, place: int, bits: int) -> bytes:
    at = place % len(content)
    return content[: at + bits] + content[at:]


Change = Callable[[bytes, int, int], bytes]


@pytest.mark.fault("kind: damaged records", "a byte of any record is flipped, cut off, left out or repeated", "refused")
@FEW
@given(
    which=st.integers(0, 10_000),
    change=st.sampled_from([_flipped, _flipped, _flipped, _cut, _without, _doubled]),
    place=st.integers(0, 10_000_000) | st.integers(0, 300).map(lambda end: -1 - end),
    bits=st.integers(1, 255),
)
def test_damage_of_any_kind(kept: Kept, which: int, change: Change, place: int, bits: int) -> None:
    """Reading gives exactly what was stored or raises `RecordError` with the file's name; never other numbers, never
    another exception."""
    addresses = records(kept.results)
    path = kept.results / addresses[which % len(addresses)]
    content = path.read_bytes()
    _same_or_refused(kept, {path: change(content, place, bits)}, {path: content})


@pytest.mark.fault(
    "kind: moved records", "any two records of a kind are swapped, or one is put over the other", "refused"
)
@FEW
@given(first=st.integers(0, 10_000), second=st.integers(0, 10_000), both=st.booleans())
def test_records_at_each_others_places(kept: Kept, first: int, second: int, both: bool) -> None:
    """Every record is bound to its address: what lies at another one's place is not read there."""
    addresses = records(kept.results)
    one = addresses[first % len(addresses)]
    alike = [each for each in addresses if Path(each).suffix == Path(one).suffix]
    paths = [kept.results / one, kept.results / alike[second % len(alike)]]
    before = {path: path.read_bytes() for path in paths}
    after = {paths[0]: before[paths[1]], **({paths[1]: before[paths[0]]} if both else {})}
    _same_or_refused(kept, after, before)


def _same_or_refused(kept: Kept, after: dict[Path, bytes], before: dict[Path, bytes]) -> None:
    expected = _undisturbed(kept)
    try:
        for path, content in after.items():
            path.write_bytes(content)
        found, said = _read_again(kept)
        assert found == expected or any(path.name in said or path.parent.name in said for path in after), said
    finally:
        for path, content in before.items():
            path.write_bytes(content)


def _read_again(kept: Kept) -> tuple[dict[str, object] | None, str]:
    """What reading gives, or what it says."""
    try:
        return everything(kept.results, kept.run.run), ""
    except RecordError as error:
        return None, str(error)


_read: dict[Path, dict[str, object]] = {}


def _undisturbed(kept: Kept) -> dict[str, object]:
    if kept.results not in _read:
        _read[kept.results] = everything(kept.results, kept.run.run)
    return _read[kept.results]


@pytest.mark.fault("kind: moved records", "chunks of an unfinished evaluation come from another one", "refused")
def test_an_unfinished_evaluation_goes_on_with_its_own(copy: Kept, tmp_path: Path) -> None:
    """No manifest says yet which chunks there are, and the items are the same: the checksums are bound to the key."""
    for address in ("manifest.json", "chunks.jsonl"):
        path = copy.results / copy.address("bad", "ask", address)
        path.unlink()
    shutil.copyfile(copy.results / copy.address("good", "ask", "chunks.jsonl"), path)
    with pytest.raises(RecordError, match="belong to another evaluation"):
        Chunks(path).load()
    with pytest.raises(RecordError, match="belong to another evaluation"):
        Chunks(path).append([])


# -- readers and writers


@pytest.mark.fault("F37", "chunks.jsonl is a link to a file without a newline at its end", "refused, nothing is cut")
def test_readers_write_nothing(copy: Kept, tmp_path: Path) -> None:
    """A torn line is left out and left there; a link's target is not touched, neither by a reader nor by a run."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"somebody's own words")
    path = copy.results / copy.address("bad", "ask", "chunks.jsonl")
    path.unlink()
    path.symlink_to(victim)
    refused(copy, "chunks.jsonl")
    with pytest.raises(RecordError, match=r"chunks\.jsonl: is a link"):
        Chunks(path).append([])
    assert victim.read_bytes() == b"somebody's own words"


@pytest.mark.fault("kind: readers that write", "every way of reading, over a folder that may not be written", "read")
def test_a_folder_that_is_only_read(copy: Kept) -> None:
    """Not one byte or date below the folder changes."""

    def state() -> list[tuple[Path, int, int]]:
        return [(each, each.stat().st_mtime_ns, each.stat().st_size) for each in sorted(copy.results.rglob("*"))]

    before = state()
    everything(copy.results, copy.run.run)
    judged(copy)
    api.history(SUITE, results=copy.results)
    assert state() == before


@pytest.mark.fault("F36", "six processes promote a version at once", "all six lines are kept")
def test_promoted_at_once(copy: Kept) -> None:
    """Each waits for the one before it."""
    code = (
        "import sys; from pathlib import Path\nfrom harness.commands.saved import promote_version\n"
        "promote_version(sys.argv[2], 'good', Path(sys.argv[1]), name=sys.argv[3], note='', force=True)\n"
    )
    together = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(copy.results), copy.run.run, f"n{number}"], stdout=subprocess.DEVNULL
        )
        for number in range(6)
    ]
    assert [each.wait(timeout=120) for each in together] == [0] * 6
    names = [each.name for each in Store(copy.results).accepted(SUITE)]
    assert sorted(names) == ["n0", "n1", "n2", "n3", "n4", "n5", "v1"]


def test_a_name_is_given_once(copy: Kept) -> None:
    """Also where two give it at once: the second is told under the lock."""
    store = Store(copy.results)
    with pytest.raises(QuantgateError, match="--name v1: is good@"):
        store.accept(SUITE, Accepted(run=copy.run.run, variant="bad", promoted_at="2026-01-01T00:00:00", name="v1"))


@pytest.mark.fault("F39", ".lock is a link", "refused in a sentence, the target is not touched")
def test_a_lock_that_is_a_link(tmp_path: Path) -> None:
    """A sentence and exit code 3, no traceback; so for the file that says who holds the folder."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    root = tmp_path / "results"
    root.mkdir()
    (root / ".lock").symlink_to(victim)
    with pytest.raises(RunError, match=r"\.lock: cannot be locked: it is a link") as raised, Store(root).locked():
        pass
    assert raised.value.exit_code == ExitCode.RUN
    with pytest.raises(RunError, match="it is a link"), held_for_a_write(root):
        pass
    (root / ".lock").unlink()
    (root / ".lock.owner").symlink_to(victim)
    with Store(root).locked():
        pass
    assert victim.read_text() == "mine"


@pytest.mark.fault(
    "kind: locks", ".lock is a folder, or the results folder may not be written", "refused in a sentence"
)
def test_a_lock_that_cannot_be_had(tmp_path: Path) -> None:
    """Whatever the system says becomes a sentence with the place."""
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunError, match=r"\.lock: cannot be locked: "), Store(tmp_path).locked():
        pass


@pytest.mark.fault("C3", "a second writer meets a held folder", "it waits, and says so when in vain")
def test_a_write_that_waits_in_vain(tmp_path: Path) -> None:
    """Not for ever."""
    with held_for_a_write(tmp_path), pytest.raises(RunError, match="try again"), held_for_a_write(tmp_path, wait_s=0.1):
        pass


# -- names


ELSEWHERE = ["../x", "..", "a/b", "/etc/passwd", ".hidden", "a\nb", "a\x00b", "", " x"]


@pytest.mark.fault("kind: names out of records", "a run, suite, variant, task or key named ../x", "refused")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_names_lead_nowhere_else(kept: Kept, name: str) -> None:
    """Whatever becomes part of a path is refused where it is read, in every field that does."""
    whole = json.loads(kept.run.model_dump_json())
    variant, task = whole["variants"]["bad"], whole["tasks"]["ask"]
    wrong: list[dict[str, object]] = [
        {"run": name},
        {"suite": name},
        {"baseline": name},
        {"variants": {name: variant}},
        {"variants": {"bad": {**variant, "evaluations": {"ask": name}}}},
        {"variants": {"bad": {**variant, "speed": name}}},
        {"variants": {"bad": {**variant, "second_pass": {"ask": name}}}},
        {"tasks": {name: task}},
        {"tasks": {"ask": {**task, "plan": name}}},
        {"reference": name},
    ]
    for change in wrong:
        with pytest.raises(ValidationError):
            RunManifest.model_validate({**whole, **change})
    with pytest.raises(ValidationError):
        Accepted(run=name, variant="v", promoted_at="")
    manifest = Store(kept.results).evaluation(kept.run.variants["bad"].evaluations["ask"])
    assert manifest is not None
    stored = json.loads(manifest.model_dump_json())
    for part in ({"key": name}, {"identity": {**stored["identity"], "requests": name}}):
        with pytest.raises(ValidationError):
            type(manifest).model_validate({**stored, **part})


@pytest.mark.fault("kind: names out of records", "a copied run folder whose run.json names another place", "refused")
def test_a_copied_run_says_what_it_is(copy: Kept, tmp_path: Path) -> None:
    """A folder given by its path is read by what it says of itself, under its checksum; one among other runs has to be
    that run."""
    store = Store(copy.results)
    folder = store.run_folder(SUITE, copy.run.run)
    elsewhere = Path(shutil.copytree(folder, tmp_path / "artifact"))
    assert store.find_run(str(elsewhere)) == copy.run
    other = Path(shutil.copytree(folder, folder.parent / "20200101-000000-aaaa"))
    for name in (str(other), other.name):
        with pytest.raises(RecordError, match=r"20200101-000000-aaaa/run\.json"):
            store.find_run(name)


# -- limits of the machine


@pytest.mark.fault("I9", "files may not grow beyond 4 kB while a run is judged", "exit code 3, file named")
def test_files_that_may_not_grow(copy: Kept, tmp_path: Path) -> None:
    """The verdict cannot be written: the old one stays whole, and the file is named."""
    path = Store(copy.results).run_folder(SUITE, copy.run.run) / "verdict.json"
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "gate", copy.run.run, "--results", str(copy.results), "--reports",
         str(tmp_path / "reports")],
        capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "verdict.json: could not be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


@pytest.mark.fault("I1", "the results folder is a file, or may not be written", "exit code 3 before anything runs")
def test_a_results_folder_that_is_none(tmp_path: Path) -> None:
    """Before a model is loaded."""
    from tests.faults.stored import write_suite

    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="the results folder cannot be written"):
        harness.run(write_suite(tmp_path), results=tmp_path / "file" / "results")
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(RunError, match="cannot be written"):
            harness.run(write_suite(tmp_path), results=tmp_path / "locked")


@pytest.mark.parametrize("name", ["*", "/kept", "./kept.yaml", "../results/kept", "", "ke?t", "kept/runs"])
def test_a_history_is_of_a_name(kept: Kept, name: str) -> None:
    """A path or a pattern is no suite's name, which is said with the names that there are."""
    with pytest.raises(QuantgateError, match=r"there are runs of kept") as raised:
        api.history(name, results=kept.results)
    assert raised.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("fault", ["moved", "gone", "changed"])
def test_what_is_promoted_is_there(copy: Kept, fault: str) -> None:
    """Later runs are held against it, so that its answers are looked at, also with --force."""
    good, bad = (copy.results / "evaluations" / copy.run.variants[each].evaluations["ask"] for each in ("good", "bad"))
    if fault != "changed":
        shutil.rmtree(good)
    if fault == "moved":
        shutil.copytree(bad, good)
    if fault == "changed":
        edited(good / "chunks.jsonl", lambda text: text.replace("q1", "q2", 1))
    before = (copy.results / SUITE / "accepted.jsonl").read_bytes()
    with pytest.raises(RecordError, match=good.name):
        promote_version(copy.run.run, "good", copy.results, name="again", note="", force=True)
    assert (copy.results / SUITE / "accepted.jsonl").read_bytes() == before
