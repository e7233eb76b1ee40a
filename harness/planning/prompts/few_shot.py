"""Few-shot examples that are never the item itself.

lm-eval leaves an item out of its own examples only where a task names the same split for both; where it falls back to
the items, or where a file of examples holds some, the answer would be in the prompt. Here the next example of the
pool takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.errors import Problem, SuiteError

Doc = Mapping[str, Any]
Same = Callable[[Doc, Doc], bool]


class Lazily(Sequence[Doc]):
    """Rows of a file of examples as documents, each made when it is asked for."""

    def __init__(self, rows: Sequence[Any], make: Callable[[Any], Doc]) -> None:
        self._rows, self._make = rows, make
        self._made: dict[int, Doc] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        if place not in self._made:
            self._made[place] = self._make(self._rows[place])
        return self._made[place]


class Apart:
    """An lm-eval sampler that knows which item the examples are for."""

    def __init__(self, inner: Any, same: Same, place: str, key: str) -> None:
        self._inner, self._same, self._place, self._key = inner, same, place, key
        self.item: Doc | None = None
        """Sets the item of the next draw."""
        self.replaced: list[Doc] = []
        """The items that were among their own examples."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sample(self, n: int, *args: Any, **kwargs: Any) -> Sequence[Doc]:
        """lm-eval's examples; another one for the item itself."""
        drawn: Sequence[Doc] = self._inner.sample(n, *args, **kwargs)
        item, self.item = self.item, None
        if item is None or not any(self._same(each, item) for each in drawn):
            return drawn
        kept = [each for each in drawn if not self._same(each, item)]
        for other in self._pool():
            if len(kept) == n:
                break
            if not self._same(other, item) and not any(other is each or other == each for each in kept):
                kept.append(other)
        if len(kept) < n:
            message = f"an item is among its own {n} examples, and there is no other example to take its place"
            raise SuiteError((Problem(place=self._place, key=self._key, message=message),))
        if not any(each is item for each in self.replaced):
            self.replaced.append(item)
        return kept

    def _pool(self) -> Iterable[Doc]:
        pool: Iterable[Doc] = self._inner.df
        return pool


def keep_apart(task: Any, *, place: str, key: str, same: Same | None = None) -> Apart | None:
    """Have a task's examples leave out the item they are for. `same`: whether an example is an item.

    None for a task without a sampler, which has no examples.
    """
    if getattr(task, "sampler", None) is None:
        return None
    apart = Apart(task.sampler, same or equal, place, key)
    whole = task.fewshot_context

    def fewshot_context(doc: Doc, *args: Any, **kwargs: Any) -> Any:
        apart.item = doc
        return whole(doc, *args, **kwargs)

    task.sampler, task.fewshot_context = apart, fewshot_context
    return apart


def equal(one: Doc, other: Doc) -> bool:
    """Documents of equal content."""
    try:
        return one is other or bool(one == other)
    except ValueError:  # arrays inside, which have no one answer
        return False
