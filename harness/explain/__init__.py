"""A finding explained: its numbers, the formula with the numbers in it, its inputs, what would change it."""

from __future__ import annotations

from harness.explain.choose import choose
from harness.explain.explain import Shown, explain_findings
from harness.explain.model import Explanation
from harness.explain.text import as_json, print_explanation

__all__ = ["Explanation", "Shown", "as_json", "choose", "explain_findings", "print_explanation"]
