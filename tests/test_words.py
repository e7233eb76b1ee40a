"""Words that the project's prose does without: each was found in it, read like a translation, and has a plain form.

Looks at docstrings, string literals and comments of the code, at templates and at the pages in `docs/`.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BANNED = {
    r"\b(?:be|is|are|was) had\b": "is available, is computed, can be found",
    r"\b(?:is|are|was|were|be) told\b": "is reported, is given, is known",
    r"\bcannot be told apart\b": "is ambiguous",
    r"\bwhoever\b": "the caller, the process that, anyone who",
    r"\banew\b": "again",
    r"\bleans? together\b": "are correlated within a cluster",
    r"\bwhole numbers?\b": "integer",
    r"\bexpected a text\b": "expected a string",
    r"\bthis key is needed\b": "required key missing",
    r"\b(?:is|was) no (?:model folder|text|number|JSON|YAML)\b": "is not a model folder",
    r"\bno partner\b": "cannot be paired with",
    r"\bnobody was asked\b": "were skipped",
    r"\bholds nobody up\b": "does not block",
    r"\bstands? (?:there|twice|behind|beside)\b": "is there, is repeated, follows, is next to",
    r"\b(?:bits a weight|nats a token|bits a byte|tokens a second)\b": "per",
    r"\bof before (?:this|that) was\b": "from before",
    r"\bbeginnings? (?:that|which) (?:prompts|items|several)\b": "shared prefix",
    r"\bloss(?:es)? (?:that )?(?:can )?creeps?\b": "cumulative drift",
}
"""Pattern to what to write instead. Ordinary English that is used rightly is not in it."""
DOCS = sorted({*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")} - {ROOT / "docs/trust.md"})
CODE = sorted(ROOT.glob("harness/**/*.py"))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and texts of what people read in a file."""
    if path.suffix != ".py":
        yield from enumerate(path.read_text().splitlines(), start=1)
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.STRING, tokenize.COMMENT) or "FSTRING_MIDDLE" in tokenize.tok_name[token.type]:
                yield token.start[0], " ".join(token.string.split())


def found(paths: list[Path]) -> list[str]:
    """Each use of a banned word, with what to write."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {match.group()!r}: write {better!r}"
        for path in paths
        for line, text in prose(path)
        for pattern, better in BANNED.items()
        if (match := re.search(pattern, text, re.IGNORECASE))
    ]


def test_the_code_s_prose() -> None:
    """Docstrings, messages and comments say it plainly."""
    assert not found(CODE)


def test_templates_and_pages() -> None:
    """So do the reports' templates and the documentation."""
    assert not found([*sorted(ROOT.glob("harness/**/*.j2")), *DOCS])


@pytest.mark.parametrize(
    "fine",
    [
        "the interval lies beyond the limit",
        "the worker told the driver",
        "p stands for the share",
        "had the run stopped",
        "a number of at least 1",
    ],
)
def test_plain_english_is_left_alone(fine: str) -> None:
    """Words that are right in their place are not banned."""
    assert not any(re.search(pattern, fine, re.IGNORECASE) for pattern in BANNED)
