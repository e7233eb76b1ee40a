"""Sanity checks: is a result too good, or too odd, to be true? Owns each rule's threshold; docs/judgement.md gives
reasons. A check blocks where a PASS would not reflect the candidate's quality; otherwise it is a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.comparison.answer_patterns import Behaviour, Marked
from harness.comparison.candidates import CandidateComparison, Comparison
from harness.comparison.lost_slices import MissingSlices
from harness.comparison.task_sides import Paired
from harness.gates.imported_trust import is_imported
from harness.metrics.answers import marks_options
from harness.metrics.table import is_derived, lookup, of_kind
from harness.notation import listed, percent, points
from harness.records.findings import Check
from harness.samples.measures import ANY_MARGIN, drop_of, increase_of
from harness.stats import mean_level, paired_drop

GAIN = 0.02
"""A gain whose lower bound is above 2 pp, or 2 % of perplexity, is more than quantization does."""
FEW_ITEMS = 20
"""Under this many items nothing is said about shares of answers."""
SAME = 0.05
"""One answer to all but this share of the items looks like a model that does not read them."""
SAME_RATIO = 4
"""... unless the baseline gives other answers less than this many times as often."""
RISE = 0.02
"""More answers cut off or blank than the baseline's, by this share and beyond chance, are named."""
MANY, NEARLY_ALL = 0.2, 0.9
"""Share of answers cut off of which none is right: named; so many that the metric measures nothing else."""
FEW_VARIED = 5
"""So many items on which only the baseline's several answers differ are no chance."""
BLANK = 0.5
"""A baseline that is silent on half of its items is named."""


def plausible_baseline(comparison: Comparison, *, alpha: float) -> tuple[Check, ...]:
    """The baseline's own oddities: at chance, always the same answer, cut off, blank; slices that are missing."""
    paired, facts = comparison.baseline, comparison.run.variants[comparison.run.baseline].facts
    return (
        *_checks("above chance", _at_chance(paired, alpha=alpha), ""),
        *_checks("options apart", _ties(paired, baseline=True, imported=is_imported(facts)), ""),
        *_checks("varied answers", _baseline_same(paired.behaviours.values()), ""),
        *_checks("answers end", _cut(paired.behaviours.values(), alpha=alpha), ""),
        *_checks("answers said", _baseline_blank(paired.behaviours.values()), ""),
        *_checks("slices kept", _missing(comparison.missing_slices), ""),
    )


def plausible_candidate(candidate: CandidateComparison, *, alpha: float) -> tuple[Check, ...]:
    """Signs that a candidate's result is too good to be true, or that the model is broken."""
    paired, claims = candidate.paired, candidate.run.must_be_quantized
    if not paired.behaviours:
        return ()
    behaviours, imported = paired.behaviours.values(), is_imported(candidate.run.facts)
    return (
        *_checks(
            "plausible gain",
            _gains(paired, alpha=alpha),
            f"no gain over full precision beyond {points(GAIN)}, or {percent(GAIN)} of perplexity",
        ),
        *_checks("other outputs", _identical(paired.behaviours, claims=claims), "its outputs are not the baseline's"),
        *_checks("options apart", _ties(paired, baseline=False, imported=imported), ""),
        *_checks("varied answers", _same_answer(behaviours), "it does not answer always the same"),
        *_checks("answers end", _cut(behaviours, alpha=alpha), _no_more_cut(behaviours)),
        *_checks("answers said", _blank(behaviours, alpha=alpha), "it is silent no more often than the baseline"),
        *_checks("answers drawn", _undrawn(behaviours), ""),
    )


Found = Iterator[tuple[str, bool]]
"""A failed check, and whether it blocks."""


def _checks(name: str, found: Iterable[tuple[str, bool]], holds: str) -> list[Check]:
    """A check for each thing found; one that held where there is something to say."""
    checks = [Check(name=name, held=False, blocks=blocks, says=says) for says, blocks in found]
    return checks or ([Check(name=name, held=True, blocks=False, says=holds)] if holds else [])


def _gains(paired: Paired, *, alpha: float) -> Found:
    """Gains over full precision that are certain and large, the largest of each task."""
    largest: dict[str, tuple[float, str]] = {}
    for (task, name), metric in paired.metrics.items():
        known = lookup(name)
        if (
            not metric.count
            or is_derived(name)
            or not (metric.kind == "binary" or (known is not None and known.unit == "fraction"))
        ):
            continue
        drop = drop_of(metric, margin=ANY_MARGIN, alpha=alpha)
        if drop.upper < -GAIN:
            says = f"{name} is up {points(-drop.drop)}, at least {points(-drop.upper)}"
            largest[task] = max(largest.get(task, (0.0, "")), (-drop.drop, says))
    for task, documents in paired.documents.items():
        if documents.count:
            measure = of_kind("perplexity")[0].name
            rise = increase_of(documents, measure, alpha=alpha)
            if rise.reliable and rise.upper is not None and rise.upper < -GAIN:
                says = f"{measure} is down {percent(-rise.value)}, at least {percent(-rise.upper)}"
                largest[task] = (-rise.value, says)
    for task, (_, says) in largest.items():
        yield (
            f"{task}: {says}. Quantization does not make a model better than full precision: was it calibrated on "
            "these items, is it another model, or does the baseline run wrongly (template, precision)?",
            False,
        )


def _identical(behaviours: Mapping[str, Behaviour], *, claims: bool) -> Found:
    """Tasks on which every output is the baseline's to the last bit."""
    numeric = [each for each in behaviours.values() if each.kind != "generate"]
    same = [each for each in numeric if each.equal == each.n]
    for each in same:
        what = "log-likelihood of every option" if each.kind == "choice" else "likelihood of every document"
        why = (
            "; a quantized model's differ in their last digits at least, so this is the baseline's own computation"
            if claims
            else ": the same computation"
        )
        yield f"{each.task}: the {what} equals the baseline's exactly, on all {each.n:,} items{why}", claims
    if not numeric:
        for each in behaviours.values():
            if each.equal == each.n and each.n >= FEW_ITEMS:
                yield (
                    f"{each.task}: all {each.n:,} texts equal the baseline's. At 8 bits that can be; a choice or "
                    "perplexity task would show whether the numbers differ",
                    False,
                )


def _same_answer(behaviours: Iterable[Behaviour]) -> Found:
    """Tasks on which the candidate always gives the same answer and the baseline does not."""
    for each in behaviours:
        if each.usual is None or each.baseline_usual is None or each.n < FEW_ITEMS:
            continue
        others = 1 - each.usual.count / each.n
        baseline_others = 1 - each.baseline_usual.count / each.n
        if others <= SAME and baseline_others >= max(SAME, SAME_RATIO * others):
            yield (
                f"{each.task}: {each.usual.count:,} of {each.n:,} answers are the same, {each.usual.says}; the "
                f"baseline's most frequent answer comes {each.baseline_usual.count:,} times",
                False,
            )


def _ties(paired: Paired, *, baseline: bool, imported: bool) -> Found:
    """Choice tasks with items whose best options are exactly equal, by metric."""
    found: dict[str, list[str]] = {}
    for (task, name), metric in paired.metrics.items():
        given = metric.baseline_given if baseline else metric.candidate_given
        if given is not None and marks_options(name) and (count := int(given.tied.sum())):
            found.setdefault(task, []).append(f"{count:,} of {metric.count:,} ({name})")
    counts = "each counts as the imported files say" if imported else "each counts as one over the number tied"
    for task, parts in found.items():
        yield (
            f"{task}: items whose best options tie: {', '.join(parts)}; {counts}",
            False,
        )


def _baseline_same(behaviours: Iterable[Behaviour]) -> Found:
    for each in behaviours:
        if each.usual is not None and each.n >= FEW_ITEMS and each.usual.count == each.n:
            yield f"{each.task}: the baseline gives all {each.n:,} items the same answer, {each.usual.says}", False


def _no_more_cut(behaviours: Iterable[Behaviour]) -> str:
    """Nothing where it is not known how the answers ended."""
    unknown = any(each.kind == "generate" and each.cut is None for each in behaviours)
    return "" if unknown else "its answers are cut off no more than the baseline's"


def _cut(behaviours: Iterable[Behaviour], *, alpha: float) -> Found:
    """Answers that ended at the token limit: more than the baseline's, or never right."""
    advice = "raise max_new_tokens, name stop strings (until), or look whether the export knows its end-of-text token"
    for each in behaviours:
        if each.cut is None or each.n < FEW_ITEMS:
            continue
        share = each.cut.candidate / each.n
        rights = each.cut_right or {}
        never = [name for name, right in rights.items() if right == 0]
        says = f"{each.task}: {each.cut.candidate:,} of {each.n:,} answers end at the token limit"
        if share >= NEARLY_ALL and never:
            yield f"{says} and none of them has any {' or '.join(never)}, which needs an end; {advice}", True
        elif _rises(each.cut, each.n, alpha=alpha):
            yield f"{says}, the baseline's {each.cut.baseline:,}; {advice}", False
        elif share >= MANY and never:
            yield f"{says} and none of them has any {' or '.join(never)}; {advice}", False


def _blank(behaviours: Iterable[Behaviour], *, alpha: float) -> Found:
    for each in behaviours:
        if each.blank is not None and each.n >= FEW_ITEMS and _rises(each.blank, each.n, alpha=alpha):
            yield (
                f"{each.task}: {each.blank.candidate:,} of {each.n:,} answers are empty, the baseline's "
                f"{each.blank.baseline:,}; they are scored as they are",
                False,
            )


def _undrawn(behaviours: Iterable[Behaviour]) -> Found:
    """Several answers that are always the same, where the baseline's differ: nothing was drawn."""
    for each in behaviours:
        if each.alike is None or each.alike.candidate < each.n or each.n - each.alike.baseline < FEW_VARIED:
            continue
        yield (
            f"{each.task}: its several answers to an item are the same on all {each.n:,} items, the baseline's differ "
            f"on {each.n - each.alike.baseline:,}: they were not drawn as the suite asks, as by a server that ignores "
            "the temperature or has one seed for all",
            True,
        )


def _baseline_blank(behaviours: Iterable[Behaviour]) -> Found:
    for each in behaviours:
        if each.blank is not None and each.n >= FEW_ITEMS and each.blank.candidate >= BLANK * each.n:
            yield (
                f"{each.task}: {each.blank.candidate:,} of the baseline's {each.n:,} answers are empty; look at the "
                "prompt and its template",
                False,
            )


def _rises(marked: Marked, n: int, *, alpha: float) -> bool:
    """Whether the candidate has the mark more often, by `RISE` at least and beyond chance (Tango's bound)."""
    if marked.candidate - marked.baseline < RISE * n:
        return False
    return paired_drop(n, marked.new, marked.gone, margin=ANY_MARGIN, alpha=alpha).lower > 0


def _at_chance(paired: Paired, *, alpha: float) -> Found:
    """Choice tasks that the baseline answers no better than a guesser, as far as these items tell. Of what follows from
    answers a gate says it itself."""
    found: dict[str, list[str]] = {}
    for (task, name), metric in paired.metrics.items():
        if metric.chance is not None and not is_derived(name) and not metric.baseline_failed:
            level = mean_level(metric.baseline, alpha=alpha, clusters=metric.clusters, shares=True)
            more = metric.higher_is_better
            guessed = metric.chance if more else 1 - metric.chance
            if level.lower <= guessed if more else level.upper >= guessed:
                bound = f"from {percent(max(0.0, level.lower))}" if more else f"to {percent(level.upper)}"
                says = f"{name} {percent(level.mean)} ({bound}), guessing gives {percent(guessed)}"
                found.setdefault(task, []).append(says)
    for task, parts in found.items():
        yield f"{task}: the baseline is not above chance ({'; '.join(parts)}), so a loss can hardly be seen", False


def _missing(missing: Mapping[str, MissingSlices]) -> Found:
    for task, each in missing.items():
        if each.unasked:
            yield f"{task}: every item of {listed(each.unasked)} is longer than the model's context", False
        if each.gone:
            yield f"{task}: no item is left in {listed(each.gone)}, which run {each.before} had", False
        if each.unknown is not None:
            yield f"{task}: whether a slice of run {each.before} is gone is not known: {each.unknown}", False
