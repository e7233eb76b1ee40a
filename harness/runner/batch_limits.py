"""Under which limits the chunks of an evaluation were batched. A resumed run may have another budget than the one that
began; the answers are used all the same, and which chunks had which limits is recorded and reported."""

from __future__ import annotations

from collections.abc import Sequence

from harness.engines.protocol import Facts
from harness.records.evaluation_manifest import BatchLimits, EvaluationManifest
from harness.records.store import Store


class BatchLog:
    """The limits of one evaluation's chunks so far, and what memory allowed."""

    def __init__(self, store: Store, key: str) -> None:
        self._store, self._key = store, key
        self.parts = store.batches(key)
        self.tokens = store.batch_tokens(key)
        """Padded tokens of the largest batch, where memory ran out with a larger one."""

    def allowed(self, tokens: int | None) -> bool:
        """Record what memory allows, so that a later run need not find it again. Returns whether that is new."""
        if tokens is None or tokens == self.tokens:
            return False
        self.tokens = tokens
        self._store.save_batch_tokens(self._key, tokens)
        return True

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


def batch_notes(manifests: Sequence[EvaluationManifest]) -> tuple[str, ...]:
    """For reports: evaluations whose chunks had unlike limits, and the smallest batch that memory allowed in any."""
    notes = [_mixed(manifest) for manifest in manifests if len(manifest.batches) > 1]
    smallest = min((each.batch_tokens for each in manifests if each.batch_tokens is not None), default=None)
    return (*notes, *(() if smallest is None else (f"memory ran out: batches of at most {smallest:,} tokens",)))


def _mixed(manifest: EvaluationManifest) -> str:
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
