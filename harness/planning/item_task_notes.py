"""Notes on a task's prompts and answers: where they differ from lm-eval's, and what makes them vary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.engines.protocol import GenerateRequest
from harness.planning.clock_dependence import Watching
from harness.planning.requests import ItemRequests

ESCAPES = re.compile(r"(\\[nrt])+")
"""Backslash and letter, as YAML's single quotes leave them."""


def notes_on(name: str, asked: Sequence[ItemRequests], watching: Watching, *, steady: bool = True) -> list[str]:
    """One line each, beginning with the task. `steady`: its code made the same prompt twice."""
    found = [*_on_tokens(asked, watching), *_on_answers(asked)]
    if watching.by_the_clock:
        found.append(
            "its prompts hold the time they are made at (the chat template asks for it), so that runs of two days "
            "are not of the same items"
        )
    if not steady:
        found.append("the task's code makes another prompt every time, so that no two runs are of the same items")
    return [f"{name}: {each}" for each in found]


def _on_tokens(asked: Sequence[ItemRequests], watching: Watching) -> Iterator[str]:
    if moved := [each for each in asked if each.moved]:
        yield (
            f"{_items(moved, asked)} a token spans the end of the prompt and the beginning of an option: the prompt's "
            "last characters are scored with every option of the item, or each option apart from them, where lm-eval "
            "would leave characters out"
        )
    if other := [each for each in asked if each.differs and not each.moved]:
        cause = (
            "special tokens that the tokenizer puts behind a text are left out"
            if watching.trailing
            else "a prompt that brings its special tokens gets no others"
        )
        yield f"{_items(other, asked)} the token ids are not those of lm-eval's hf model: {cause}"
    if unknown := [each for each in asked if each.unknown]:
        yield f"{_items(unknown, asked)} a prompt or an option holds text that the tokenizer does not know"


def _items(some: Sequence[ItemRequests], asked: Sequence[ItemRequests]) -> str:
    return f"in {len(some):,} of {len(asked):,} items (the first: {some[0].item})"


def _on_answers(asked: Sequence[ItemRequests]) -> Iterator[str]:
    if ignored := sorted({setting for each in asked for setting in each.ignored}):
        yield f"generates without the task's {', '.join(ignored)}, which quantgate does not follow"
    requests = [request for each in asked for request in each.requests if isinstance(request, GenerateRequest)]
    if any(request.temperature > 0 for request in requests):
        yield "samples its answers, so that they differ by chance too; greedy answers pair better"
    for stop in sorted({stop for request in requests for stop in request.until if ESCAPES.fullmatch(stop)}):
        yield (
            f"stops at {stop}, which is a backslash and a letter; a line break in YAML is written in double quotes: "
            f'"{stop}"'
        )
