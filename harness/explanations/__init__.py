"""A finding explained: its numbers, the formula with the numbers in it, its inputs, what would change it."""

from __future__ import annotations

from harness.explanations.choose import choose
from harness.explanations.explain import Shown, explain_findings
from harness.explanations.shapes import Explanation
from harness.explanations.text import as_json, print_explanation

__all__ = ["Explanation", "Shown", "as_json", "choose", "explain_findings", "print_explanation"]
