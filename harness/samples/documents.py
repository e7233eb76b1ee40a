"""Perplexity and divergence, document by document. The document is the unit: tokens of one text lean together."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.records.columns import Floats, Indices
from harness.records.items import DocumentScore
from harness.records.measures import Histogram
from harness.samples.pairs import Pairs

KL_EDGES = tuple(10.0**exponent for exponent in np.arange(-6, 1.51, 0.25))
"""Edges of the KL histogram in nats, four a decade."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """KL(baseline || candidate) per document. All arrays [G]; `values` [positions] in document order."""

    kl: Floats
    top1_agree: Floats
    delta_p: Floats
    delta_p_squared: Floats
    values: Floats
    lengths: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class DocumentPairs:
    """Both variants' likelihoods of the same documents, [G], natural logarithms."""

    task: str
    baseline_nll: Floats
    candidate_nll: Floats
    tokens: Floats
    bytes: Floats
    slices: Mapping[str, Indices]
    """`field=value` to the documents in it."""
    divergence: Divergence | None
    failed: tuple[str, ...]
    """Documents to which the candidate gave no finite likelihood; they are not in the arrays."""
    baseline_failed: tuple[str, ...]
    slice_failed: Mapping[str, tuple[str, ...]]
    slice_baseline_failed: Mapping[str, tuple[str, ...]]
    """`failed` and `baseline_failed` by slice, where there are any."""

    @property
    def count(self) -> int:
        """Documents in the arrays."""
        return self.tokens.size


def document_pairs(task: str, pairs: Pairs) -> DocumentPairs:
    """Arrays over the documents that both variants scored; the others are named."""
    failed: list[int] = []
    baseline_failed: list[int] = []
    kept: list[int] = []
    lefts, rights = [], []
    place = np.full(pairs.places.size, -1, dtype=np.int64)
    documents: list[list[DocumentScore | None]] = [
        pairs.baseline.documents.tolist(),
        pairs.candidate.documents.tolist(),
    ]
    for pair, (left, right) in enumerate(zip(*documents, strict=True)):
        if left is None or left.nll is None:
            baseline_failed.append(pair)
        elif right is None or right.nll is None:
            failed.append(pair)
        else:
            place[pair] = len(kept)
            kept.append(pair)
            lefts.append(left)
            rights.append(right)
    places = pairs.places[np.asarray(kept, dtype=np.int64)]
    return DocumentPairs(
        task=task,
        baseline_nll=np.asarray([left.nll for left in lefts], dtype=np.float64),
        candidate_nll=np.asarray([right.nll for right in rights], dtype=np.float64),
        tokens=np.asarray([left.tokens for left in lefts], dtype=np.float64),
        bytes=pairs.plan.bytes[places],
        slices={name: place[members][place[members] >= 0] for name, members in pairs.slices.items()},
        divergence=_divergence(rights),
        failed=tuple(map(pairs.name, failed)),
        baseline_failed=tuple(map(pairs.name, baseline_failed)),
        slice_failed=_by_slice(pairs, failed),
        slice_baseline_failed=_by_slice(pairs, baseline_failed),
    )


def _by_slice(pairs: Pairs, some: Sequence[int]) -> dict[str, tuple[str, ...]]:
    found = {name: np.intersect1d(members, some) for name, members in pairs.slices.items()} if some else {}
    return {name: tuple(map(pairs.name, inside.tolist())) for name, inside in found.items() if inside.size}


def _divergence(documents: Sequence[DocumentScore]) -> Divergence | None:
    if not documents or any(document.kl is None or document.kl_values is None for document in documents):
        return None
    values = [decode_values(document.kl_values or "") for document in documents]
    return Divergence(
        kl=np.asarray([document.kl for document in documents], dtype=np.float64),
        top1_agree=np.asarray([document.top1_agree for document in documents], dtype=np.float64),
        delta_p=np.asarray([document.delta_p for document in documents], dtype=np.float64),
        delta_p_squared=np.asarray([document.delta_p_squared for document in documents], dtype=np.float64),
        values=np.concatenate(values),
        lengths=tuple(len(each) for each in values),
    )


def decode_values(text: str) -> Floats:
    """Per-token values from their stored form (base64 of little-endian float32)."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)


def below_by_document(divergence: Divergence, threshold: float) -> Floats:
    """How many positions of each document have KL <= threshold, [G]."""
    ends = np.cumsum(divergence.lengths)
    counted = np.concatenate([[0], np.cumsum(divergence.values <= threshold)])
    by_document: Floats = np.diff(counted[np.concatenate([[0], ends])]).astype(np.float64)
    return by_document


def kl_histogram(task: str, divergence: Divergence) -> Histogram:
    """Counts of KL per scored token between logarithmic edges."""
    edges = np.asarray(KL_EDGES)
    values = divergence.values
    counts, _ = np.histogram(values, bins=edges)
    return Histogram(
        task=task,
        edges=KL_EDGES,
        counts=tuple(int(count) for count in counts),
        below=int((values < edges[0]).sum()),
        above=int((values > edges[-1]).sum()),
    )
