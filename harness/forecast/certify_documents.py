"""Perplexity and divergence gates before the run: only what earlier runs showed tells how much documents differ."""

from __future__ import annotations

import math

from harness.forecast.certificate import Asked, Basis, Certificate
from harness.metrics.row import TokenMaximum
from harness.metrics.table import lookup

FEW_DOCUMENTS = 20


def certify_documents(asked: Asked) -> Certificate:
    """The smallest rise that so many documents can show to be safe, where a run showed how they spread."""
    count, gate = len(asked.items), asked.gate
    row = asked.row("documents")
    metric = lookup(gate.metric)
    if metric is not None and isinstance(metric.computed, TokenMaximum):
        return row.but("; the largest value seen, exact", certifies="exact")
    if count < FEW_DOCUMENTS:
        return row.but(f"; under {FEW_DOCUMENTS} it can only be INCONCLUSIVE", possible=False, needs=FEW_DOCUMENTS)
    divergence = metric is not None and metric.kind == "divergence"
    known = asked.widest() if gate.form == "max_increase" or divergence else None
    if known is None:
        return row.but("; what they can certify is unknown until the first run")
    error, seen = known
    basis = Basis(what="spread seen", run=seen.run)
    if divergence:
        unit = metric.unit if metric is not None and metric.unit != "fraction" else ""
        words = f"{asked.reach * error:.2g} {unit}".strip()
        return row.but(f" certify to within {words} of the limit (80 % power, {basis})", certifies=words, basis=basis)
    certain, limit = math.expm1(asked.reach * error), math.log1p(gate.limit)
    needed = max(FEW_DOCUMENTS, math.ceil(count * (asked.reach * error / limit) ** 2))
    words = f"{100 * certain:.2g} %"
    says = f" certify a rise of {words} (80 % power, {basis}); the limit "
    enough = certain <= gate.limit
    says += f"is {100 * gate.limit:.3g} %" if enough else f"of {100 * gate.limit:.3g} % needs about {needed:,}"
    return row.but(says, certifies=words, needs=needed, basis=basis, enough=enough)
