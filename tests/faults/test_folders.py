"""A results folder that several runs and suites share, one after the other and at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.records.store import Store
from tests.faults.conftest import Write
from tests.faults.drivers import Driver
from tests.faults.stored import GATES, SUITE, VARIANTS, Kept, everything, make, records, write_suite


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Path]:
    """A run and its folder of data; the tests add later runs."""
    folder = tmp_path_factory.mktemp("shared")
    return make(folder), folder


def answers_of(folder: Path) -> list[str]:
    return [json.loads(line)["a"] for line in (folder / "ask.jsonl").read_text().splitlines()]


@pytest.mark.fault("kind: history", "a later run with --fresh, with a part, or of another suite", "earlier runs stay")
@pytest.mark.parametrize(
    "how", [{"fresh": True}, {"limit": 20}, {"stop_early": True, "fresh": True}, {"suite": "other"}]
)
def test_a_later_run_changes_no_earlier_one(shared: tuple[Kept, Path], how: dict[str, object]) -> None:
    """Every record that the first run points at is there afterwards, byte for byte, and reads the same."""
    kept, folder = shared
    before = everything(kept.results, kept.run.run)
    bytes_before = {address: (kept.results / address).read_bytes() for address in records(kept.results)}
    name = str(how.get("suite", SUITE))
    suite = write_suite(folder, name=name, answers=answers_of(folder), noise_floor=False)
    options = {key: value for key, value in how.items() if key != "suite"}
    later = harness.run(suite, results=kept.results, **options)  # type: ignore[arg-type]
    assert later.manifest.run != kept.run.run
    after = {address: (kept.results / address).read_bytes() for address in bytes_before}
    moved = [address for address in before and after if after[address] != bytes_before[address]]
    assert [each for each in moved if not each.startswith("attempts/")] == []
    assert everything(kept.results, kept.run.run) == before


@pytest.mark.fault("C3", "two suites that share evaluations are run into one folder at once", "one runs, one is told")
def test_two_suites_at_once(tmp_path: Path) -> None:
    """The second ends with 3 and the name of the first; given again it takes the first one's evaluations."""
    script = {"delay": 0.1}
    variants = {name: {**each, "script": {**each["script"], **script}} for name, each in VARIANTS.items()}  # type: ignore[dict-item, index]
    one = write_suite(tmp_path, name="one", variants=variants)
    two = write_suite(tmp_path, name="two", variants=variants, gates=GATES[:1])
    with Driver(one, tmp_path) as first:
        first.speaks()
        with Driver(two, tmp_path) as second:
            assert second.wait() == 3
            assert f"in use by quantgate run, process {first.process.pid} on " in second.said
        assert first.wait() in (10, 11, 12), first.said
    with Driver(two, tmp_path) as again:
        assert again.wait() in (10, 11, 12), again.said
    assert again.said.count("already there") == 6
    store = Store(tmp_path / "results")
    runs = [store.find_run(name) for name in ("one", "two")]
    assert runs[0].variants["bad"].evaluations == runs[1].variants["bad"].evaluations


@pytest.mark.slow
@pytest.mark.fault("C5", "every chunk takes longer than --stuck-after", "exit code 3 after three tries, option named")
def test_a_chunk_longer_than_the_limit(scripted: Write, tmp_path: Path) -> None:
    """It is no endless loop of starting again."""
    suite = scripted()
    spec = json.loads(suite.read_text())
    spec["variants"]["full"]["script"] = {"delay": 9.0}
    suite.write_text(json.dumps(spec))
    with Driver(suite, tmp_path, ["--stuck-after", "6"]) as driver:
        assert driver.wait() == 3, driver.said
    assert driver.said.count("took over 6 s and was stopped (--stuck-after allows more)") >= 3
