"""Is the comparison itself sound? Each check says what it looked at; one that blocks makes the candidate INVALID."""

from __future__ import annotations

from collections.abc import Mapping

from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.task_sides import Paired
from harness.gates.imported_trust import differing_set_up, trust_check
from harness.gates.quantized_share import kinds_of, other_weights_check, quantized_check
from harness.gates.stopped_tasks import stop_check
from harness.metrics.table import is_derived
from harness.records.evaluation_manifest import EngineFacts
from harness.records.findings import Check
from harness.records.run_manifest import GRAM, SHORT_GRAM, Leak, VariantRun
from harness.suite.variant_model import Variant

BROKEN = 0.5
"""A candidate without a finite answer to so many items is no model that was measured."""


def leak_words(task: str, leak: Leak) -> str:
    """References in their own prompts: how many, where, and which."""
    named = ", ".join(map(repr, leak.first)) + (", …" if leak.items > len(leak.first) else "")
    count = f"{leak.items:,} of {leak.of:,} items"
    return f"{task}: the reference occurs in its own prompt for {count} ({named}), {leak.where}"


def baseline_checks(comparison: Comparison) -> tuple[Check, ...]:
    """What must hold of the baseline for any comparison to mean something."""
    run = comparison.run.variants[comparison.run.baseline]
    checks = [*_engine_checks(run), *_failure_checks(comparison.baseline, baseline=True)]
    if run.facts is not None and run.facts.imported is None:
        checks.append(
            Check(
                name="full precision",
                held=run.facts.quantized_modules == 0,
                blocks=True,
                says="the baseline holds no quantized module"
                if run.facts.quantized_modules == 0
                else f"the baseline itself holds {run.facts.quantized_modules} quantized modules "
                f"({kinds_of(run.facts)}); it must be the full-precision model",
            )
        )
    return tuple(checks)


def candidate_checks(
    comparison: Comparison,
    candidate: CandidateComparison,
    spec: Variant | None,
    changed: Mapping[str, str],
) -> tuple[Check, ...]:
    """Every check of one candidate. `changed`: task to what changed since the run was made."""
    run = candidate.run
    checks = [*_engine_checks(run)]
    baseline_facts = comparison.run.variants[comparison.run.baseline].facts
    if run.facts is not None and run.facts.imported is not None:
        checks.extend(differing_set_up(run.facts.imported, baseline_facts))
    else:
        checks.extend(_weights_and_tokens(run, spec, baseline_facts))
    checks.extend(_calibration(run))
    checks.extend(_pairing(comparison, candidate))
    checks.extend(_failure_checks(candidate.paired, baseline=False))
    checks.extend(
        Check(name="unchanged items", held=False, blocks=True, says=f"{task}: {what}") for task, what in changed.items()
    )
    checks.extend(_leaks(comparison))
    too_long = {task: facts.too_long for task, facts in comparison.run.tasks.items() if facts.too_long}
    checks.extend(
        Check(
            name="prompt length",
            held=False,
            blocks=count == comparison.run.tasks[task].items,
            says=f"{task}: {count} of {comparison.run.tasks[task].items} items are longer than the model's "
            "context; they were skipped for every variant and count in no number here",
        )
        for task, count in too_long.items()
    )
    return tuple(checks)


def _weights_and_tokens(run: VariantRun, spec: Variant | None, baseline: EngineFacts | None) -> list[Check]:
    """Of a variant that was run here."""
    checks = [] if run.facts is None else [quantized_check(run, run.facts, spec, baseline)]
    if run.facts is not None and baseline is not None:
        checks.append(other_weights_check(run, run.facts, baseline))
        checks.extend(_vocabulary(run.facts, baseline))
    return [*checks, _same_tokens(run)]


def _leaks(comparison: Comparison) -> list[Check]:
    """Tasks whose prompts give the answers away: they measure copying."""
    return [
        Check(
            name="answers apart",
            held=False,
            blocks=facts.leak.matters,
            says=f"{leak_words(task, facts.leak)}; take it out, or write reference_in_prompt: true where it belongs",
        )
        for task, facts in comparison.run.tasks.items()
        if facts.leak is not None
    ]


def _engine_checks(run: VariantRun) -> list[Check]:
    if run.failure is not None:
        return [Check(name="ran", held=False, blocks=True, says=run.failure)]
    if run.facts is None:
        return [Check(name="ran", held=False, blocks=True, says="the variant was not run")]
    if run.facts.imported is not None:
        return [trust_check(run.facts.imported)]
    names = run.facts.non_finite
    return [
        Check(
            name="finite weights",
            held=not names,
            blocks=True,
            says="every loaded weight is a finite number"
            if not names
            else f"{len(names)} loaded tensors hold NaN or infinity: {', '.join(names[:3])}"
            + (" …" if len(names) > 3 else ""),
        )
    ]


def _calibration(run: VariantRun) -> list[Check]:
    """Whether the variant was calibrated on evaluation items, and how similar the two are."""
    checks = []
    for each in run.calibration:
        alike = (
            f"word distributions {each.distance:.2f} apart (0 to 1), median {each.calibration_words:.0f} words a text "
            f"against {each.evaluation_words:.0f}"
        )
        if each.exact:
            shown = ", ".join(each.exact_items[:3])
            says = (
                f"{each.task}: {each.exact} of {each.items} items occur verbatim in the calibration data "
                f"({shown}); calibrate on other text"
            )
            checks.append(Check(name="calibration apart", held=False, blocks=True, says=says))
        elif each.copied:
            says = (
                f"{each.task}: {each.copied} of {each.items} items share {GRAM} words in a row ({SHORT_GRAM} for short "
                f"items) with the calibration data; {alike}"
            )
            checks.append(Check(name="calibration apart", held=False, blocks=False, says=says))
        else:
            says = f"{each.task}: no item is in the calibration data; {alike}"
            checks.append(Check(name="calibration apart", held=True, blocks=True, says=says))
    return checks


def _vocabulary(facts: EngineFacts, baseline: EngineFacts) -> list[Check]:
    """Output layers of two widths, of which the larger is padded."""
    own, other = facts.vocabulary, baseline.vocabulary
    if not own or not other or own == other:
        return []
    says = (
        f"its output has {own:,} tokens, the baseline's {other:,}: likelihoods run over each model's own, divergence "
        f"over the {min(own, other):,} that both have"
    )
    return [Check(name="one vocabulary", held=False, blocks=False, says=says)]


def _same_tokens(run: VariantRun) -> Check:
    differs = run.token_disagreement
    return Check(
        name="same tokens",
        held=differs is None,
        blocks=True,
        says="every variant was given the same token ids"
        if differs is None
        else f"its tokenizer disagrees with the baseline's first at item {differs.item!r} of {differs.task}: "
        f"{differs.text[:80]!r} is {list(differs.baseline_ids[:8])} there and "
        f"{list(differs.variant_ids[:8])} here",
    )


def _pairing(comparison: Comparison, candidate: CandidateComparison) -> list[Check]:
    checks = [Check(name="pairing", held=False, blocks=True, says=says) for says in candidate.paired.broken.values()]
    missing = [
        task for task in comparison.run.tasks if task not in candidate.run.answered and candidate.run.failure is None
    ]
    if candidate.run.stopped is not None:
        checks.append(stop_check(candidate.run.stopped, tuple(missing)))
        missing = []
    evaluated = [task for task in comparison.run.tasks if task in candidate.run.evaluations]
    if missing and candidate.run.token_disagreement is None:
        checks.append(Check(name="complete", held=False, blocks=True, says=f"not evaluated: {', '.join(missing)}"))
    if evaluated and not any(check.blocks for check in checks):
        items = sum(comparison.run.tasks[task].items for task in evaluated)
        checks.append(
            Check(
                name="pairing",
                held=True,
                blocks=True,
                says=f"all {items} planned items of {len(evaluated)} task{'s' * (len(evaluated) != 1)} are paired with "
                "the baseline's",
            )
        )
    return checks


def _failure_checks(paired: Paired, *, baseline: bool) -> list[Check]:
    """Failed answers. The baseline's make the comparison unsound; a candidate's count against it in the bound."""
    checks = []
    stored = ((key, metric) for key, metric in paired.metrics.items() if not is_derived(metric.metric))
    for (task, name), metric in stored:
        if baseline and metric.baseline_failed:
            checks.append(
                Check(
                    name="baseline answers",
                    held=False,
                    blocks=True,
                    says=f"{task}: the baseline failed on {len(metric.baseline_failed)} of {metric.count} "
                    f"items ({name}), first {metric.baseline_failed[0]!r}",
                )
            )
        if not baseline and metric.failed:
            every = metric.failed == metric.count
            broken = metric.failed >= BROKEN * metric.count
            checks.append(
                Check(
                    name="finite answers",
                    held=False,
                    blocks=broken,
                    says=f"{task}: {metric.failed} of {metric.count} answers gave no finite {name}"
                    + (
                        ""
                        if every
                        else "; so many say that the model is broken"
                        if broken
                        else "; each counts as wrong"
                    ),
                )
            )
    for task, documents in paired.documents.items():
        failed = documents.baseline_failed if baseline else documents.failed
        if failed:
            checks.append(
                Check(
                    name="baseline answers" if baseline else "finite answers",
                    held=False,
                    blocks=baseline or not documents.count,
                    says=f"{task}: no finite likelihood for {len(failed)} documents, first {failed[0]!r}",
                )
            )
    return checks
