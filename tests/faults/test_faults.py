"""Runs under faults at random moments: the same command again comes to equal records and an equal verdict.

The short form always runs, and so does that on a tiny real model. The long form, each fault several times and all of
them on a machine that others load, is `thorough`. `make faults` runs both and repeats them more often.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.conftest import Write
from tests.faults.drivers import Calm, Driver, Fault, assert_equal, outcome, survive
from tests.faults.faults import STUCK_S, Disk, Load, interrupt, kill_driver, kill_worker, stop_worker, terminate

WITHIN_S = 1.2
"""Seconds from one fault to the next: some chunks of a scripted run."""
WITHIN_LOADED_S = 4.0
WITHIN_REAL_S = 8.0
OPTIONS = ["--stuck-after", str(STUCK_S)]
REPEATS = int(os.environ.get("FAULT_REPEATS", "1"))
EQUAL = "given again, records and verdict are equal"


@pytest.mark.fault("C1", "kill -9 of the driver again and again, of workers, a full disk, signals", "equal records")
def test_one_fault_after_the_other(calm: Calm, disk: Disk) -> None:
    """Four kills of the driver, four of a worker, a full disk twice, SIGTERM, Ctrl-C, and a worker that is stopped."""
    faults: list[Fault] = [
        kill_driver, kill_worker, disk.fill_up, kill_worker, terminate, kill_driver, stop_worker,
        kill_worker, kill_driver, disk.fill_up, kill_worker, interrupt, kill_driver,
    ]  # fmt: skip
    survive(calm, disk.folder, faults, seed=1, within=WITHIN_S, options=OPTIONS)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("fault", "times"), [(kill_driver, 5), (kill_worker, 5), (terminate, 2), (interrupt, 2), (stop_worker, 2)]
)
@pytest.mark.fault("kind: kills", "the run or a worker is killed, stopped or interrupted at random moments", EQUAL)
def test_one_fault_again_and_again(calm: Calm, tmp_path: Path, fault: Fault, times: int) -> None:
    """What was stored is not asked again, and a dead worker's place is taken, whatever it was doing."""
    survive(calm, tmp_path, [fault] * times * REPEATS, seed=3, within=WITHIN_S, options=OPTIONS)


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.fault("kind: kills", "the same on a machine whose cores and disk others want too", EQUAL)
def test_faults_under_load(calm: Calm, disk: Disk) -> None:
    """On a machine whose cores and disk others want too, everything takes longer and happens in other orders: a kill
    meets a worker that starts, a full disk a write that waits. No fault here goes by the clock."""
    faults: list[Fault] = [
        kill_driver, kill_worker, disk.fill_up, kill_worker, kill_driver, terminate, kill_worker, kill_driver,
        interrupt, kill_worker, disk.fill_up,
    ]  # fmt: skip
    with Load():
        survive(calm, disk.folder, faults * REPEATS, seed=6, within=WITHIN_LOADED_S)


@pytest.mark.slow
@pytest.mark.fault("kind: full disks", "the disk fills up at random moments", "exit code 3 with the place")
def test_a_disk_full_again_and_again(calm: Calm, disk: Disk) -> None:
    """Whatever is written just then: exit code 3 with the place, nothing half-written, and it goes on with room."""
    survive(calm, disk.folder, [disk.fill_up] * 3 * REPEATS, seed=4, within=WITHIN_S)


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "times"), [(kill_driver, 2), (kill_worker, 2), (None, 1)])
@pytest.mark.fault("kind: kills", "the same with a real model, whose answers come in floating point", EQUAL)
def test_a_real_model_again_and_again(calm_real: Calm, disk: Disk, fault: Fault | None, times: int) -> None:
    """With transformers, whose answers come in floating point. None is the full disk, which the worker meets too
    when it stores the baseline's states."""
    survive(calm_real, disk.folder, [fault or disk.fill_up] * times * REPEATS, seed=5, within=WITHIN_REAL_S)


@pytest.mark.fault("kind: hangs", "an engine whose process lives and never answers", "ended, the option named")
def test_an_engine_that_hangs(calm: Calm, scripted: Write, tmp_path: Path) -> None:
    """Its process lives and beats, one chunk never ends: ended, started again, and the option is named."""
    suite = scripted(hang_after=100, hang_once=str(tmp_path / "hung"))
    with Driver(suite, tmp_path, OPTIONS) as driver:
        assert driver.wait() == calm.code, driver.said
    assert f"small: score took over {STUCK_S} s and was stopped (--stuck-after allows more)" in driver.said
    assert "starting the worker again" in driver.said
    expected, got = ({name: value for name, value in outcome(place).items() if name.startswith("small")} for place in
                     (calm.place, tmp_path))  # fmt: skip
    assert got == expected


@pytest.mark.fault("C3", "a second run into a held folder", "exit code 3, process named")
def test_a_second_run_is_refused_and_harms_nothing(calm: Calm, tmp_path: Path) -> None:
    """While one run works, others into its folder end with 3 and name it; it comes to equal records."""
    with Driver(calm.suite, tmp_path) as first:
        first.speaks()
        with Driver(calm.suite, tmp_path, ["--fresh"]) as second, Driver(calm.suite, tmp_path) as third:
            for refused in (second, third):
                assert refused.wait() == 3
                assert f"in use by quantgate run, process {first.process.pid} on " in refused.said
                assert "Wait for it, or choose another folder with --results" in refused.said
        assert first.wait() == calm.code
    assert_equal(tmp_path, calm)


@pytest.mark.slow
@pytest.mark.fault("C3", "four runs into one folder start at once", "one runs, three are refused")
def test_many_at_once(calm: Calm, tmp_path: Path) -> None:
    """Of four that start together one runs; the others are refused, and its records are whole."""
    drivers = [Driver(calm.suite, tmp_path) for _ in range(4)]
    try:
        codes = sorted(driver.wait() for driver in drivers)
    finally:
        for driver in drivers:
            driver.__exit__()
    assert codes == sorted([calm.code, 3, 3, 3])
    assert all(": in use by " in driver.said for driver in drivers if driver.process.returncode == 3)
    assert_equal(tmp_path, calm)
