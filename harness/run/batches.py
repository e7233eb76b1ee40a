"""Under which limits the chunks of an evaluation were batched. A resumed run may have another budget than the one that
began; the answers are used all the same, and which chunks had which limits is kept and said."""

from __future__ import annotations

from harness.engines.seam import Facts
from harness.records.models import BatchLimits, EvaluationManifest
from harness.records.store import Store


class BatchLog:
    """The limits of one evaluation's chunks so far."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self.parts = store.batches(key)

    def asked(self, chunk: int, facts: Facts) -> str | None:
        """Keep the limits of an engine that was asked chunk number `chunk`, counted from 0, before its answers are
        stored. Returns what to say where the chunk before it had others."""
        found = _limits(chunk, facts)
        if found is None:
            return None
        before = tuple(part for part in self.parts if part.chunk < chunk)
        if before and before[-1].same(found):
            if before != self.parts:
                self._keep(before)
            return None
        self._keep((*before, found))
        if not before:
            return None
        return f"from batch {chunk + 1} on with {found.words}; before with {before[-1].words}"

    def _keep(self, parts: tuple[BatchLimits, ...]) -> None:
        self.parts = parts
        self._store.save_batches(self._key, parts)


def mixed_note(manifest: EvaluationManifest) -> str | None:
    """A sentence for reports where an evaluation's chunks had unlike limits; None where all had the same."""
    if len(manifest.batches) < 2:
        return None
    parts = "; ".join(f"from batch {part.chunk + 1} on {part.words}" for part in manifest.batches)
    return f"{manifest.task} was asked in sessions of unlike memory budgets: {parts}"


def _limits(chunk: int, facts: Facts) -> BatchLimits | None:
    if facts.pass_tokens is None or facts.cache_tokens is None or facts.memory_budget is None:
        return None
    return BatchLimits(
        chunk=chunk,
        pass_tokens=facts.pass_tokens,
        cache_tokens=facts.cache_tokens,
        memory_budget=facts.memory_budget,
    )
