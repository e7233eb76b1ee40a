"""Perplexity and divergence, document by document. The document is the unit: tokens of one document are correlated."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.row import Likelihood, Metric, TokenFigure, TokenMean, TokenValues
from harness.metrics.table import METRICS, computed_by, likelihood, of_kind
from harness.records.columns import Floats, Indices
from harness.records.items import DocumentScore
from harness.records.measures import DivergentTokens, Histogram
from harness.samples.divergent_tokens import most_divergent
from harness.samples.pairs import Pairs

KL_EDGES = tuple(10.0**exponent for exponent in np.arange(-6, 1.51, 0.25))
"""Edges of the KL histogram in nats, four a decade."""


def divergence_field(metric: str) -> str | None:
    """The field of `DocumentScore` that a divergence cannot do without; None for another metric."""
    row = METRICS.get(metric)
    return row.computed.needs if row is not None and isinstance(row.computed, TokenFigure) else None


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Of the candidate's distributions from the baseline's. `sums`: [G] each; `values`: [positions], document order."""

    sums: Mapping[str, Floats]
    """Field of `DocumentScore` to its sums over each document's tokens: those that a metric reads."""
    values: Floats
    """KL(baseline || candidate) of every scored token."""
    lengths: tuple[int, ...]
    delta_p: Floats | None = None
    """Δp of every scored token; None where a document's record is from before it was kept. Then `sums` lacks `ear`."""

    def of(self, field: TokenValues) -> Floats:
        """What is stored of every scored token. Raises KeyError where it was not measured."""
        found = {"kl_values": self.values, "delta_p_values": self.delta_p}[field]
        if found is None:
            raise KeyError(field)
        return found

    def has(self, metric: str) -> bool:
        """Whether what the metric needs was measured of every document."""
        field = divergence_field(metric)
        return field in self.sums or (self.delta_p is not None if field == "delta_p_values" else field == "kl_values")


@dataclass(frozen=True, kw_only=True)
class DocumentPairs:
    """Both variants' likelihoods of the same documents, [G], natural logarithms."""

    task: str
    baseline_nll: Floats
    candidate_nll: Floats
    tokens: Floats
    bytes: Floats
    words: Floats | None = None
    """None where the run did not count them."""
    slices: Mapping[str, Indices]
    """`field=value` to the documents in it."""
    divergence: Divergence | None
    failed: tuple[str, ...]
    """Documents to which the candidate gave no finite likelihood; they are not in the arrays."""
    baseline_failed: tuple[str, ...]
    slice_failed: Mapping[str, tuple[str, ...]]
    slice_baseline_failed: Mapping[str, tuple[str, ...]]
    """`failed` and `baseline_failed` by slice, where there are any."""
    divergent: DivergentTokens | None = None
    """The most divergent tokens, without their texts; None where nothing diverges or nothing was measured."""

    @property
    def count(self) -> int:
        """Documents in the arrays."""
        return self.tokens.size

    @property
    def likelihoods(self) -> tuple[Metric, ...]:
        """The metrics of likelihoods whose weights are known."""
        return tuple(row for row in of_kind("perplexity") if self._weights(likelihood(row.name)) is not None)

    def weights(self, way: Likelihood) -> Floats:
        """The weights of a likelihood, [G]. Raises ValueError where the run did not count them."""
        found = self._weights(way)
        if found is None:
            raise ValueError(f"{self.task}: no {way.weights} were counted")
        return found

    def _weights(self, way: Likelihood) -> Floats | None:
        return per_unit(way, self.tokens, self.bytes, self.words)


def per_unit(way: Likelihood, tokens: Floats, sizes: Floats, words: Floats | None) -> Floats | None:
    """What each document counts: its tokens, bytes or words, times ln 2 where nats become bits. None where they
    were not counted of every document."""
    counted = {"token": tokens, "byte": sizes, "word": words}[way.per]
    if counted is None or not (counted > 0).all():
        return None
    return counted if way.exponential else counted * math.log(2)


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
    places, divergence = pairs.places[np.asarray(kept, dtype=np.int64)], _divergence(rights)
    return DocumentPairs(
        task=task,
        baseline_nll=np.asarray([left.nll for left in lefts], dtype=np.float64),
        candidate_nll=np.asarray([right.nll for right in rights], dtype=np.float64),
        tokens=np.asarray([left.tokens for left in lefts], dtype=np.float64),
        bytes=pairs.plan.bytes[places],
        words=None if pairs.plan.words is None else pairs.plan.words[places],
        slices={name: place[members][place[members] >= 0] for name, members in pairs.slices.items()},
        divergence=divergence,
        divergent=None
        if divergence is None
        else _divergent(task, divergence, lambda document: pairs.name(kept[document])),
        failed=tuple(map(pairs.name, failed)),
        baseline_failed=tuple(map(pairs.name, baseline_failed)),
        slice_failed=_by_slice(pairs, failed),
        slice_baseline_failed=_by_slice(pairs, baseline_failed),
    )


def _divergent(task: str, divergence: Divergence, name: Callable[[int], str]) -> DivergentTokens | None:
    return most_divergent(task, divergence.values, divergence.lengths, divergence.delta_p, name)


def _by_slice(pairs: Pairs, some: Sequence[int]) -> dict[str, tuple[str, ...]]:
    found = {name: np.intersect1d(members, some) for name, members in pairs.slices.items()} if some else {}
    return {name: tuple(map(pairs.name, inside.tolist())) for name, inside in found.items() if inside.size}


def _divergence(documents: Sequence[DocumentScore]) -> Divergence | None:
    if not documents or any(document.kl is None or document.kl_values is None for document in documents):
        return None
    values = [decode_values(document.kl_values or "") for document in documents]
    fields = [each.field for each in computed_by(TokenMean).values() if each.field is not None]
    sums = {name: [getattr(each, name) for each in documents] for name in fields}
    moved = [each.delta_p_values for each in documents if each.delta_p_values is not None]
    return Divergence(
        sums={name: np.asarray(each, dtype=np.float64) for name, each in sums.items() if None not in each},
        values=np.concatenate(values),
        lengths=tuple(len(each) for each in values),
        delta_p=np.concatenate([decode_values(each, "<f2") for each in moved]) if len(moved) == len(values) else None,
    )


def decode_values(text: str, kind: str = "<f4") -> Floats:
    """Per-token values from their stored form (base64, little-endian)."""
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(np.float64)


def below_by_document(
    divergence: Divergence, threshold: float, field: TokenValues = "kl_values", *, above: bool = False
) -> Floats:
    """How many positions of each document have a value <= threshold, [G]; or >= threshold."""
    values = divergence.of(field)
    return _by_document(divergence, values >= threshold if above else values <= threshold)


def sums_of(divergence: Divergence, mean: TokenMean) -> Floats:
    """What a mean over tokens averages, summed over each document, [G]."""
    if mean.per_token is not None:
        return _by_document(divergence, mean.per_token(divergence.values))
    return divergence.sums[mean.field or ""]


def _by_document(divergence: Divergence, values: Floats | NDArray[np.bool_]) -> Floats:
    counted = np.concatenate([[0], np.cumsum(values)])
    by_document: Floats = np.diff(counted[np.concatenate([[0], np.cumsum(divergence.lengths)])]).astype(np.float64)
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
