"""Has the baseline anything to lose? The one place that decides whether a limit on a loss shows nothing.

A loss, absolute, relative or as a share kept, can only be seen where there is something to lose. A value at its floor
is INVALID, whatever the numbers; a limit that a model without knowledge would satisfy gives no PASS. In trials of
non-inferiority this is assay sensitivity (ICH E10, 1.5). A limit on a level (`min`, `max`) is not a limit on a loss,
but a floor under agreement with the baseline is: it agrees with itself entirely. There a model without knowledge is one
that gives the baseline's most frequent answer to every item.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.forms import Form
from harness.forms.base import BASELINE, Judgement, Reason, Terms
from harness.metrics.table import agrees
from harness.notation import percent
from harness.records.findings import InvalidCode
from harness.samples.given_answers import Given
from harness.samples.pairs import PairedMetric
from harness.samples.whole_pairs import WholePairs

NEARLY_ALL = 0.95
"""One answer that is right on this share of a slice is a good model's answer there, if it gives others elsewhere."""
HALF = 0.5
"""A baseline whose most frequent answer is no more usual does not explain one answer on nearly all items."""
FEW_ITEMS = 20
"""Below this many items shares decide nothing: undecided findings stay so."""
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Why there is nothing to lose, or nothing was shown."""

    code: InvalidCode
    says: str


def held_to_floor(form: Form, metric: PairedMetric, judgement: Judgement, terms: Terms, *, of: str = "") -> Judgement:
    """The judgement of a limit on a loss; INVALID where it shows nothing, the numbers kept. `of`: the name of these
    items, where they are not all that is judged."""
    if not metric.count or (form.loss_of is None and not _floor_of_agreement(form, metric.metric)):
        return judgement
    undecided = metric.count < FEW_ITEMS and judgement.decision == "INCONCLUSIVE"
    if (floor := floor_of(metric, terms.against)) is not None and (floor.code == "at_zero" or not undecided):
        reason = judgement.reason if judgement.decision == "INVALID" else Reason(measured=f"{of}{floor.says}")
        return replace(judgement, decision="INVALID", reason=reason, more_items=None, code=floor.code)
    if judgement.decision == "PASS" and (empty := _empty_pass(form, metric, terms)) is not None:
        reason = judgement.reason.noting(f"but {of}{empty.says}")
        return replace(judgement, decision="INVALID", reason=reason, code=empty.code)
    return judgement


def whole_held_to_floor(form: Form, whole: WholePairs, judgement: Judgement, terms: Terms) -> Judgement:
    """The same of a metric of the whole: its floor is what the best constant answer scores, or texts of which nothing
    matches."""
    if form.loss_of is None or judgement.estimate is None:
        return judgement
    level, blind, name = whole.resampled.baseline, whole.blind, whole.metric
    room = level - blind if whole.higher_is_better else blind - level
    if room <= ROUNDING:
        says = f"{terms.against} has {name} {percent(level)} and one answer to everything has {percent(blind)}"
        reason = Reason(measured=f"{says}: there is nothing to lose, so this limit shows nothing")
        return replace(judgement, decision="INVALID", reason=reason, code="at_chance")
    allowed = form.allowed_loss(terms.limit, level=level)
    if judgement.decision == "PASS" and allowed is not None and room < allowed:
        says = f"{terms.against} has {percent(level)} and one answer to everything {percent(blind)}"
        reason = judgement.reason.noting(f"but {says}: a model that knows nothing would hold this limit")
        return replace(judgement, decision="INVALID", reason=reason, code="blind_limit")
    return judgement


def allowed_loss(form: Form, metric: str, limit: float, *, level: float | None) -> float | None:
    """As `Form.allowed_loss`; a floor under agreement with the baseline allows what it is below 1."""
    return 1 - limit if _floor_of_agreement(form, metric) else form.allowed_loss(limit, level=level)


def _floor_of_agreement(form: Form, metric: str) -> bool:
    return form.looks_at == "own" and not form.ceiling and agrees(metric)


def floor_of(metric: PairedMetric, against: str = BASELINE) -> Nothing | None:
    """Why the baseline, `against` in words, has nothing to lose on these items; None where it has."""
    name, values, level = metric.metric, metric.baseline, float(metric.baseline.mean())
    chance = blind_level(metric)
    if _all_worst(metric):
        worst = f"{name} 0" if metric.higher_is_better else f"{name} 1, the worst,"
        says = f"{against} has {worst} on {_every(metric)}: there is nothing to lose, so this limit shows"
        return Nothing(code="at_zero", says=f"{says} nothing; look at prompt, references and metric")
    if metric.chance is not None and chance is not None and not _above(metric, level, chance):
        says = f"{against} has {name} {percent(level)} and guessing gives {percent(chance)}"
        return Nothing(code="at_chance", says=f"{says}: there is nothing to lose, so this limit shows nothing")
    if _one_answer(metric.baseline_given, metric, values):
        says = f"{against} gives {_every(metric)} one answer though their references differ"
        return Nothing(code="one_answer", says=f"{says} ({name} {percent(level)}): it does not read them")
    return None


def blind_level(metric: PairedMetric) -> float | None:
    """The score of a model without knowledge: chance, or the metric's worst; None where the metric has no known
    floor."""
    if metric.chance is not None:
        return metric.chance if metric.higher_is_better else 1 - metric.chance
    if agrees(metric.metric) and metric.baseline_given is not None:
        return metric.baseline_given.blind
    both = np.concatenate([metric.baseline, metric.candidate])
    if metric.higher_is_better:
        return 0.0 if both.min() >= 0 else None
    return 1.0 if both.min() >= 0 and both.max() <= 1 else None


def _above(metric: PairedMetric, level: float, blind: float) -> bool:
    return level > blind + ROUNDING if metric.higher_is_better else level < blind - ROUNDING


def _all_worst(metric: PairedMetric) -> bool:
    both = np.concatenate([metric.baseline, metric.candidate])
    if metric.higher_is_better:
        return bool((metric.baseline == 0).all() and both.min() >= 0)
    return bool((metric.baseline == 1).all() and both.min() >= 0 and both.max() <= 1)


def _one_answer(given: Given | None, metric: PairedMetric, values: np.ndarray) -> bool:
    """One answer to every item, right on some and wrong on others: the references differ, and the model ignores
    that."""
    if given is None or not given.constant or not np.ptp(values[~given.tied]) > 0:
        return False
    right = float(values.mean()) if metric.higher_is_better else 1 - float(values.mean())
    return not (given.varies_elsewhere and right >= NEARLY_ALL)


def _nearly_one_answer(given: Given | None, baseline: Given | None) -> int | None:
    """How many items the candidate gives one answer, where that is nearly all and the baseline has no usual one.

    Labels that are nearly all the same have a usual answer on both sides, which means nothing.
    """
    if given is None or baseline is None or given.said.size < FEW_ITEMS:
        return None
    size = given.said.size
    usual = given.usual
    return usual if usual >= NEARLY_ALL * size and 0 < baseline.usual <= HALF * size else None


def _every(metric: PairedMetric) -> str:
    return f"all {metric.count:,} items" if metric.count != 1 else "the only item"


def _empty_pass(form: Form, metric: PairedMetric, terms: Terms) -> Nothing | None:
    """Why a PASS of these numbers would show nothing."""
    given = metric.candidate_given
    if given is not None and given.tied.all():
        says = f"the best options tie on {_every(metric)}: the candidate has decided nothing"
        return Nothing(code="undecided", says=says)
    if _one_answer(given, metric, metric.candidate):
        others = "the baseline's" if agrees(metric.metric) else "their references"
        says = f"the candidate gives {_every(metric)} one answer though {others} differ"
        return Nothing(code="candidate_one_answer", says=f"{says}: it does not read them")
    if (count := _nearly_one_answer(given, metric.baseline_given)) is not None:
        says = (
            f"the candidate gives {count:,} of {metric.count:,} items one answer, {terms.against} none so often as half"
        )
        return Nothing(code="candidate_one_answer", says=f"{says}: it does not read them")
    if _blind_passes(form, metric, terms.limit):
        level, blind = percent(float(metric.baseline.mean())), percent(blind_level(metric) or 0.0)
        if agrees(metric.metric):
            says = f"{blind} of the answers of {terms.against} are one and the same, and a model that gives it to every"
            advice = "look at prompt and template; where it is the wanted answer, name it as answer: and gate on that"
            return Nothing(code="blind_limit", says=f"{says} item would hold this limit; {advice}")
        whose = "guessing" if metric.chance is not None else "a model that is never right"
        says = f"{terms.against} has {level} and {whose} {blind}: a model that knows nothing would hold this limit"
        return Nothing(code="blind_limit", says=says)
    return None


def _blind_passes(form: Form, metric: PairedMetric, limit: float) -> bool:
    """Whether a candidate without knowledge would be expected inside the limit.

    It is the baseline's share on these very items that can be lost, so its value counts here and not a bound.
    """
    blind = blind_level(metric)
    if blind is None:
        return False
    level = float(metric.baseline.mean())
    allowed = allowed_loss(form, metric.metric, limit, level=level)
    return allowed is not None and abs(level - blind) < allowed
