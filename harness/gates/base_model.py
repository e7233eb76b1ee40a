"""The model before fine-tuning: what the verdict says of it, and when nothing can be said of what is retained."""

from __future__ import annotations

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.forms.base import Judgement
from harness.gates.quantized_share import same_weights
from harness.metrics.table import lookup
from harness.records.measures import Retained
from harness.records.verdict import BaseModelFacts
from harness.samples.base_pairs import ThreeWay, retained_measure
from harness.suite.variant_model import Base


def base_trouble(comparison: Comparison) -> Judgement | None:
    """Why the retained gain is undefined for every task; None where nothing prevents it.

    INCONCLUSIVE where the base was not available, because a later run may have it; INVALID where this fine-tuning
    cannot be measured from it.
    """
    base = comparison.run.base
    if base is None:
        return Judgement.none("this run has no base model; run the suite again")
    if base.failure is not None:
        return Judgement.none(f"the base model could not be run: {base.failure}")
    if (differs := base.token_disagreement) is not None:
        return Judgement.invalid(
            f"the base model's tokenizer disagrees with the baseline's first at item {differs.item!r} of "
            f"{differs.task}: {differs.text[:80]!r} is {list(differs.baseline_ids[:8])} for the baseline and "
            f"{list(differs.variant_ids[:8])} for the base, so the two cannot be compared item by item"
        )
    if base.facts is not None and base.facts.non_finite:
        return Judgement.invalid(f"the base model's weights hold NaN or infinity: {', '.join(base.facts.non_finite)}")
    fine_tuned = comparison.run.variants[comparison.run.baseline].facts
    if base.facts is not None and fine_tuned is not None and same_weights(base.facts, fine_tuned):
        return Judgement.invalid(
            "the base model's weights equal the fine-tuned model's: nothing was fine-tuned, or `base` names the "
            "wrong model"
        )
    return None


def base_facts(comparison: Comparison, named: Base | None) -> BaseModelFacts | None:
    """The verdict's entry on the base; None where neither suite nor run has one."""
    base = comparison.run.base
    if base is None and named is None:
        return None
    trouble = base_trouble(comparison)
    return BaseModelFacts(
        model="" if named is None else "the adapter's base" if named.path == "auto" else named.path,
        facts=base.facts if base is not None else None,
        note=str(trouble.reason) if trouble is not None else None,
        log=base.log if base is not None else None,
    )


def unsound(three_way: ThreeWay) -> str | None:
    """Items on which base or baseline failed, so that a share of the rest misleads."""
    if not three_way.failed:
        return None
    shown = ", ".join(three_way.failed[:3])
    return (
        f"the base model or the baseline gave no finite answer to {len(three_way.failed)} of "
        f"{len(three_way.failed) + len(three_way.candidate_failed) + three_way.count} items (first {shown})"
    )


def retained_measures(comparison: Comparison, candidate: CandidateComparison, *, alpha: float) -> tuple[Retained, ...]:
    """What the candidate keeps on every task and metric, gated or not."""
    trouble = base_trouble(comparison)
    rows = []
    for (_, name), three_way in candidate.paired.three_ways.items():
        known = lookup(name)
        note = str(trouble.reason) if trouble is not None else unsound(three_way)
        if note is None and three_way.candidate_failed:
            note = f"no finite likelihood for {len(three_way.candidate_failed)} documents"
        rows.append(retained_measure(three_way, unit=known.unit if known is not None else "", alpha=alpha, note=note))
    return tuple(rows)
