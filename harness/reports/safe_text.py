"""Text of unknown origin made safe to look at, for reports: see `harness.shown`."""

from harness.shown import LONGEST, one_line, visible, without_commands

__all__ = ["LONGEST", "one_line", "visible", "without_commands"]
