"""Interpreters that variants run in: shipped ones with exact pins, requirement lists, and the user's own.

An environment is a virtual environment in quantgate's cache, keyed by its contents. It counts as built when its marker
exists, which is written last; a build holds a lock, and the remains of a killed build are removed by the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import EngineError
from harness.notation import byte_size, duration

MARK = "quantgate.json"
ROOMS = ("methods", "engines")
SHIPPED = "environment.toml"
"""Stored next to what an environment serves, and names it. `steps` are one call of pip each, with pip's own `options`;
`variables` are set for the build and for every worker in the environment. The exact versions of everything are in
`pins.txt` beside it, which pip is given as constraints."""
TAIL = 15
"""Lines of pip's output shown for a failed build."""
LEAST_FREE = 3 << 30
"""Bytes that have to be free: an environment with torch takes about two gigabytes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call of pip."""

    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()
    """pip's own; `{environment}` in them is the environment's folder."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What an environment is made of."""

    name: str
    steps: tuple[Step, ...]
    says: str = ""
    probe: tuple[str, ...] = ()
    """Modules that have to be importable for the build to count."""
    variables: Mapping[str, str]
    pins: Path | None = None
    """pip's constraints: the exact version of everything."""
    needs_cuda: bool = False
    minutes: int = 2
    """Approximate duration of a build."""
    suite: str | None = None
    """The suite that defines it, quoted for a shell; None for a shipped one."""

    @property
    def asked(self) -> str:
        """What `quantgate env build` is given for it."""
        return self.suite or self.name

    @property
    def shown(self) -> str:
        """Its name in messages: the name, or the requirements listed in a suite."""
        return self.name if self.suite is None else f"of {', '.join(self.steps[0].requirements)}"

    @property
    def key(self) -> str:
        """Changes with every pin and with the Python that builds it."""
        made_of = {
            "python": sys.version_info[:2],
            "platform": sys.platform,
            "steps": [[list(step.requirements), list(step.options)] for step in self.steps],
            "pins": self.pins.read_text() if self.pins is not None else None,
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]


def shipped() -> Mapping[str, Environment]:
    """The environments that come with quantgate, by name."""
    package = Path(__file__).parents[1]
    files = [file for room in ROOMS for file in sorted((package / room).rglob(SHIPPED))]
    return {each.name: each for each in map(_read, files)}


def _read(file: Path) -> Environment:
    row = tomllib.loads(file.read_text())
    pins = file.with_name("pins.txt")
    return Environment(
        name=row["name"],
        says=row["says"],
        probe=tuple(row["probe"]),
        variables=row.get("variables", {}),
        pins=pins if pins.is_file() else None,
        needs_cuda=row.get("needs_cuda", False),
        minutes=row.get("minutes", 2),
        steps=tuple(
            Step(requirements=tuple(step["requirements"]), options=tuple(step.get("options", ())))
            for step in row["steps"]
        ),
    )


def from_requirements(requirements: tuple[str, ...], *, suite: str) -> Environment:
    """An environment defined in a suite. `suite`: its path, for messages."""
    return Environment(name="suite", steps=(Step(requirements=requirements),), variables={}, suite=suite)


class Environments:
    """The built ones, in one folder."""

    def __init__(self, root: Path, least_free: int = LEAST_FREE) -> None:
        self.root, self._least_free = root, least_free

    def folder(self, environment: Environment) -> Path:
        return self.root / f"{environment.name}-{environment.key}"

    def python(self, environment: Environment) -> Path | None:
        """Its interpreter; None when it is not built, only half built, or has lost its interpreter."""
        folder = self.folder(environment)
        python = folder / "bin" / "python"
        return python if (folder / MARK).is_file() and python.exists() else None

    def build(self, environment: Environment, say: Callable[[str], None] = lambda text: None) -> Path:
        """Build it unless it is there; returns its interpreter. Raises `EngineError` with pip's own message."""
        from filelock import FileLock, Timeout

        folder = self.folder(environment)
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / f".{folder.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"{environment.name}: another process is building it, waiting")
            lock.acquire()
        try:
            if (python := self.python(environment)) is not None:
                return python
            if folder.exists():
                say(f"{environment.name}: removing what an interrupted build left")
                shutil.rmtree(folder)
            free = shutil.disk_usage(self.root).free
            if free < self._least_free:
                raise EngineError(
                    f"environment {environment.name}: {byte_size(free)} are free in {self.root}, expected at least "
                    f"{byte_size(self._least_free)}; free some, or set QUANTGATE_CACHE to another disk"
                )
            return self._build(environment, folder, say)
        finally:
            lock.release()

    def _build(self, environment: Environment, folder: Path, say: Callable[[str], None]) -> Path:
        started = time.monotonic()
        log = self.root / f"{folder.name}.log"
        log.unlink(missing_ok=True)
        say(f"{environment.name}: building, about {environment.minutes} min; pip writes to {log}")
        python = folder / "bin" / "python"
        self._run(environment, [sys.executable, "-m", "venv", str(folder)], log)
        cache = self._cache(python)
        for number, step in enumerate(environment.steps, 1):
            say(f"{environment.name}: step {number} of {len(environment.steps)}: {' '.join(step.requirements)}")
            pins = ["-c", str(environment.pins)] if environment.pins is not None else []
            command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *cache, *pins]
            command += [option.format(environment=folder) for option in step.options]
            self._run(environment, [*command, *step.requirements], log)
        for module in environment.probe:
            self._run(environment, [str(python), "-c", f"import {module}"], log)
        frozen = subprocess.run(
            [str(python), "-m", "pip", "freeze", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.splitlines()
        mark = {"name": environment.name, "seconds": round(time.monotonic() - started), "packages": frozen}
        (folder / f".{MARK}").write_text(json.dumps(mark, indent=1))
        (folder / f".{MARK}").replace(folder / MARK)
        say(f"{environment.name}: built in {duration(time.monotonic() - started)}")
        return python

    def _cache(self, python: Path) -> list[str]:
        """pip's own cache; where that is off, one beside the environments: slow compilations happen only once."""
        command = [str(python), "-m", "pip", "cache", "dir", "--disable-pip-version-check"]
        own = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return [] if own else ["--cache-dir", str(self.root / "pip")]

    def _run(self, environment: Environment, command: list[str], log: Path) -> None:
        variables = {**os.environ, **environment.variables, "PYTHONNOUSERSITE": "1"}
        with log.open("a") as stream:
            stream.write(f"$ {' '.join(command)}\n")
            stream.flush()
            code = subprocess.run(
                command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False, env=variables
            ).returncode
        if code != 0:
            lines = "".join(f"\n  | {line[:300]}" for line in log.read_text(errors="replace").splitlines()[-TAIL:])
            raise EngineError(
                f"environment {environment.name} could not be built (status {code}); the end of {log}:{lines}\n"
                f"Put right what it names and run `quantgate env build {environment.asked}` again; the half-built "
                "one is not used"
            )

    def remove(self, environment: Environment) -> bool:
        """Delete it; False when it was not there."""
        folder = self.folder(environment)
        if not folder.exists():
            return False
        (folder / MARK).unlink(missing_ok=True)  # from here on nobody takes it for built
        shutil.rmtree(folder)
        (self.root / f"{folder.name}.log").unlink(missing_ok=True)
        return True
