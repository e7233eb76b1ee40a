"""Runs that are stopped on purpose, and runs that meet in one folder."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults.drivers import Calm, Driver, assert_equal, survive


class Stopped:
    """A signal to the driver's process group, as a terminal or a CI system sends it."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def strike(self, driver: Driver) -> bool:
        os.killpg(driver.process.pid, self._number)
        at = time.monotonic()
        driver.process.wait()
        assert time.monotonic() - at < 10
        return True

    def judge(self, driver: Driver, code: int, calm: Calm) -> bool:
        if code == calm.code:
            return False
        assert code == 128 + self._number, driver.said
        assert driver.said.splitlines()[-1] == (
            "stopped; what was measured is stored, the same command goes on from there"
        )
        return True

    def mend(self) -> None:
        pass


@pytest.mark.parametrize("moments", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped(calm: Calm, tmp_path: Path, number: signal.Signals, moments: int) -> None:
    """SIGTERM and Ctrl-C: no traceback, no worker left, 143 or 130, and the same command goes on."""
    survive(calm, tmp_path, Stopped(number), moments=moments, seed=7)


def test_a_second_run_is_refused_and_harms_nothing(calm: Calm, tmp_path: Path) -> None:
    """While one run works, another into its folder ends with 3 and names it; the first comes to equal records."""
    with Driver(calm.suite, tmp_path) as first:
        first.speaks()
        with Driver(calm.suite, tmp_path, ["--fresh"]) as second:
            assert second.wait() == 3
            assert f"in use by quantgate run, process {first.process.pid} on " in second.said
            assert "Wait for it, or choose another folder with --results" in second.said
        assert first.wait() == calm.code
    assert_equal(tmp_path, calm)


def test_many_at_once(calm: Calm, tmp_path: Path) -> None:
    """Of four that start together one runs; the others are refused, and its records are whole."""
    drivers = [Driver(calm.suite, tmp_path) for _ in range(4)]
    try:
        codes = sorted(driver.wait() for driver in drivers)
        refused = [driver.said for driver in drivers if driver.process.returncode == 3]
    finally:
        for driver in drivers:
            driver.__exit__()
    assert codes == sorted([calm.code, 3, 3, 3])
    assert all(": in use by " in said for said in refused)
    assert_equal(tmp_path, calm)
