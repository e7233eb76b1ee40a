"""Whatever a form judges it can derive: on every edge the steps end in the bounds of the estimate."""

from __future__ import annotations

from typing import Any

import pytest

from harness.derivations.shapes import Derivation
from harness.forms import FORMS
from harness.forms.base import Judgement, Terms
from harness.metrics.table import METRICS
from harness.samples.sample import DocumentSample
from tests.forms.handmade import judged
from tests.forms.test_edges import DOCUMENT_FORMS, DOCUMENTS, EDGES, PAIRED_FORMS


def ends_in_its_bounds(derived: Derivation, judgement: Judgement, *, turned: bool) -> None:
    estimate = judgement.estimate
    assert estimate is not None
    assert derived.method
    values = {step.symbol: step.value for section in derived.sections for step in section.steps}
    if not {"L", "U"} <= values.keys() or None in (values["L"], values["U"], estimate.lower, estimate.upper):
        return
    bounds = (estimate.lower, estimate.upper)
    if turned:
        bounds = (1 - (estimate.upper or 0), 1 - (estimate.lower or 0))
    assert (values["L"], values["U"]) == pytest.approx(bounds, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("limit", PAIRED_FORMS, ids=lambda limit: next(iter(limit)))
@pytest.mark.parametrize("edge", EDGES)
def test_items(edge: str, limit: dict[str, float]) -> None:
    """Right or wrong, graded, over clusters, equal, one alone."""
    sample = EDGES[edge][0]
    ((key, value),) = limit.items()
    judgement = judged(limit, sample)
    if judgement.estimate is None:
        return
    derived = FORMS[key].derive(sample, Terms(limit=value, alpha=0.05))
    ends_in_its_bounds(derived, judgement, turned=bool(derived.notes))


@pytest.mark.parametrize("limit", DOCUMENT_FORMS, ids=lambda limit: limit["metric"])
@pytest.mark.parametrize("edge", DOCUMENTS)
def test_documents(edge: str, limit: dict[str, Any]) -> None:
    """Likelihoods and divergences."""
    pairs, metric = DOCUMENTS[edge][0], METRICS[limit["metric"]]
    judgement, key = judged(limit, pairs), next(key for key in limit if key in FORMS)
    if judgement.estimate is None:
        return
    sample = DocumentSample(metric=metric.name, kind=metric.kind, documents=pairs)
    derived = FORMS[key].derive(sample, Terms(limit=limit[key], alpha=0.05))
    ends_in_its_bounds(derived, judgement, turned=False)
