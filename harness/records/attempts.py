"""Which attempt at an evaluation or a timing to use, where it was computed more than once.

An evaluation never changes: `--fresh` computes another one beside it and notes here that it is the newer one. Earlier
runs go on pointing at theirs.
"""

from __future__ import annotations

from harness.errors import RecordError
from harness.records.evaluation_manifest import Attempt
from harness.records.folder import Folder


class Attempts(Folder):
    """The part of a `Store` below `attempts/`."""

    def latest_attempt(self, key: str) -> str:
        """The run that computed it last, under the key without an attempt; empty for the first computation.

        Raises `RecordError` for a note that is damaged or another key's.
        """
        found = self.load(_address(key), Attempt)
        if found is not None and found.key != key:
            raise RecordError(
                f"{self.root / _address(key)}: is the note of {found.key[:16]}…. Run the suite again with --fresh."
            )
        return "" if found is None else found.attempt

    def save_attempt(self, key: str, attempt: str) -> None:
        """Records this run as the newest."""
        self.save(_address(key), Attempt(key=key, attempt=attempt))


def _address(key: str) -> str:
    return f"attempts/{key}.json"
