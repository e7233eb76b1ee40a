"""Prose is never data: what is a sentence for people is not taken apart, compared or cut by code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent / "harness"
SURGERY = {
    "startswith",
    "endswith",
    "removeprefix",
    "removesuffix",
    "partition",
    "rpartition",
    "split",
    "rsplit",
    "replace",
}
"""What takes a text apart."""
PROSE = frozenset(
    [
        "reason",
        "message",
        "note",
        "notes",
        "says",
        "said",
        "sentence",
        "failure",
        "why",
        "error",
        "headline",
        "series_reason",
        "against",
        "gate",
    ]
)
"""Names of sentences, and of labels that are written for people: `gates[1] language=de`, `small@20261121-…`."""
ALLOWED = {
    ("entry.py", "error"): "the words are the system's: that memory ran out",
    ("errors.py", "said"): "the words are a foreign exception's, whose type is put in front once",
    ("records/findings.py", "gate"): "a gate's stored name begins with its place; the one reader",
    ("records/findings.py", "against"): "a promoted version's stored name ends in its run; the one reader",
    ("records/decisions.py", "sentence"): "stored verdicts have the decision in front; the one place that knows",
    ("reports/wording.py", "reason"): "stored reasons name their task or do not: shown once, and nothing hangs on it",
    ("suite/load.py", "message"): "the words are those of the YAML library",
}


def cuts(path: Path) -> Iterator[tuple[str, str]]:
    """Each name or field of prose in a file that a method takes apart, or in which a text is looked for."""
    for node in ast.walk(ast.parse(path.read_text())):
        place = str(path.relative_to(ROOT))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SURGERY:
            name = named(node.func.value)
            if name in PROSE and node.args:  # white space, which a bare split() folds, says nothing
                yield place, name
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
            name, sought = named(node.comparators[0]), node.left
            if name in PROSE and (isinstance(sought, ast.JoinedStr) or is_text(sought)):
                yield place, name


def named(node: ast.expr) -> str:
    """The last name of `finding.reason`, `reason` and `str(error)`; empty for anything else."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
        return named(node.args[0])
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_no_sentence_is_taken_apart() -> None:
    """Rewording a sentence changes nothing but the sentence: decisions, keys and marks go by fields and codes."""
    found = {cut for path in ROOT.rglob("*.py") for cut in cuts(path)}
    assert found - set(ALLOWED) == set()


def test_every_exception_is_needed() -> None:
    """The list of allowed places holds nothing that is gone."""
    assert set(ALLOWED) - {cut for path in ROOT.rglob("*.py") for cut in cuts(path)} == set()
