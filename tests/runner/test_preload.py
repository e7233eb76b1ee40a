"""Loading the next variant while this one works: it begins early, its faults come out when asked, it is bounded."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.engines.protocol import LoadSpec
from harness.errors import EngineError
from harness.runner.interpreters import Runtime
from harness.runner.preload import SPARE_BYTES, Preload, fits_beside
from harness.runner.session import Session
from harness.runner.variants import RunVariant
from harness.suite.variant_model import Variant
from harness.worker.client import Worker

PLENTY = 2**40
"""Bytes."""


def variant(name: str, place: Path, **changes: Any) -> RunVariant:
    load = LoadSpec(variant=name, engine="transformers", path=str(place), device="cpu")
    return RunVariant(
        name=name, spec=Variant(), load=replace(load, **changes), versions={}, runtime=Runtime()
    )  # fmt: skip


def session(tmp_path: Path, said: list[str], started: list[Worker] | None = None) -> Session:
    def start() -> Worker:
        worker = Worker("v", log=tmp_path / "v.log")
        if started is not None:
            started.append(worker)
        return worker

    return Session(variant("v", tmp_path, engine="scripted", script={}), start, said.append)


def test_a_load_that_was_begun_is_the_one_that_is_used(tmp_path: Path) -> None:
    """One worker is started, not two, and its facts are there once asked for."""
    started: list[Worker] = []
    own = session(tmp_path, [], started)
    own.begin()
    own.begin()
    assert not own.started
    assert own.facts().linear_modules == own.facts().linear_modules > 0
    own.close()
    assert len(started) == 1


def test_a_worker_killed_while_it_loads_is_started_again(tmp_path: Path) -> None:
    """What happened ahead of time is no reason to give the variant up."""
    said: list[str] = []
    started: list[Worker] = []
    own = session(tmp_path, said, started)
    own.begin()
    os.kill(started[0].pid, signal.SIGKILL)
    assert own.facts().linear_modules > 0
    own.close()
    assert len(started) == 2
    assert "starting the worker again" in said[0]


def test_what_loads_beside_another_is_told_so_and_only_then(tmp_path: Path) -> None:
    """A worker that is started again loads by itself."""
    told: list[bool] = []

    class Noting(Worker):
        def begin_load(self, spec: LoadSpec) -> None:
            told.append(spec.beside)
            if spec.beside:
                os.kill(self.pid, signal.SIGKILL)
            super().begin_load(spec)

    variant_here = variant("v", tmp_path, engine="scripted", script={})
    own = Session(variant_here, lambda: Noting("v", log=tmp_path / "v.log"), print)
    own.begin(beside=True)
    assert own.facts().linear_modules > 0
    own.close()
    assert told == [True, False]


def test_settling_waits_and_keeps_the_fault_for_whoever_asks(tmp_path: Path) -> None:
    """A model that cannot be loaded fails its own evaluation, not the timing that waited for the load."""
    own = session(tmp_path, [])
    own.begin()
    own.settle()
    assert own.started
    own.close()
    wrong = Session(variant("v", tmp_path, engine="unheard of"), lambda: Worker("v", log=tmp_path / "v.log"), print)
    wrong.begin()
    wrong.settle()
    assert not wrong.started
    with pytest.raises(EngineError, match="unheard of"):
        wrong.facts()
    wrong.close()


def test_the_next_in_order_is_begun_once_and_handed_over(tmp_path: Path) -> None:
    """Only what has something to do and room; the same session is the one that later works; the rest is closed."""
    begun: list[str] = []

    class Noted(Session):
        def begin(self, *, beside: bool = False) -> None:
            begun.append(self.variant.name)

    def start(each: RunVariant) -> Session:
        return Noted(each, lambda: Worker("v", log=tmp_path / "v.log"), print)

    order = [variant(name, tmp_path) for name in ("a", "b", "c", "d")]
    own = Preload(order, start, lambda each: each.name != "c", free=lambda: PLENTY)
    for each in (order[0], order[0], order[1], order[3]):
        own.begin(after=each)
    assert begun == ["b"]
    taken = own.session(order[1])
    assert taken.variant is order[1]
    assert own.session(order[1]) is not taken
    own.begin(after=order[2])
    assert begun == ["b", "d"]
    own.close()


@pytest.mark.parametrize(
    ("spins", "begun", "names", "expected"),
    [
        (True, False, "ab", ["begin b beside", "begin a beside", "settle b", "facts a"]),
        (True, False, "a", ["begin a", "facts a"]),
        (True, True, "ab", ["facts a"]),
        (False, False, "ab", ["facts a"]),
    ],
)
def test_where_threads_spin_two_load_side_by_side_and_nothing_scores_meanwhile(
    tmp_path: Path, spins: bool, begun: bool, names: str, expected: list[str]
) -> None:
    """Unless the variant was loaded beside the one before it. One that loads alone has every core."""
    done: list[str] = []

    class Noted(Session):
        def begin(self, *, beside: bool = False) -> None:
            done.append(f"begin {self.variant.name}" + " beside" * beside)

        def settle(self) -> None:
            done.append(f"settle {self.variant.name}")

        def facts(self) -> Any:
            done.append(f"facts {self.variant.name}")

        @property
        def started(self) -> bool:
            return begun

    def start(each: RunVariant) -> Session:
        return Noted(each, lambda: Worker("v", log=tmp_path / "v.log"), print)

    order = [variant(name, tmp_path) for name in names]
    own = Preload(order, start, lambda _: True, free=lambda: PLENTY)
    own.facts(start(order[0]), spins=spins)
    assert done == expected


def test_room_is_for_local_models_that_fit_twice_beside_what_is_needed(tmp_path: Path) -> None:
    """An accelerator's memory, a hub id and an endpoint are never loaded ahead, nor files larger than what is free."""
    assert fits_beside(variant("v", tmp_path), PLENTY)
    assert not fits_beside(variant("v", tmp_path), SPARE_BYTES - 1)
    assert not fits_beside(variant("v", tmp_path, device="cuda:0"), PLENTY)
    assert not fits_beside(variant("v", tmp_path, is_hub=True), PLENTY)
    assert not fits_beside(variant("v", tmp_path, engine="served"), PLENTY)
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(2**40)
    assert not fits_beside(variant("v", tmp_path), PLENTY)
    assert not fits_beside(variant("v", tmp_path / "model.safetensors", engine="llama.cpp"), PLENTY)
    assert fits_beside(variant("v", tmp_path), 2 * PLENTY + SPARE_BYTES)


@pytest.mark.slow
def test_a_model_that_was_there_before_a_timing_is_looked_at_all_the_same(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    """A timing waits for what loads ahead; what it loaded has its tokens compared as every other. In a copy of the
    package whose scripted engine may be loaded ahead."""
    tree = tmp_path / "tree"
    shutil.copytree(Path(harness.__file__).parent, tree / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    with (tree / "harness" / "engines" / "registry.py").open("a") as file:
        file.write("\nfrom dataclasses import replace\n")
        file.write('ENGINES = {**ENGINES, "scripted": replace(ENGINES["scripted"], preload=True)}\n')
    small, late = ({"quantized_modules": 12}, {"quantized_modules": 12, "digest": "late", "tokens": "shift"})
    variants = {
        "full": {"engine": "scripted", "baseline": True, "script": {}},
        "small": {"engine": "scripted", "quantized": True, "script": small},
        "late": {"engine": "scripted", "quantized": True, "script": late},
    }
    speed = {"workloads": [{"batch": 1, "prompt_tokens": 8, "new_tokens": 4}], "pairs": 2}
    path = write_suite(variants=variants, speed=speed)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", path, "--results", tmp_path / "r", "--reports", tmp_path / "reports"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
    )
    assert done.returncode == 12, done.stdout + done.stderr
    verdict = json.loads(next((tmp_path / "r").rglob("verdict.json")).read_text())
    disagree = {each["variant"]: "its tokenizer disagrees" in each["sentence"] for each in verdict["candidates"]}
    assert disagree == {"small": False, "late": True}
