"""Runs, verdicts, timings and promoted versions in the results folder. Owns how a name resolves to a run.

A run's manifest binds each variant to its evaluations; `check_bound` holds those against what the run says of them.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydantic import BaseModel, ValidationError

from harness.errors import RecordError, UsageError
from harness.records.decisions import held_to_its_parts
from harness.records.evaluations import Evaluations
from harness.records.files import read_whole, write_atomically
from harness.records.lock import held_for_a_write
from harness.records.model import Name
from harness.records.run_manifest import Accepted, RunManifest, VariantRun
from harness.records.seal import lines_with_checksum, open_lines
from harness.records.summary import VerdictSummary, read_summary
from harness.records.timings import SpeedRecord
from harness.records.verdict import Verdict


def new_run_id(now: datetime) -> str:
    """Sorts by time and does not repeat: `20261121-052814-3f9a`."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class _Named(BaseModel):
    """The identifying fields of a run's manifest; the rest is ignored."""

    suite: Name
    run: Name


class Runs(Evaluations):
    """The part of a `Store` below `speed/` and `SUITE/`."""

    # -- speed

    def speed(self, key: str) -> SpeedRecord | None:
        """The timing with this key; None where there is none. Raises `RecordError`."""
        record = self.load(f"speed/{key}.json", SpeedRecord)
        if record is not None and record.key != key:
            raise RecordError(f"{self.root / 'speed' / key}.json: is the timing of another key, {record.key[:16]}…")
        return record

    def save_speed(self, record: SpeedRecord) -> None:
        """Keep a timing. Raises `RecordError` where there is one under its key: runs point at it."""
        if (self.root / f"speed/{record.key}.json").exists():
            raise RecordError(f"{self.root}/speed/{record.key}.json: is there already, and is never written over")
        self.save(f"speed/{record.key}.json", record)

    # -- runs

    def run_folder(self, suite: str, run: str) -> Path:
        return self.root / suite / "runs" / run

    def save_run(self, manifest: RunManifest) -> None:
        self.save(_run_address(manifest.suite, manifest.run), manifest)

    def runs(self, suite: str | None = None) -> list[Path]:
        """Folders of complete runs, oldest first. `suite`: a name, which may be anything; none has its runs."""
        found = [path.parent for path in self.root.glob("*/runs/*/run.json")]
        mine = (each for each in found if suite is None or each.parent.parent.name == suite)
        return sorted(mine, key=lambda path: path.name)

    def run(self, suite: str, run: str) -> RunManifest:
        """The manifest of a run of a suite. Raises `RecordError` when it is missing, damaged or belongs to another
        run."""
        return self._read_run(suite, run, self.root / _run_address(suite, run))

    def _read_run(self, suite: str, run: str, path: Path) -> RunManifest:
        manifest = self.load(_run_address(suite, run), RunManifest, path=path)
        if manifest is None:
            raise RecordError(f"{path}: no such record")
        if (manifest.suite, manifest.run) != (suite, run):
            raise RecordError(
                f"{path}: is the record of run {manifest.run} of {manifest.suite}, not of the folder it is in. Put "
                "back what was stored, or run the suite again."
            )
        return manifest

    def find_run(self, name: str) -> RunManifest:
        """The run called `name`: a run id or its unique beginning, `SUITE` or `latest` (its newest), or a folder.

        Raises `UsageError` when there is no such run or the name fits several, `RecordError` when it is damaged.
        """
        given = Path(name)
        if (given / "run.json").is_file():
            return self._run_in(given)
        folders = self.runs()
        if not folders:
            raise UsageError(f"{self.root}: no runs here yet; make one with `quantgate run SUITE`")
        if name == "latest":
            found = [folders[-1]]
        else:
            of_suite = [folder for folder in folders if folder.parent.parent.name == name]
            found = of_suite[-1:] or [folder for folder in folders if folder.name.startswith(name)]
        if len(found) != 1:
            names = ", ".join(folder.name for folder in (found or folders)[-5:])
            reason = "fits several runs" if found else f"is no run in {self.root}"
            raise UsageError(f"{name!r} {reason}; there are: {names}")
        return self.run(found[0].parent.parent.name, found[0].name)

    def _run_in(self, folder: Path) -> RunManifest:
        """The run in a folder anywhere, such as a copy; in a results folder it has to be the run that belongs there."""
        place, path = folder.resolve(), folder / "run.json"
        if place.parent.name == "runs":
            return self._read_run(place.parents[1].name, place.name, path)
        try:
            named = _Named.model_validate_json(read_whole(path) or b"")
        except ValidationError as error:
            raise RecordError(f"{path}: damaged: {error.errors()[0]['msg']}") from error
        return self._read_run(named.suite, named.run, path)

    def check_bound(self, run: RunManifest, *variants: VariantRun) -> None:
        """Check the stored evaluations of a run against its manifest, all or those of `variants`. Raises `RecordError`
        for one of another model or task. Missing ones are left to their readers.
        """
        for variant in variants or (*run.variants.values(), *([] if run.base is None else [run.base])):
            for task, key in variant.evaluations.items():
                self._check_bound(run, variant, key, task)
            for key in variant.second_pass.values():
                self._check_bound(run, variant, key, None)

    def _check_bound(self, run: RunManifest, variant: VariantRun, key: str, task: str | None) -> None:
        """`task`: whose items it asks; None for a part of them."""
        found, asked = self.evaluation(key), run.tasks.get(task or "")
        if found is None:
            return
        identity = found.identity
        wrong = ""
        if asked is not None and identity.requests != asked.plan:
            wrong = f"asks other items than task {task} of the run"
        elif variant.weights not in (None, identity.weights) or variant.quantization not in (
            None,
            identity.quantization,
        ):
            wrong = f"is of another model than {variant.variant} of the run"
        if wrong:
            raise RecordError(
                f"{self.evaluation_folder(key)}: {wrong} {run.run}, which points at it. Put back what was stored, or "
                "run the suite again."
            )

    # -- verdicts

    def save_verdict(self, verdict: Verdict) -> Path:
        """Written atomically; a process that judges the same run at the same time writes a complete one too."""
        return self.save(_verdict_address(verdict.suite, verdict.run), verdict)

    def verdict(self, suite: str, run: str) -> Verdict:
        """The stored judgement of a run. Raises `RecordError` when it is missing, damaged or another run's, and where a
        decision in it does not follow from its findings and checks."""
        address = _verdict_address(suite, run)
        again = f"Judge the run again: quantgate gate {run}"
        verdict = self.load(address, Verdict, again=again)
        if verdict is None:
            raise RecordError(f"{self.root / address}: no such record")
        if (verdict.suite, verdict.run) != (suite, run):
            raise RecordError(f"{self.root / address}: is the verdict of run {verdict.run}. {again}")
        try:
            return held_to_its_parts(verdict)
        except ValueError as error:
            raise RecordError(f"{self.root / address}: {error}. {again}") from error

    def summary(self, suite: str, run: str) -> VerdictSummary:
        """The figures of a verdict. Raises `RecordError` as `verdict`."""
        return read_summary(self.root, suite, run)

    # -- promoted versions

    def accepted(self, suite: str) -> list[Accepted]:
        """Promoted versions of a suite, oldest first. Raises `RecordError` when the file is damaged."""
        address = _accepted_address(suite)
        path = self.root / address
        content = read_whole(path)
        if content is None:
            return []
        lines = BytesIO(content)
        if not open_lines(path, lines, address, again="Put back what was stored."):
            self.without_checksum.add(address)
        try:
            return [Accepted.model_validate_json(line) for line in lines.read().splitlines()]
        except ValidationError as error:
            raise RecordError(f"{path}: damaged: {error.errors()[0]['msg']}") from error

    def accept(self, suite: str, version: Accepted) -> None:
        """Add a promoted version; concurrent promotions wait. Raises `UsageError` for a name that is taken."""
        address = _accepted_address(suite)
        with held_for_a_write(self.root / suite):
            versions = self.accepted(suite)
            taken = next((each for each in versions if version.name and each.name == version.name), None)
            if taken is not None and (taken.run, taken.variant) != (version.run, version.variant):
                raise UsageError(f"--name {version.name}: is {taken.variant}@{taken.run} already")
            lines = "".join(each.model_dump_json() + "\n" for each in (*versions, version))
            write_atomically(self.root / address, lines_with_checksum(lines.encode(), address))


def _run_address(suite: str, run: str) -> str:
    return f"{suite}/runs/{run}/run.json"


def _verdict_address(suite: str, run: str) -> str:
    return f"{suite}/runs/{run}/verdict.json"


def _accepted_address(suite: str) -> str:
    return f"{suite}/accepted.jsonl"
