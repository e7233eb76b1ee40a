"""The only reader and writer of `results/`.

Owns the layout and the lock that keeps two runs apart. The parts are `evaluations.py`, `plans.py`, `runs.py` and
`attempts.py`; `seal.py` binds every record to its address by a checksum; `chunks.py` and `parse.py` know the inside of
an evaluation's items. Readers write nothing; a writer holds the folder's lock or replaces one file as a whole. It never
interprets a record. Layout below the results folder:

    evaluations/KEY/chunks.jsonl     one checksummed line per chunk of items, append only
    evaluations/KEY/states/          the baseline's hidden states, where a divergence needs them
    evaluations/KEY/manifest.json    written last: the evaluation is complete
    evaluations/KEY/batches.json     what batches went by, from which chunk on
    evaluations/KEY/memory.json      the largest batch that memory allowed, where it ran out
    evaluations/KEY/stopped.json     where an early stop left it; it is not complete
    plans/HASH.jsonl                 items of a task as planned
    plans/KEY.words.json             how many words each document of a plan has
    speed/KEY.json                   timed pairs and memory
    attempts/KEY.json                whose attempt at an evaluation or a timing is the newest (--fresh)
    SUITE/runs/RUN/run.json          one run, pointing at evaluations
    SUITE/runs/RUN/verdict.json      its judgement
    SUITE/accepted.jsonl             promoted versions, newest last
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import RunError
from harness.notation import byte_size
from harness.records.evaluations import Attempts
from harness.records.files import write_atomically as write_atomically
from harness.records.lock import held_for_a_run
from harness.records.plans import Plans
from harness.records.runs import Runs

TEMPORARY = ("plans/.*", "speed/.*", "attempts/.*", "evaluations/*/.*", "evaluations/*/states/.*")
"""Files that only a run writes, before they are renamed."""


class Store(Plans, Runs, Attempts):
    """A results folder."""

    def check_writable(self, needed_bytes: int) -> None:
        """Check before any model is loaded that the folder can hold the results. Raises `RunError`."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(b"\0" * 65536)
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise RunError(
                f"{self.root}: the results folder cannot be written: {error.strerror or error}. What was stored "
                "before is kept: make room there and run the same command again, or choose another with --results."
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < needed_bytes:
            raise RunError(
                f"{self.root}: {byte_size(free)} free, this run may need {byte_size(needed_bytes)}. "
                "Free some space or choose another folder with --results."
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run. Raises `RunError` at once when another run holds it.

        The holder is the only writer, so temporary files in it are left over from a killed run; they are removed.
        """
        with held_for_a_run(self.root):
            for pattern in TEMPORARY:
                for path in self.root.glob(pattern):
                    path.unlink(missing_ok=True)
            yield
