"""The suites over real files of the planning tests."""

from __future__ import annotations

from tests.planning.conftest import suite_of, write_rows

__all__ = ["suite_of", "write_rows"]
