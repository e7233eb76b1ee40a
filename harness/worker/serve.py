"""The operations that a worker implements. Converts JSON to the protocol's types and back, and halves a batch that does
not fit."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any, TypeVar

from harness.checkpoints.contents import Stamp, opened_files
from harness.checkpoints.resolve import resolve
from harness.engines.decoding import received
from harness.engines.load_reference import reference_of
from harness.engines.protocol import (
    Engine,
    GenerateRequest,
    LoadSpec,
    Memory,
    OutOfMemoryError,
    ScoreRequest,
    Window,
    Workload,
)
from harness.engines.registry import ENGINES
from harness.errors import EngineError, named
from harness.masking import masked
from harness.worker.batch_splitting import Sized, leading, padded_tokens
from harness.worker.meters import device_process_bytes, process_peak_bytes, reset_process_peak

Q = TypeVar("Q", bound=Sized)
A = TypeVar("A")


class Server:
    """One engine and the largest batch that is known to fit, in padded tokens."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._fits: int | None = None
        self._load_peak: int | None = None
        self._opened: Mapping[str, Stamp] = {}

    def handle(self, op: str, args: dict[str, Any]) -> object:
        """The result of one operation, ready for JSON."""
        operations: dict[str, Callable[[dict[str, Any]], object]] = {
            "load": self._load,
            "opened": lambda a: [asdict(each) for each in self._opened.values()],
            "encode": lambda a: self._loaded().encode(a["texts"], add_special_tokens=a["add_special_tokens"]),
            "score": self._score,
            "roll": self._roll,
            "generate": self._generate,
            "time": lambda a: asdict(self._loaded().time(Workload(**a["workload"]))),
            "memory": lambda a: asdict(self._memory()),
            "reset_peak": lambda a: self._reset_peak(),
            "batch_tokens": lambda a: self._fits,
            "limit_batches": self._limit_batches,
            "close": lambda a: self._close(),
        }
        return operations[op](args)

    def describe(self, error: Exception) -> dict[str, str | None]:
        """An error as data; known ones keep their type and owner."""
        if isinstance(error, OutOfMemoryError):
            error = EngineError(f"out of memory: {error}")
        kind, message, about = "exception", named(error), None
        if isinstance(error, EngineError):
            kind, message, about = "engine", error.says, error.about and masked(error.about)
        return {"kind": kind, "message": masked(message), "about": about, "traceback": masked(traceback.format_exc())}

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise EngineError("no model is loaded in this worker")
        return self._engine

    def _load(self, args: dict[str, Any]) -> object:
        spec = LoadSpec(**args["spec"])
        if spec.engine not in ENGINES:
            raise EngineError(f"unknown engine {spec.engine!r}")
        before = _stamps(spec)
        self._engine = import_module(ENGINES[spec.engine].module).load(spec)
        self._load_peak = process_peak_bytes()
        self._opened = _stamps(spec)
        for path, stamp in before.items():
            if self._opened.get(path) != stamp:
                raise EngineError(f"{path}: changed while it was being loaded; run again when nothing writes there")
        return asdict(self._engine.facts())

    def _score(self, args: dict[str, Any]) -> object:
        requests = [
            ScoreRequest(
                context=tuple(each["context"]),
                continuations=tuple(map(tuple, each["continuations"])),
                shared=each["shared"],
                root_prefix=each["root_prefix"],
            )
            for each in args["requests"]
        ]
        answers = self._halving(requests, self._loaded().score)
        return [[vars(each) for each in answer] for answer in answers]

    def _generate(self, args: dict[str, Any]) -> object:
        requests = [
            GenerateRequest(
                **{
                    **each,
                    "prompt": tuple(each["prompt"]),
                    "until": tuple(each["until"]),
                    "decoding": received(each["decoding"]),
                }
            )
            for each in args["requests"]
        ]
        return [vars(answer) for answer in self._halving(requests, self._loaded().generate)]

    def _roll(self, args: dict[str, Any]) -> object:
        from harness.engines.hidden_states import Chunk  # numpy, which not every engine brings

        windows = [Window(tokens=tuple(each["tokens"]), scored_from=each["scored_from"]) for each in args["windows"]]
        engine = self._loaded()
        with Chunk(windows, args["states_out"], args["states_in"]) as chunk:
            scores = self._halving(windows, lambda part: chunk.ask(part, engine.score_windows))
        return [vars(score) for score in scores]

    def _limit_batches(self, args: dict[str, Any]) -> None:
        """Use a limit that another worker found."""
        self._fits = min(args["tokens"], self._fits or args["tokens"])

    def _halving(self, requests: Sequence[Q], ask: Callable[[Sequence[Q]], list[A]]) -> list[A]:
        """Process in the largest batches that fit; a batch that does not fit is halved, which is remembered."""
        answers: list[A] = []
        while len(answers) < len(requests):
            rest = requests[len(answers) :]
            part = rest[: leading(rest, self._fits)]
            try:
                answers.extend(ask(part))
            except OutOfMemoryError as error:
                if len(part) == 1:
                    raise EngineError(f"out of memory even with a single request: {error}") from error
                tokens = padded_tokens(part)
                self._fits = tokens // 2
                sys.stderr.write(
                    f"out of memory with {len(part)} requests, {tokens} padded tokens, at once; going on with at most "
                    f"{self._fits}\n"
                )
        return answers

    def _memory(self) -> Memory:
        engine = self._loaded()
        allocated, reserved = engine.device_peaks()
        facts = engine.facts()
        if facts.device == "remote":  # this process is the client; the model's memory is elsewhere
            return Memory()
        return Memory(
            weight_bytes=facts.weight_bytes,
            disk_bytes=facts.disk_bytes,
            process_peak_load_bytes=self._load_peak,
            process_peak_inference_bytes=process_peak_bytes(),
            allocator_peak_allocated_bytes=allocated,
            allocator_peak_reserved_bytes=reserved,
            device_process_peak_bytes=device_process_bytes() if "cuda" in facts.device else None,
        )

    def _reset_peak(self) -> None:
        self._loaded().reset_device_peaks()
        reset_process_peak()

    def _close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None


def _stamps(spec: LoadSpec) -> dict[str, Stamp]:
    """The files that loading opens, as they are now, by path."""
    if not ENGINES[spec.engine].opens_files:
        return {}
    found = (Stamp.of(each) for each in opened_files(resolve(reference_of(spec))))
    return {each.path: each for each in found if each is not None}
