"""Rules times comparisons gives findings; findings and validity checks give the verdict. Pure: no files, no prints."""

from harness.gates.judge import judge

__all__ = ["judge"]
