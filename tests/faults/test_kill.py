"""kill -9 of a worker and of the driver at random moments: the same command again comes to equal records."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.faults.drivers import Calm, Driver, survive


class KilledDriver:
    """kill -9 of the driver."""

    def strike(self, driver: Driver) -> bool:
        driver.process.kill()
        return True

    def judge(self, driver: Driver, code: int, calm: Calm) -> bool:
        return code == -9

    def mend(self) -> None:
        pass


class KilledWorker:
    """kill -9 of whichever worker was started last. The driver goes on, or gives up after three in a row."""

    def strike(self, driver: Driver) -> bool:
        worker = driver.worker()
        if worker is None:
            return False
        try:
            worker.kill()
        except psutil.NoSuchProcess:
            return False
        return True

    def judge(self, driver: Driver, code: int, calm: Calm) -> bool:
        assert code in (calm.code, 3, 12), driver.said
        return True

    def mend(self) -> None:
        pass


MOMENTS = [4, pytest.param(20, marks=pytest.mark.slow)]
REAL = [1, pytest.param(4, marks=pytest.mark.slow)]


@pytest.mark.parametrize("moments", MOMENTS)
def test_a_killed_driver(calm: Calm, tmp_path: Path, moments: int) -> None:
    """Its workers end with it, and what it had stored is not asked again."""
    survive(calm, tmp_path, KilledDriver(), moments=moments, seed=1)


@pytest.mark.parametrize("moments", MOMENTS)
def test_a_killed_worker(calm: Calm, tmp_path: Path, moments: int) -> None:
    """While it loads, encodes, answers or is timed: another one takes its place."""
    survive(calm, tmp_path, KilledWorker(), moments=moments, seed=2)


@pytest.mark.parametrize("moments", REAL)
def test_a_killed_driver_of_a_real_model(calm_real: Calm, tmp_path: Path, moments: int) -> None:
    """The same with transformers, whose answers come in floating point."""
    survive(calm_real, tmp_path, KilledDriver(), moments=moments, seed=3)


@pytest.mark.parametrize("moments", REAL)
def test_a_killed_worker_of_a_real_model(calm_real: Calm, tmp_path: Path, moments: int) -> None:
    survive(calm_real, tmp_path, KilledWorker(), moments=moments, seed=4)
