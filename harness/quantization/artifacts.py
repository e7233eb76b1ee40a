"""Checkpoints that quantgate makes: one folder per content, with a card that says how, written atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import EngineError
from harness.methods import METHODS
from harness.methods.base import Recipe
from harness.notation import byte_size, duration
from harness.quantization.calibration import CalibrationSet
from harness.start import command
from harness.suite.quantize_block import Quantization

CARD = "card.json"
MODEL = "model"
MAKING = ".making-"
"""What the name of an unfinished checkpoint's folder begins with."""
TAIL = 15
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*", "merges.txt", "*.model",
                   "chat_template*", "generation_config.json")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Order:
    """An order: what to make, from what, and in which interpreter."""

    quantization: Quantization
    source: Path
    weights: str
    """Identity of the source's weights."""
    calibration: CalibrationSet | None
    interpreter: Path | None
    variables: Mapping[str, str]
    made_with: Mapping[str, str]
    """Library versions that change the result."""
    device: str = "cpu"
    trust_remote_code: bool = False

    @property
    def key(self) -> str:
        """SHA-256 over everything that determines the checkpoint, shortened."""
        made_of = {
            "block": self.quantization.block(),
            "weights": self.weights,
            "calibration": self.calibration.hash if self.calibration is not None else None,
            "versions": dict(self.made_with),
            "device": self.device.partition(":")[0],
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished checkpoint."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The folder to load, or the .gguf file."""
        folder = self.folder / MODEL
        files = sorted(folder.glob("*.gguf"))
        return files[0] if files and not (folder / "config.json").is_file() else folder


class Artifacts:
    """The folder they are in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, order: Order) -> Path:
        return self.root / f"{order.quantization.method}-{order.key}"

    def find(self, order: Order) -> Artifact | None:
        """The finished checkpoint of an order. Raises `EngineError` for a card that cannot be read."""
        folder = self.folder(order)
        if not (folder / CARD).is_file():
            return None
        try:
            card = json.loads((folder / CARD).read_text())
        except ValueError as error:
            raise EngineError(f"{folder / CARD}: damaged ({error}); delete {folder} to make it again") from error
        return Artifact(folder=folder, card=card)

    def make(self, order: Order, say: Callable[[str], None]) -> Artifact:
        """Make it unless it exists. Raises `EngineError` with the end of the tool's log."""
        from filelock import FileLock

        if (found := self.find(order)) is not None:
            return found
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self._lock(self.folder(order).name)):
                self._sweep()
                return self.find(order) or self._make(order, say)
        except OSError as error:
            raise EngineError(f"{self.root}: the checkpoint could not be written: {error.strerror or error}") from error

    def _lock(self, name: str) -> Path:
        return self.root / f".{name}.lock"

    def _sweep(self) -> None:
        """Remove the remains of killed makers. The lock of a checkpoint that is not being made is free."""
        from filelock import FileLock, Timeout

        for left in self.root.glob(f"{MAKING}*"):
            with suppress(Timeout), FileLock(self._lock(left.name.removeprefix(MAKING)), blocking=False):
                shutil.rmtree(left, ignore_errors=True)

    def _make(self, order: Order, say: Callable[[str], None]) -> Artifact:
        working = self.root / f"{MAKING}{self.folder(order).name}"
        shutil.rmtree(working, ignore_errors=True)
        try:
            return self._make_in(working, order, say)
        finally:
            shutil.rmtree(working, ignore_errors=True)  # renamed when all went well

    def _make_in(self, working: Path, order: Order, say: Callable[[str], None]) -> Artifact:
        final = self.folder(order)
        (working / MODEL).mkdir(parents=True)
        spec = order.quantization
        tool = METHODS[spec.method].tool(spec.block())
        assert tool is not None
        say(f"making {spec.method} with {tool.name} in {final}")
        calibration = order.calibration
        recipe = Recipe(
            source=str(order.source),
            out=str(working / MODEL),
            block=spec.block(),
            samples=calibration.samples if calibration is not None else (),
            length=calibration.spec.length if calibration is not None else 0,
            seed=calibration.spec.seed if calibration is not None else 0,
            device=order.device,
            trust_remote_code=order.trust_remote_code,
        )
        (working / "job.json").write_text(json.dumps({"method": spec.method, **asdict(recipe)}))
        log = self.root / "logs" / f"{final.name}.log"
        log.parent.mkdir(exist_ok=True)
        code = self._run(order, working / "job.json", log)
        if code != 0 or not (working / "made.json").is_file():
            raise EngineError(f"{tool.name} could not make {spec.method} (status {code}){_tail(log)}")
        made = json.loads((working / "made.json").read_text())
        _lift(working / MODEL)
        if not any((working / MODEL).glob("*.gguf")):
            _add_tokenizer(order.source, working / MODEL)
        card = {
            "schema": 1,
            "method": spec.method,
            "tool": tool.name,
            "parameters": spec.block(),
            "source": str(order.source),
            "source_weights": order.weights,
            "calibration": None
            if calibration is None
            else {**calibration.spec.model_dump(), "sha256": calibration.hash},
            **made,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (working / "job.json").unlink()
        (working / "made.json").unlink()
        (working / CARD).write_text(json.dumps(card, indent=1))
        working.replace(final)
        say(f"made {spec.method} in {duration(made['seconds'])}, peak memory {byte_size(made['peak_bytes'])}")
        return Artifact(folder=final, card=card)

    def _run(self, order: Order, job: Path, log: Path) -> int:
        variables = {
            "OMP_WAIT_POLICY": "PASSIVE",
            **os.environ,
            **order.variables,
            "HF_HUB_OFFLINE": "1",
            "PYTHONNOUSERSITE": "1",
        }
        with log.open("w") as stream:
            return subprocess.run(
                [*command(order.interpreter, "harness.quantization.make"), str(job)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=job.parent,  # tools leave scratch files where they are started
                env=variables,
                check=False,
            ).returncode


def _lift(folder: Path) -> None:
    """Some tools write into a folder of their own naming inside the one they were given."""
    inner = [each for each in folder.iterdir() if each.is_dir() and (each / "config.json").is_file()]
    if not (folder / "config.json").is_file() and len(inner) == 1:
        for each in inner[0].iterdir():
            each.rename(folder / each.name)
        inner[0].rmdir()


def _add_tokenizer(source: Path, folder: Path) -> None:
    """The source's own tokenizer, in place of whatever the tool saved: every variant has to agree on it."""
    for pattern in TOKENIZER_FILES:
        for file in source.glob(pattern):
            if file.is_file() and file.suffix not in (".safetensors", ".bin"):
                shutil.copyfile(file, folder / file.name)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    return f"; the end of {log}:" + "".join(f"\n  | {line[:300]}" for line in lines)
