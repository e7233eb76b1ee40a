"""The tokens of an evaluation that diverge most, in words: gathered chunk by chunk, so that a resumed evaluation knows
them too."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import TokenText
from harness.records.items import DocumentScore, ItemRecord
from harness.samples.divergent_tokens import MOST, highest
from harness.samples.documents import decode_values


class MostDivergent:
    """The tokens with the highest KL among the documents given so far."""

    def __init__(self, plan: TaskPlan) -> None:
        self._plan = plan
        self._found: list[tuple[float, int, int, tuple[int, int] | None]] = []
        """Negative KL, place of the document in the plan, place of the token in it, and the most likely tokens."""

    def add(self, indices: Sequence[int], records: Sequence[ItemRecord]) -> None:
        """The records of some documents of the plan."""
        for index, record in zip(indices, records, strict=True):
            document = record.document
            if document is not None and document.kl_values is not None:
                values, tops = decode_values(document.kl_values), tops_of(document)
                self._found += [
                    (-float(values[place]), index, place, tops.get(place)) for place in highest(values).tolist()
                ]
        self._found = sorted(self._found, key=lambda each: each[:3])[:MOST]

    def texts(self) -> tuple[TokenText, ...]:
        """In words, the highest KL first."""
        read = self._plan.token_texts
        found = []
        for _, index, place, tops in self._found if read is not None else ():
            assert read is not None
            before, text = read.context(index, place)
            baseline_top, top = (None, None) if tops is None else map(read.token, tops)
            item = self._plan.items[index].item
            found.append(
                TokenText(item=item, place=place, before=before, text=text, baseline_top=baseline_top, top=top)
            )
        return tuple(found)


def tops_of(document: DocumentScore) -> dict[int, tuple[int, int]]:
    """Place of a token to the most likely tokens of baseline and variant there, where they were kept."""
    numbers = np.frombuffer(base64.b64decode(document.tops or ""), dtype="<u4").reshape(-1, 3).tolist()
    return {place: (baseline, own) for place, baseline, own in numbers}
