"""The worker process from outside: answers, death, silence, chatter."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from harness.engines.protocol import GenerateRequest, LoadSpec, ScoreRequest, Window, Workload
from harness.errors import EngineError, WorkerError
from harness.worker.client import Worker
from harness.worker.versions import device_type, library_versions

REQUEST = ScoreRequest(context=(1, 70), continuations=((80,), (81, 82)))


def spec(**script: str | float | bool) -> LoadSpec:
    return LoadSpec(variant="v", engine="scripted", path="none", script=script)


def test_every_operation_crosses_the_pipe(tmp_path: Path) -> None:
    """Requests and answers keep their types and order."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        facts = worker.load(spec(quantized_modules=3))
        assert (facts.quantized_modules, set(facts.versions)) == (3, {"numpy"})
        answer = worker.score([REQUEST, REQUEST])
        assert [len(each.log_probs) for each in answer[0]] == [1, 2]
        assert answer[0] == answer[1]
        assert worker.generate([GenerateRequest(prompt=(5,), max_new_tokens=3)])[0].finish == "stop"
        assert len(worker.score_windows([Window(tokens=(1, 2, 3), scored_from=1)])[0].log_probs) == 2
        assert len(worker.time(Workload(batch=1, prompt_tokens=4, new_tokens=5)).inter_token_s) == 4
        assert worker.encode(["ab"], add_special_tokens=False) == [(100, 101)]
        worker.reset_peak()
        peak = worker.memory().process_peak_inference_bytes
        assert peak is not None
        assert peak > 10_000_000


def test_an_engines_refusal_keeps_the_worker(tmp_path: Path) -> None:
    """An `EngineError` in the worker is one here; the process lives on."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        with pytest.raises(EngineError, match="no model is loaded"):
            worker.score([REQUEST])
        assert worker.load(spec()).engine == "scripted"


def test_a_killed_worker_is_named(tmp_path: Path) -> None:
    """The error says which variant, which signal and during what."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        worker.load(spec())
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"v: the worker was killed by signal 9 \(SIGKILL\).*during score"):
            worker.score([REQUEST])


def test_temporary_files_go_with_the_worker(tmp_path: Path) -> None:
    """What an engine has put into the folder of its process is removed when that ends, also when it is killed."""
    for kill in (False, True):
        with Worker("v", log=tmp_path / "v.log") as worker:
            worker.load(spec())
            folder = worker.scratch
            told = Path(f"/proc/{worker.pid}/environ")
            if told.exists():
                assert f"QUANTGATE_SCRATCH={folder}".encode() in told.read_bytes().split(b"\0")
            (folder / "weights.dat").write_bytes(b"w")
            if kill:
                os.kill(worker.pid, signal.SIGKILL)
        assert not folder.exists()


def test_a_stopped_worker_is_noticed(tmp_path: Path) -> None:
    """A process that gives no sign of life is killed and named, not waited for."""
    with Worker("v", log=tmp_path / "v.log", hang_s=3.0) as worker:
        worker.load(spec())
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(WorkerError, match="no sign of life for 3 s during score"):
            worker.score([REQUEST])


def test_an_operation_that_never_ends_is_stopped(tmp_path: Path) -> None:
    """A live process that hangs in one operation runs into the operation's limit."""
    with Worker("v", log=tmp_path / "v.log", limit_s=3.0) as worker:
        worker.load(spec(hang_after=0))
        with pytest.raises(WorkerError, match="score took over 3 s"):
            worker.score([REQUEST])


def test_even_a_single_request_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Halving ends at one."""
    with Worker("v", log=tmp_path / "v.log") as worker:
        worker.load(spec(oom_above=0))
        with pytest.raises(EngineError, match="out of memory even with a single request"):
            worker.score([REQUEST])


def test_versions_and_devices_without_importing() -> None:
    """What is installed is read from metadata; a CPU build of torch means cpu."""
    assert set(library_versions(("numpy", "no-such-package"))) == {"python", "numpy"}
    assert device_type("auto", "2.13.0+cpu") == "cpu"
    assert device_type("cuda:1", None) == "cuda:1"
