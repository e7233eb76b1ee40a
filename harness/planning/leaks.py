"""References that occur in their own prompts.

That a reference occurs in its prompt means little: extractive questions are answered from the passage, a `5` occurs in
many sums, labels are listed for the model to choose from. What gives an answer away is its position: nearly every
prompt has its own reference there, and not another item's. Owns that rule; docs/suite.md describes it and the data it
was measured on. Judges nothing: the gate makes such a task INVALID.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from harness.metrics.words import words_of
from harness.planning.prompts.short_forms import Docs
from harness.planning.requests import ItemRequests
from harness.records.items import PlannedItem
from harness.records.run_manifest import GRAM, Leak

NEARLY = 0.9
"""Share of the items from which a position counts as holding the answer."""
OTHERS = 0.5
"""Of that share, how much may hold for another item's reference: a list of labels holds all of them everywhere."""
BESIDE = 6
"""Characters before or behind a reference that make a place inside a prompt."""
LOOKED_AT = 500
"""Items, evenly spaced, in which positions are searched first."""
OCCURRENCES = 20
"""Of one reference in one prompt that are looked at, from the beginning; the last one always is."""
NAMED = 3
"""Items that are named."""


class Side(IntEnum):
    """Where in a prompt a reference occurs."""

    BEGINNING = 0
    END = 1
    INSIDE_THE_END = 2
    """In a longer text of the row that the prompt ends with."""
    BEFORE = 3
    BEHIND = 4


SAYS: Mapping[Side, str] = {
    Side.BEGINNING: "at the beginning",
    Side.END: "at the end, before",
    Side.INSIDE_THE_END: "at the end, between",
    Side.BEFORE: "before",
    Side.BEHIND: "behind",
}


@dataclass(frozen=True, order=True)
class Spot:
    """A position that can be compared with other prompts: a side, and the characters that it is the side of."""

    side: Side
    beside: str = ""

    def __str__(self) -> str:
        if not self.beside:
            return "at the end" if self.side == Side.END else SAYS[self.side]
        return f"{SAYS[self.side]} {self.beside!r}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one item shows the model, and what it should answer."""

    item: str
    prompt: str
    references: tuple[str, ...]
    others: tuple[str, ...]
    """A choice's other options."""
    own: tuple[str, ...]
    """Texts of its row."""


def find_leak(
    docs: Docs, chosen: Sequence[int], items: Sequence[PlannedItem], asked: Sequence[ItemRequests]
) -> Leak | None:
    """References that the prompts give away, in a task of options or of generated answers. `chosen`: the positions of
    the items in the data."""
    if docs.task.OUTPUT_TYPE not in ("multiple_choice", "generate_until"):
        return None
    if getattr(docs.task, "multiple_input", False):
        return None
    found = zip(chosen, items, asked, strict=True)
    return leak_of([_shown(docs, item, each, docs.rows[position]) for position, item, each in found])


def _shown(docs: Docs, item: PlannedItem, asked: ItemRequests, row: Mapping[str, object]) -> Shown:
    references: tuple[str, ...] = (item.expected,)
    if docs.measures is not None:
        references = docs.references(asked.doc)
    elif not item.options and isinstance(target := docs.task.doc_to_target(asked.doc), list):
        references = tuple(each for each in target if isinstance(each, str))
    return Shown(
        item=item.item,
        prompt=str(asked.instances[0].args[0]),
        references=tuple(each for each in references if each.strip()),
        others=tuple(option for option in item.options if option != item.expected),
        own=tuple(_texts(row)),
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def leak_of(shown: Sequence[Shown]) -> Leak | None:
    """Where nearly every item's prompt holds its own reference, or which items are answered further up."""
    named = [each for each in shown if each.references]
    asked = [each for each in named if not _lists(each)]
    of, found = len(shown), None
    if len(asked) > 1:
        found = _answered_above(asked, of) or _same_place(asked, of, _own_spots) or _word_for_word(asked, of)
    if found is None and 1 < len(named) > len(asked):
        found = _same_place(named, of, _end_spots)
    return found


def _lists(shown: Shown) -> bool:
    """Whether the prompt shows other options too."""
    return any(_places(shown.prompt, one) for one in shown.others)


def _leak(found: Sequence[Shown], of: int, where: str) -> Leak:
    return Leak(items=len(found), of=of, first=tuple(each.item for each in found[:NAMED]), where=where)


def _places(prompt: str, reference: str) -> list[tuple[int, int]]:
    """Where the reference occurs as words of its own: the first occurrences and the last one."""
    found: list[tuple[int, int]] = []
    start = prompt.find(reference)
    while start >= 0 and len(found) < OCCURRENCES:
        found.append((start, start + len(reference)))
        start = prompt.find(reference, start + 1)
    last = prompt.rfind(reference)
    if last >= 0:
        found.append((last, last + len(reference)))
    return [place for place in dict.fromkeys(found) if _apart(prompt, *place)]


def _apart(prompt: str, start: int, end: int) -> bool:
    inside = prompt[start:end]
    before, behind = prompt[start - 1 : start], prompt[end : end + 1]
    return not (_joins(before) and _joins(inside[:1])) and not (_joins(behind) and _joins(inside[-1:]))


def _joins(char: str) -> bool:
    return char.isalnum() and char.isascii()


# -- the same question, answered further up


def _answered_above(shown: Sequence[Shown], of: int) -> Leak | None:
    """Prompts that contain their last question earlier, followed by the reference."""
    ending = len(_common_ending([each.prompt for each in shown]))
    found = [each for each in shown if any(_answered(each.prompt, ending, one) for one in each.references)]
    return _leak(found, of, "behind the same question, further up in the prompt") if found else None


def _answered(prompt: str, ending: int, reference: str) -> bool:
    """`ending`: characters that all prompts end with. The question is the last line before them that has a text."""
    varied = prompt[: len(prompt) - ending].rstrip()
    begin = varied.rfind("\n") + 1
    question = prompt[begin:].rstrip()
    if len(varied) - begin < BESIDE:
        return False
    at = prompt.find(question)
    while 0 <= at < begin:
        behind = prompt[at + len(question) :].lstrip()
        if behind.startswith(reference) and _apart(behind, 0, len(reference)):
            return True
        at = prompt.find(question, at + 1)
    return False


def _common_ending(prompts: Sequence[str]) -> str:
    first, last = min(each[::-1] for each in prompts), max(each[::-1] for each in prompts)
    length = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length][::-1]


# -- the same place in nearly every prompt


def _same_place(shown: Sequence[Shown], of: int, spots: Callable[[Shown], set[Spot]]) -> Leak | None:
    """The end, the beginning, or behind or before the same words, which the template wrote. `of`: all items, also those
    whose prompt holds other options: examples drawn at random hold one label only now and then."""
    some = shown[:: max(1, len(shown) // LOOKED_AT)]
    counts = Counter(place for each in some for place in spots(each))
    likely = {place for place, count in counts.items() if count >= OTHERS * len(some)}
    holders: dict[Spot, list[Shown]] = defaultdict(list)
    for each in shown:
        for place in spots(each) & likely:
            holders[place].append(each)
    for place, held in sorted(holders.items(), key=lambda found: (-len(found[1]), found[0])):
        if len(held) < NEARLY * of:
            return None
        if len({each.references for each in held}) > 1 and not _anyones(held, place):
            return _leak(held, of, str(place))
    return None


def _own_spots(shown: Shown) -> set[Spot]:
    return {place for reference in shown.references for place in _spots(shown, reference)}


def _end_spots(shown: Shown) -> set[Spot]:
    """Where labels are listed only the end counts, and only for a label that is repeated there: in a list of options
    the right one may be the last."""
    if not _lists(shown):
        return _own_spots(shown)
    again = [one for one in shown.references if len(_places(shown.prompt, one)) > 1]
    ends = (Side.END, Side.INSIDE_THE_END)
    return {place for one in again for place in _spots(shown, one) if place.side in ends}


def _spots(shown: Shown, reference: str) -> Iterator[Spot]:
    """The position of the reference in a form that can be compared with other prompts. A place inside a longer text of
    the row is the row's business (a form has its fields in the same places), but where the prompt ends with it."""
    prompt = shown.prompt
    for start, end in _places(prompt, reference):
        before, behind = prompt[max(start - BESIDE, 0) : start], prompt[end : end + BESIDE]
        inside = _inside(shown.own, prompt, start, end)
        if not inside and before.strip():
            yield Spot(Side.BEHIND, before)
        if not inside and behind.strip():
            yield Spot(Side.BEFORE, behind)
        if not inside and start == 0:
            yield Spot(Side.BEGINNING)
        if len(prompt) - end <= 10 * BESIDE:
            behind = prompt[end:]
            yield Spot(Side.INSIDE_THE_END, f"{before} … {behind}") if inside else Spot(Side.END, behind)


def _inside(own: Sequence[str], prompt: str, start: int, end: int) -> bool:
    """Whether these characters of the prompt belong to a longer text of the row, or to a part of one."""
    reference = prompt[start:end]
    for text in own:
        at = text.find(reference) if len(text) > end - start else -1
        while at >= 0:
            begin = start - at
            whole = begin >= 0 and prompt.startswith(text, begin)
            part = prompt[max(start - BESIDE, 0) : end + BESIDE] in text
            if whole or part:
                return True
            at = text.find(reference, at + 1)
    return False


def _anyones(held: Sequence[Shown], place: Spot) -> bool:
    """Whether another item's reference occurs there about as often: then the position does not distinguish them."""
    different = list(dict.fromkeys(each.references for each in held))
    count = 0
    for number, each in enumerate(held):
        others = (different[(number + step) % len(different)] for step in range(len(different)))
        other = next((one for one in others if not set(one) & set(each.references)), ())
        count += any(place in _spots(each, one) for one in other)
    return count > OTHERS * len(held)


# -- long references


def _word_for_word(shown: Sequence[Shown], of: int) -> Leak | None:
    """Nearly every prompt contains its reference, which is too long to occur by chance."""
    found = [
        each
        for each in shown
        if any(len(words_of(one)) >= GRAM and _places(each.prompt, one) for one in each.references)
    ]
    if len(found) < NEARLY * of or len({each.references for each in found}) < 2:
        return None
    return _leak(found, of, f"word for word ({GRAM} words or more)")
