"""Logs that inspect_ai 0.3.285 wrote itself (`inspect_0_3_285/make_logs.py`), read, compared and judged; and what is
wrong with an archive, each with its message and nothing stored."""

from __future__ import annotations

import json
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.errors import QuantgateError
from harness.imports.inspect_logs import read
from harness.imports.shape import ImportedItem, ImportedTask, NoValue, Selection, UnreadableError
from harness.imports.zip_members import ZSTANDARD, opened
from harness.records.items import Failed, ItemRecord, Scored
from harness.records.store import Store
from harness.suite.load import parse_suite

WRITTEN = Path(__file__).parent / "inspect_0_3_285"
NONE = Selection()
Members = dict[str, bytes]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A copy of both sides: `base` and `quantized`."""
    shutil.copytree(WRITTEN, tmp_path / "written")
    return tmp_path / "written"


def log_of(folder: Path, task: str) -> Path:
    return next(folder.glob(f"*_{task}_*.eval"))


def members(path: Path) -> Members:
    with opened(path) as archive:
        return {name: archive.read(name) for name in archive.names}


def packed(path: Path, content: Members, compression: int = zipfile.ZIP_DEFLATED) -> None:
    """Written again, as versions of inspect_ai before Zstandard did."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, each in content.items():
            archive.writestr(name, each)


def edited(path: Path, name: str, edit: Callable[[Any], object]) -> None:
    """One member, or all whose name begins so, changed in place."""
    content = members(path)
    for each in [found for found in content if found.startswith(name)]:
        fields = json.loads(content[each])
        edit(fields)
        content[each] = json.dumps(fields).encode()
    packed(path, content)


def run(folder: Path, *, gates: str = "[]", more: str = "") -> harness.Run:
    text = (
        "suite: s\nvariants:\n  base: {import: base, baseline: true}\n  quantized: {import: quantized}\n"
        f"gates: {gates}\n{more}"
    )
    return harness.run(parse_suite(text, folder / "suite.yaml"), results=folder / "results")


def stored(folder: Path, made: harness.Run, variant: str, task: str) -> dict[str, ItemRecord]:
    items = Store(folder / "results").items(made.manifest.variants[variant].evaluations[task])
    return {record.item: record for record in items}


def listed(task: ImportedTask, selection: Selection = NONE) -> list[ImportedItem]:
    return list(task.items(selection))


def test_the_logs_are_as_inspect_writes_them_today() -> None:
    """Their members are compressed with Zstandard, which Python's zipfile does not read before 3.14."""
    with zipfile.ZipFile(log_of(WRITTEN / "base", "pick")) as archive:
        assert {each.compress_type for each in archive.infolist()} == {ZSTANDARD}


def test_a_choice_task() -> None:
    """C and I are 1 and 0 under the scorer's name; answers with tokens and ending; options are part of what is asked;
    metadata gives slices and clusters where asked for; settings are there to be held against the other side."""
    side = read(WRITTEN / "base")
    assert (side.model, side.library, side.version) == ("mockllm/model", "inspect_ai", "0.3.285")
    task = side.tasks["pick"]
    assert [metric.name for metric in task.metrics] == ["choice"]
    assert (task.count, task.fields) == (6, ("topic", "source"))
    assert task.must_agree["task version"] == "2"
    assert task.must_agree["generation settings"] == '{"max_tokens": 16, "temperature": 0.0}'
    items = listed(task, Selection(slice_by=("topic",), cluster_by="source"))
    assert [item.id for item in items] == ["1", "2", "3", "4", "5", "6"]
    assert [item.values["choice"] for item in items] == [1, 1, 1, 1, 1, 0]
    first = items[0]
    assert first.prompt == "Which letter comes at place 1?\nA) a\nB) b\nC) c"
    assert (first.target, first.slices, first.cluster) == ("A", {"topic": "x"}, "page 0")
    assert first.answer is not None
    assert (first.answer.text, first.answer.tokens, first.answer.finish) == ("ANSWER: A", 3, "stop")


def test_epochs_errors_limits_and_several_scorers() -> None:
    """Three epochs are repeats in a row; P and N are 0.5 and 0, a dict's numbers go by `scorer.key`; an error, a limit
    and NaN have no value, with their reason; what more means is taken for granted in words."""
    side = read(WRITTEN / "quantized")
    task = side.tasks["counting"]
    assert [metric.name for metric in task.metrics] == ["match", "includes", "shape.length", "shape.vowels", "partial"]
    assert side.notes == ("counting: of shape.length, shape.vowels more is taken for better; the log does not say",)
    items = listed(task)
    assert [(item.id, item.repeat) for item in items] == [(f"s{n}", epoch) for n in range(6) for epoch in (1, 2, 3)]
    by_key = {(item.id, item.repeat): item for item in items}
    assert by_key["s0", 1].values == {
        "match": 1, "includes": 1, "shape.length": 7, "shape.vowels": 1, "partial": 1,
    }  # fmt: skip
    assert by_key["s4", 1].values["partial"] == 0.5
    assert set(map(str, by_key["s2", 2].values.values())) == {
        "NoValue(reason=\"the evaluation failed: ValueError('the tool is gone')\")"
    }
    assert by_key["s3", 1].values["match"] == NoValue(reason="it was stopped at the message limit of 6.0")
    assert by_key["s5", 3].values["shape.vowels"] == NoValue(reason="the score is nan")
    assert by_key["s5", 3].values["match"] == 1
    assert [item.answer.finish for item in items[3:6] if item.answer is not None] == ["length"] * 3


@pytest.mark.parametrize("suffix", [".json", ".eval"])
def test_other_forms_say_the_same(suffix: str) -> None:
    """The same log as `.json`, and with each sample as a folder (inspect_ai's form for long ones)."""
    (other,) = (WRITTEN / "other_forms").glob(f"*{suffix}")
    ours, theirs = (read(path).tasks["pick"] for path in (log_of(WRITTEN / "base", "pick"), other))
    wanted = Selection(slice_by=("topic",))
    for one, same in zip(listed(ours, wanted), listed(theirs, wanted), strict=True):
        for name in ("id", "repeat", "prompt", "asked", "target", "answer", "values", "slices"):
            assert getattr(one, name) == getattr(same, name)
    assert ours.must_agree == theirs.must_agree


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
def test_every_compression(written: Path, compression: int) -> None:
    """Logs from before Zstandard, and packed again by hand."""
    path = log_of(written / "base", "pick")
    before = [item.values for item in listed(read(path).tasks["pick"])]
    packed(path, members(path), compression)
    assert [item.values for item in listed(read(path).tasks["pick"])] == before


def test_imported_and_judged(written: Path) -> None:
    """Pairs, mean over epochs within the item, failures counted against neither but said, slices of metadata."""
    gates = "[{task: pick, metric: choice, max_drop: 0.9}, {task: counting, metric: match, max_drop: 0.5}]"
    made = run(
        written,
        gates=gates,
        more="tasks: {pick: {imported: pick, slice_by: [topic]}, counting: {imported: counting}}\n",
    )
    records = stored(written, made, "quantized", "counting")
    assert records["s0"].metrics["match"] == Scored(value=1.0)
    assert len(records["s0"].answers) == 3
    failed = records["s2"].metrics["match"]
    assert isinstance(failed, Failed)
    assert failed.error == "repeat 2: the evaluation failed: ValueError('the tool is gone')"
    facts = made.manifest.variants["quantized"].facts
    assert facts is not None
    assert facts.versions == {"inspect_ai": "0.3.285"}
    assert {item.item: item.slices for item in Store(written / "results").plan(made.manifest.tasks["pick"].plan)}[
        "2"
    ] == {"topic": "y"}
    assert [candidate.variant for candidate in made.verdict.candidates] == ["quantized"]


DIFFERENT: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "generation settings": ("header.json", lambda each: each["plan"]["config"].update(temperature=0.5), "generation"),
    "the model's own settings": (
        "header.json", lambda each: each["eval"]["model_generate_config"].update(top_p=0.9), "generation settings",
    ),
    "the task's arguments": ("header.json", lambda each: each["eval"]["task_args"].update(shots=5), "task arguments"),
    "the task's version": ("header.json", lambda each: each["eval"].update(task_version=3), "task version"),
    "the solver": ("header.json", lambda each: each["plan"]["steps"][0]["params"].update(cot=True), "solver steps"),
    "the scorer": ("header.json", lambda each: each["eval"]["scorers"][0].update(options={"a": 1}), "scorers"),
    "a limit": ("header.json", lambda each: each["eval"]["config"].update(token_limit=9), "limits"),
    "the question": ("samples/1_", lambda each: each.update(input="Which?"), "differs from .* in its prompt"),
    "the options": ("samples/1_", lambda each: each.update(choices=["a", "b"]), "differs from .* in its"),
    "the target": ("samples/1_", lambda each: each.update(target="B"), "differs from .* in its target"),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(DIFFERENT))
def test_a_candidate_that_was_asked_otherwise(written: Path, what: str) -> None:
    """The candidate is refused by the name of what differs; it is never compared."""
    name, edit, says = DIFFERENT[what]
    edited(log_of(written / "quantized", "pick"), name, edit)
    try:
        made = run(written, gates="[{task: pick, metric: choice, max_drop: 0.9}]")
    except QuantgateError as error:
        said = str(error)
    else:
        (candidate,) = made.verdict.candidates
        assert candidate.decision == "INVALID"
        said = made.verdict.model_dump_json()
    assert re.search(says, said), said[:2000]


def drop(name: str) -> Callable[[Members], Members]:
    return lambda content: {each: value for each, value in content.items() if not each.startswith(name)}


def header(**changes: object) -> Callable[[Members], Members]:
    def change(content: Members) -> Members:
        return {**content, "header.json": json.dumps({**json.loads(content["header.json"]), **changes}).encode()}

    return change


BROKEN: dict[str, tuple[Callable[[Members], Members], str]] = {
    "no header": (drop("header.json"), "has no header.json: the evaluation did not finish"),
    "a sample is missing": (drop("samples/3_"), "holds 5 samples over all epochs, and its results say 6"),
    "no samples": (drop("samples/"), "has no samples; evaluate again without --no-log-samples"),
    "status": (header(status="cancelled"), "ended with status 'cancelled'; only `success` counts"),
    "error": (header(status="error", error={"message": "out of credit"}), r"status 'error' \(out of credit\)"),
    "marked invalid": (header(invalidated=True), "was marked invalid"),
    "another version": (header(version=1), "expected a log of version 2 with `eval` and `status`, got version 1"),
    "no results": (header(results=None), "does not say how many samples it has"),
    "an absolute name": (lambda content: {**content, "/etc/passwd": b"x"}, "which leads out of the archive"),
    "a name with ..": (lambda content: {**content, "samples/../../x": b"x"}, "which leads out of the archive"),
    "a drive": (lambda content: {**content, "C:\\x": b"x"}, "which leads out of the archive"),
    "no JSON": (lambda content: {**content, "header.json": b"{"}, "header.json: expected a JSON object, got broken"),
    "no object": (lambda content: {**content, "header.json": b"[]"}, "expected a JSON object, got list"),
}


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_archives_that_are_refused(written: Path, what: str) -> None:
    """Each with its file and its reason, and nothing is stored of either side."""
    change, says = BROKEN[what]
    path = log_of(written / "quantized", "pick")
    packed(path, change(members(path)))
    with pytest.raises(UnreadableError, match=says):
        read(path)
    with pytest.raises(QuantgateError, match=says):
        run(written)
    assert [path for path in (written / "results").rglob("*") if path.name in ("run.json", "verdict.json")] == []


def test_what_unpacks_to_too_much(tmp_path: Path) -> None:
    """A gigabyte of zeros in a megabyte is refused by what the directory says, before any of it is unpacked."""
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", "{}")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = (0xF000_0000).to_bytes(4, "little")
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableError, match="unpacks to 4,026,531,840 bytes"):
        read(path)


@pytest.mark.parametrize("keep", [0, 10, 5_000, 17_000])
def test_an_archive_that_is_cut_off(written: Path, keep: int) -> None:
    """As a copy that was interrupted, or a log that is still being written."""
    path = log_of(written / "quantized", "pick")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UnreadableError, match="is not a whole ZIP archive"):
        read(path)


def test_a_flipped_byte(written: Path) -> None:
    """In a member's frame: found by Zstandard or by the checksum."""
    path = log_of(written / "quantized", "pick")
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("samples/2_epoch_1.json")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(UnreadableError, match=r"samples/2_epoch_1.json: could not be unpacked"):
        read(path)


def test_samples_that_contradict_their_names(written: Path) -> None:
    """A sample under another's name, one in two forms, one twice in a `.json` log."""
    path = log_of(written / "base", "pick")
    edited(path, "samples/2_", lambda each: each.update(id=3))
    with pytest.raises(UnreadableError, match=r"holds sample 3 of epoch 1, and its name says '2' and 1"):
        read(path)
    content = members(log_of(written / "quantized", "pick"))
    packed(path, {**content, "samples/2_epoch_1/sample.json": content["samples/2_epoch_1.json"]})
    with pytest.raises(UnreadableError, match=r"is the same sample as samples/2_epoch_1.json"):
        read(path)
    (log,) = (written / "other_forms").glob("*.json")
    whole = json.loads(log.read_text())
    whole["samples"][1] = whole["samples"][0]
    log.write_text(json.dumps(whole))
    path.unlink()
    shutil.copy(log, written / "base")
    with pytest.raises(QuantgateError, match=r"samples\[1\]: item '1' of pick is at .*samples\[0\] already"):
        run(written)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_sample_that_was_tried_again(written: Path) -> None:
    """An archive to which a second attempt was appended: the last one counts, as for Inspect, and it is said."""
    path = log_of(written / "base", "pick")
    content = members(path)
    sample = json.loads(content["samples/6_epoch_1.json"])
    sample["scores"]["choice"]["value"] = "C"
    packed(path, content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("samples/6_epoch_1.json", json.dumps(sample))
    side = read(path)
    assert side.notes == ("pick: 1 sample is in the log twice; the last counts, as in Inspect",)
    assert [item.values["choice"] for item in listed(side.tasks["pick"])] == [1] * 6


def test_which_log_counts(written: Path) -> None:
    """The newest of a task, with a note; not one that failed; not of other settings; not of another model."""
    path = log_of(written / "base", "pick")
    newer = path.with_name("2027-01-01T00-00-00_pick_x.eval")
    shutil.copy(path, newer)
    with pytest.raises(UnreadableError, match="of the same moment"):
        read(written / "base")
    edited(newer, "header.json", lambda each: each["eval"].update(created="2027-01-01T00:00:00+00:00"))
    assert "pick: 2 logs, the newest is taken: 2027-01-01T00-00-00_pick_x.eval" in read(written / "base").notes
    edited(newer, "header.json", lambda each: each.update(status="error"))
    with pytest.raises(UnreadableError, match="ended with status 'error'"):
        read(written / "base")
    edited(newer, "header.json", lambda each: each["eval"].update(task_args={"a": 1}))
    with pytest.raises(UnreadableError, match="which differ in task arguments; keep one of them there"):
        read(written / "base")
    edited(newer, "header.json", lambda each: each["eval"].update(model="another"))
    with pytest.raises(UnreadableError, match="holds logs of 2 models: another, mockllm/model"):
        read(written / "base")


SCORES: dict[str, tuple[object, object]] = {
    "true": (True, 1.0),
    "a number as text": ("0.25", 0.25),
    "yes": ("Yes", 1.0),
    "unscored": (None, NoValue(reason="it was left unscored")),
    "NaN": (float("nan"), NoValue(reason="the score is nan")),
    "infinity as text": ("inf", NoValue(reason="the score is inf")),
    "beyond a float": (10**400, NoValue(reason="the score is inf")),
}


@pytest.mark.parametrize("what", sorted(SCORES))
def test_values_of_scores(written: Path, what: str) -> None:
    """As Inspect's `value_to_float`; what is no finite number is no value, never 0."""
    given, expected = SCORES[what]
    path = log_of(written / "base", "pick")
    edited(path, "samples/2_", lambda each: each["scores"]["choice"].update(value=given))
    assert listed(read(path).tasks["pick"])[1].values["choice"] == expected


def test_scores_that_are_no_numbers(written: Path) -> None:
    """A scorer that gives words is left out by name (Inspect would make 0 of them); one that is missing for a sample
    has no value there; a log without any score holds no task."""
    path = log_of(written / "base", "pick")
    edited(path, "samples/2_", lambda each: each["scores"].update(grade={"value": "excellent"}, more={"value": 3}))
    side = read(path)
    assert side.notes[0] == "pick: grade gives texts such as 'excellent', which are no numbers, and is left out"
    items = listed(side.tasks["pick"])
    assert (items[0].values["more"], items[1].values["more"]) == (NoValue(reason="the scorer gave no score"), 3)
    edited(path, "samples/", lambda each: each.update(scores=None))
    assert read(path).tasks == {}


def test_long_texts_stand_in_attachments(written: Path) -> None:
    """A reference is looked up; one to nothing is refused, so that two different texts are never equal references."""
    path = log_of(written / "base", "pick")
    edited(path, "samples/1_", lambda each: each.update(input="attachment://ab", attachments={"ab": "A long question"}))
    assert listed(read(path).tasks["pick"])[0].prompt.startswith("A long question")
    edited(path, "samples/1_", lambda each: each.update(attachments={}))
    with pytest.raises(UnreadableError, match="refers to 'attachment://ab', which is not among its attachments"):
        listed(read(path).tasks["pick"])


def test_a_slice_that_is_not_in_the_metadata(written: Path) -> None:
    """By name, with the fields that there are."""
    task = read(log_of(written / "base", "pick")).tasks["pick"]
    with pytest.raises(UnreadableError, match=r"expected 'language' in the sample's metadata .* it has topic, source"):
        listed(task, Selection(slice_by=("language",)))


def test_whatever_byte_is_damaged(tmp_path: Path) -> None:
    """300 seeded damages, most of them in the archive's directory: each is refused, or what is read is the same."""
    whole = log_of(WRITTEN / "base", "pick").read_bytes()
    path, directory = tmp_path / "x.eval", whole.index(b"PK\1\2")
    path.write_bytes(whole)
    expected = [(item.id, item.answer, item.values) for item in listed(read(path).tasks["pick"])]
    draws = random.Random(16)
    for _ in range(300):
        content = bytearray(whole)
        start = directory if draws.random() < 0.7 else 0
        content[draws.randrange(start, len(content))] = draws.randrange(256)
        path.write_bytes(content[: draws.randrange(len(content))] if draws.random() < 0.1 else content)
        try:
            found = [(item.id, item.answer, item.values) for item in listed(read(path).tasks["pick"])]
        except UnreadableError:
            continue
        assert found == expected


ODD: tuple[object, ...] = (None, -1, "x", [1], {"a": 1}, float("nan"))


@pytest.mark.parametrize("member", ["header.json", "samples/2_epoch_1.json"])
def test_whatever_value_is_odd(written: Path, member: str) -> None:
    """Every key of the header's and a sample's first two levels in six other types: refused by name or read, never a
    crash."""
    path = log_of(written / "base", "pick")
    content = members(path)
    fields = json.loads(content[member])
    for key in [*((name,) for name in fields), *((name, inner) for name in fields if isinstance(fields[name], dict)
                                                for inner in fields[name])]:  # fmt: skip
        for value in ODD:
            changed = json.loads(content[member])
            (changed if len(key) == 1 else changed[key[0]])[key[-1]] = value
            packed(path, {**content, member: json.dumps(changed).encode()}, zipfile.ZIP_STORED)
            with suppress(UnreadableError):
                for task in read(path).tasks.values():
                    listed(task)
