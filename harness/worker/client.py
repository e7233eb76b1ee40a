"""The driver's side of a worker: starts the process, talks to it, notices when it dies or hangs, cleans up."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.checkpoints.contents import Stamp
from harness.engines.decoding import sent
from harness.engines.protocol import (
    DIVERGENCES,
    SCRATCH,
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    Memory,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.errors import EngineError, RunError, WorkerError, WorkerMemoryError, unwritable
from harness.notation import duration
from harness.start import command
from harness.worker.meters import VMSTAT, memory_kills

HANG_S = 120.0
"""A worker that gives no sign of life for so long counts as hung."""
LIMIT_S = 3600.0
"""A single operation (a load, one batch) that takes longer counts as stuck, even while the process lives."""
POLL_S = 1.0
LOG_LINES = 12
"""Lines of the log that go into an error."""
DEFAULTS = {"PYTHONUNBUFFERED": "1"}
"""A worker's default environment variables, which the user's own override."""
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""The same for threads that sleep while they wait: ones that spin take the processors from others, and from each other
where several workers compute."""


class Worker:
    """A live worker process. Every call raises `WorkerError` when it dies or hangs, `EngineError` when it refuses."""

    def __init__(
        self,
        variant: str,
        *,
        log: Path,
        interpreter: Path | None = None,
        environment: Mapping[str, str] | None = None,
        hang_s: float = HANG_S,
        limit_s: float = LIMIT_S,
        vmstat: Path = VMSTAT,
        spins: bool = False,
    ) -> None:
        """`spins`: its threads wait as OpenMP's do by default: faster where nobody else needs the processors."""
        self.variant, self.log, self._hang_s = variant, log, hang_s
        self._vmstat, self._kills = vmstat, memory_kills(vmstat)
        self.limit_s = limit_s
        """Time limit of the next operation."""
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            opened = log.open("ab")
        except OSError as error:
            raise RunError(unwritable(log, error)) from error
        self.scratch = Path(tempfile.mkdtemp(prefix="quantgate-worker-"))
        """Where its engine puts temporary files; removed with the worker."""
        self._removal = weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        with opened as stream:
            self._process = subprocess.Popen(
                [
                    *command(interpreter, "harness.worker.main"),
                    "--requests", str(theirs_in), "--replies", str(theirs_out),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=(theirs_in, theirs_out),
                start_new_session=True,
                env={
                    **DEFAULTS, **({} if spins else SLEEPING), **os.environ, **(environment or {}),
                    SCRATCH: str(self.scratch),
                },
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        os.set_blocking(ours_out, False)  # a stopped worker reads nothing, and a long request fills the pipe
        self._out, self._in = ours_out, ours_in
        self._buffer = b""
        self._number = 0
        self._busy = False
        self._asked = 0.0

    # -- operations

    def begin_load(self, spec: LoadSpec) -> None:
        """Start loading the model in the background; `load` then waits for it."""
        self._begin("load", {"spec": asdict(spec)})

    def load(self, spec: LoadSpec) -> Facts:
        """Load the model, or wait for the load that was begun; returns what was really loaded."""
        if not self._busy:
            self.begin_load(spec)
        facts = self._finish("load")
        for name in ("device_names", "kernels", "non_finite", "notes"):
            facts[name] = tuple(facts[name])
        return Facts(**facts)

    def opened(self) -> tuple[Stamp, ...]:
        """The files of the model, as they were when it had been loaded."""
        return tuple(Stamp(**each) for each in self._call("opened", {}))

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        found = self._call("encode", {"texts": list(texts), "add_special_tokens": add_special_tokens})
        return [tuple(ids) for ids in found]

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        found = self._call("score", {"requests": [vars(each) for each in requests]})
        return [
            tuple(ContinuationScore(log_probs=tuple(each["log_probs"]), greedy=each["greedy"]) for each in answer)
            for answer in found
        ]

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        args = {
            "windows": [vars(each) for each in windows],
            "states_out": states_out,
            "states_in": states_in,
        }
        return [
            WindowScore(
                log_probs=tuple(each["log_probs"]),
                **{name: _tuple(each[name]) for name in DIVERGENCES},
            )
            for each in self._call("roll", args)
        ]

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        sending = [{**vars(each), "decoding": sent(each.decoding)} for each in requests]
        found = self._call("generate", {"requests": sending})
        return [Generation(**{**each, "tokens": tuple(each["tokens"])}) for each in found]

    def time(self, workload: Workload) -> Timing:
        found = self._call("time", {"workload": asdict(workload)})
        return Timing(**{**found, "inter_token_s": tuple(found["inter_token_s"])})

    def memory(self) -> Memory:
        return Memory(**self._call("memory", {}))

    def reset_peak(self) -> None:
        """Reset the peak counters, so that the inference figure leaves loading out."""
        self._call("reset_peak", {})

    def batch_tokens(self) -> int | None:
        """Padded tokens of its largest batch, when a larger one did not fit."""
        found: int | None = self._call("batch_tokens", {})
        return found

    def limit_batches(self, tokens: int) -> None:
        """Limit its batches to so many padded tokens, or one request."""
        self._call("limit_batches", {"tokens": tokens})

    # -- the pipe

    def _call(self, op: str, args: dict[str, Any]) -> Any:
        self._begin(op, args)
        return self._finish(op)

    def _begin(self, op: str, args: dict[str, Any]) -> None:
        self._number += 1
        self._asked = time.monotonic()
        self._kills = memory_kills(self._vmstat)
        self._busy = True
        self._send(op, args)

    def _finish(self, op: str) -> Any:
        while True:
            reply = self._reply(op)
            if "beat" in reply:
                # By the worker's clock, which is the machine's: a beat may have waited while the driver was stopped.
                if reply["beat"] - self._asked > self.limit_s:
                    self.kill()
                    raise self._stopped(
                        f"{op} took over {duration(self.limit_s)} and was stopped "
                        f"(--stuck-after allows more){self._tail()}"
                    )
                continue
            self._busy = False
            if reply.get("id") != self._number:
                self.kill()
                raise self._stopped(f"the worker answered out of turn during {op}; see {self.log}")
            if "error" in reply:
                raise self._error(op, reply["error"])
            return reply["result"]

    def _send(self, op: str, args: dict[str, Any]) -> None:
        line = memoryview((json.dumps({"id": self._number, "op": op, "args": args}) + "\n").encode())
        while line:
            self._wait(op, (), (self._out,))
            try:
                line = line[os.write(self._out, line) :]
            except OSError:
                raise self._death(op) from None

    def _wait(self, op: str, reading: Sequence[int], writing: Sequence[int]) -> None:
        """Until the pipe is ready. Silence is counted in waits, so that time in which the driver itself was stopped
        does not count against the worker."""
        waits = 0
        while not any(select.select(reading, writing, (), POLL_S)):
            waits += 1
            if waits * POLL_S > self._hang_s:
                self.kill()
                silent = f"gave no sign of life for {duration(self._hang_s)} during {op}"
                raise self._stopped(f"the worker {silent} and was stopped{self._tail()}")

    def _reply(self, op: str) -> dict[str, Any]:
        """The next line of the reply pipe."""
        while b"\n" not in self._buffer:
            self._wait(op, (self._in,), ())
            block = os.read(self._in, 1 << 20)
            if not block:
                raise self._death(op)
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError as error:
            self.kill()
            raise self._stopped(f"the worker broke the protocol during {op}: {error}") from error
        return dict(found)

    def _error(self, op: str, error: Mapping[str, Any]) -> EngineError | WorkerError:
        if error["kind"] == "engine":
            return EngineError(error["message"], about=error["about"])
        return EngineError(f"{op} failed in the worker: {error['message']}; the traceback is in {self.log}")

    def _death(self, op: str) -> WorkerError:
        code = self._process.wait()
        self.close()
        if code >= 0:
            return self._stopped(f"the worker ended with status {code} during {op}{self._tail()}")
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})"
        kills = memory_kills(self._vmstat)
        if code == -signal.SIGKILL and kills != self._kills:
            says = f"the worker {how} by the system, whose memory ran out, during {op}{self._tail()}"
            return WorkerMemoryError(says, about=self.variant)
        if code == -signal.SIGKILL and kills is None:
            how += ", often a sign that memory ran out"
        return self._stopped(f"the worker {how} during {op}{self._tail()}")

    def _stopped(self, says: str) -> WorkerError:
        return WorkerError(says, about=self.variant)

    def _tail(self) -> str:
        """The end of the log, for an error."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return ""
        quoted = "".join(f"\n  | {line[:300]}" for line in lines)
        return f"; the end of {self.log}:{quoted}" if quoted else f"; its log {self.log} is empty"

    # -- the end

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the worker: politely while it waits for work, else at once with its whole process group."""
        if self._process.poll() is None and self._busy:
            self.kill()
        elif self._process.poll() is None:
            try:
                self._send("close", {})
                self._process.wait(timeout=5)
            except (WorkerError, subprocess.TimeoutExpired):
                self.kill()
        descriptors, self._out, self._in = (self._out, self._in), -1, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)
        self._removal()

    def kill(self) -> None:
        """End the worker and everything it started, now."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._removal()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _tuple(values: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
