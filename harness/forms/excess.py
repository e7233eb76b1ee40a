"""`max_excess_drop`: how much more one slice may lose than the rest of its task: a test of interaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.forms.base import Form, Judgement, Terms
from harness.notation import Notation

if TYPE_CHECKING:
    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.samples.strata import StrataPairs
    from harness.stats.mover import WeightedDrop


def judge_excess(sample: StrataPairs, terms: Terms) -> Judgement:
    from harness.forms.weighted import each_in_words, judge_weighted, writer

    write = writer(sample)

    def words(found: WeightedDrop) -> str:
        side = "more" if found.drop >= 0 else "less"
        return f"drop {each_in_words(sample, found)}: {write(abs(found.drop))} {side} than the rest"

    return judge_weighted(sample, terms, words)


def derive_excess(sample: StrataPairs, terms: Terms) -> Derivation:
    from harness.forms.weighted import derive_weighted

    return derive_weighted(sample, terms)


def certify_excess(design: Design, limit: float) -> Certified:
    from harness.forms.certified_strata import certify_strata

    return certify_strata(design, limit)


MAX_EXCESS_DROP = Form(
    key="max_excess_drop",
    says="How much more a slice may lose than the rest of its task, as an absolute drop; needs `slice`.",
    noun="excess drop",
    ceiling=True,
    domain=(0, 1),
    expects="a fraction from 0 to 1",
    kinds=frozenset({"binary", "graded"}),
    notation=Notation.POINTS,
    looks_at="rest",
    judge=judge_excess,
    derive=derive_excess,
    certify=certify_excess,
    neutral=0.0,
    loss_of="scale",
)
