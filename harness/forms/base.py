"""What a gate form is, and what a gate says of one estimate: the shapes, and the rule that every form comes down to.

PASS when the whole one-sided interval lies on the limit's good side, FAIL when it lies on the bad side, otherwise
INCONCLUSIVE. A value without bounds is exact and is compared directly. Compares no form's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from harness.notation import Notation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.derivations.shapes import Derivation
    from harness.forms.design import Certified, Design
    from harness.metrics.row import Kind
    from harness.records.findings import Decision, InvalidCode

BASELINE = "the baseline"
"""What a value is measured from, in words, unless it is a promoted version."""
BROKEN = ": the limit is broken"
ENDINGS = {"FAIL": BROKEN, "INCONCLUSIVE": ": the interval reaches across the limit"}


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The measured value, in the terms of the gate's form."""

    value: float
    lower: float | None
    upper: float | None
    n: int
    reliable: bool = True
    """False: the interval cannot be trusted (too few documents or timed pairs), so nothing is decided."""
    why_unreliable: str = ""
    p: float | None = None
    """One-sided p of “the limit is not broken”; None for what is exact or unreliable."""
    early_alpha: float | None = None
    """The share of alpha at which the anytime-valid test decided; None where a whole task was judged."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a gate decided as it did, in parts that are put together once, when the finding is written."""

    measured: str
    """What was measured, and the limit."""
    ending: str = ""
    """What follows for the limit."""
    notes: tuple[str, ...] = ()
    """What else to know."""

    def __str__(self) -> str:
        return "; ".join((self.measured + self.ending, *self.notes))

    def noting(self, *notes: str | None) -> Reason:
        """With more to know, where there is any."""
        return replace(self, notes=(*self.notes, *(note for note in notes if note)))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A decision with its reason and the numbers behind it."""

    decision: Decision
    reason: Reason
    estimate: Estimate | None = None
    more_items: int | None = None
    code: InvalidCode | None = None

    @classmethod
    def none(cls, reason: str) -> Judgement:
        """Nothing was measured, so nothing is decided."""
        return cls(decision="INCONCLUSIVE", reason=Reason(measured=reason))

    @classmethod
    def invalid(cls, reason: str) -> Judgement:
        return cls(decision="INVALID", reason=Reason(measured=reason))

    @classmethod
    def fail(cls, reason: str) -> Judgement:
        """FAIL without an estimate: what was to be measured is broken itself."""
        return cls(decision="FAIL", reason=Reason(measured=reason))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a gate asks of a sample."""

    limit: float
    alpha: float
    against: str = BASELINE
    """What a drop or a ratio is measured from, in words."""


class Judge(Protocol):
    """From a sample of the kind that the form looks at to estimate, decision and reason."""

    def __call__(self, sample: Any, terms: Terms, /) -> Judgement: ...


class Derive(Protocol):
    """From such a sample to the formulas behind its estimate, with the numbers put in."""

    def __call__(self, sample: Any, terms: Terms, /) -> Derivation: ...


@dataclass(frozen=True, kw_only=True)
class Recount:
    """What a form would say of a sample with other harmful flips, the rest as it is."""

    decide: Callable[[int], Decision]
    """From a number of harmful flips."""
    seen: int
    most: int
    """Harmful flips that are possible."""
    n: int
    """Items."""
    others: str
    """What is held as it is, in words."""


class Recounter(Protocol):
    """None where flips alone do not say how the form would decide."""

    def __call__(self, sample: Any, terms: Terms, /) -> Recount | None: ...


class Certify(Protocol):
    """From a sample that is planned, and a limit, to what it can show."""

    def __call__(self, design: Design, limit: float, /) -> Certified: ...


def decide(estimate: Estimate, limit: float, *, ceiling: bool) -> Decision:
    """The value must stay below the limit, or above it. The only place where a gate decides."""
    if estimate.lower is None or estimate.upper is None:
        holds = estimate.value <= limit if ceiling else estimate.value >= limit
        return "PASS" if holds else "FAIL"
    from harness.stats.decision import decide as decided

    return decided(estimate.lower, estimate.upper, limit, ceiling=ceiling, reliable=estimate.reliable).value


def reasoned(measured: str, decision: Decision, *notes: str | None) -> Reason:
    """What was measured with what follows from it, and what else there is to know."""
    return Reason(measured=measured, ending=ENDINGS.get(decision, "")).noting(*notes)


def side(*, ceiling: bool) -> str:
    """On which side of its limit a value must stay."""
    return "at most" if ceiling else "at least"


@dataclass(frozen=True, kw_only=True)
class Form:
    """One way of setting a limit."""

    key: str
    """As the suite writes it, such as `max_drop`."""
    says: str = ""
    """What the limit is, in a sentence for the author of a suite."""
    noun: str = ""
    """What is limited, in a word or two for a table; empty for the metric itself."""
    ceiling: bool
    """The value must stay below the limit, so a higher limit lets more through."""
    domain: tuple[float, float]
    """Open interval of the limits that mean anything."""
    percent: bool = False
    """A limit may also be written as a percentage: `2%` is 0.02."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Words for a limit that the run measures itself, each with the largest that it gives where the gate says none."""
    expects: str = ""
    """What a limit must be, in words; empty where its bounds say enough."""
    kinds: frozenset[Kind]
    """Kinds of metrics that it fits."""
    notation: Notation
    """How its values, bounds and limits are written."""
    looks_at: Literal["pairs", "rest", "base", "own"]
    """The candidate relative to the baseline; a slice of that against the rest of its task; both relative to the model
    before fine-tuning; or a value by itself."""
    judge: Judge
    derive: Derive
    certify: Certify
    recount: Recounter | None = None
    """None where the form does not look at right or wrong answers."""
    neutral: float | None
    """The value where nothing changed; None where no value says so."""
    stops_early: bool = False
    """Whether it can FAIL on a part of a task (`harness.forms.sequential`)."""
    loss_of: Literal["scale", "level", "gain"] | None = None
    """A limit on a loss of the baseline's score: as a share of the metric's scale, of the baseline's value, or of what
    fine-tuning gained. It shows nothing where there is nothing to lose. None: no limit on a loss."""
    pools: bool = False
    """It may be set on several tasks at once (`harness.samples.strata`)."""
    accumulates: bool = False
    """The values of promoted versions add up."""

    def inside(self, limit: float) -> bool:
        """Whether the suite takes such a limit."""
        low, high = self.domain
        return low < limit < high

    def allowed_loss(self, limit: float, *, level: float | None, gain: float | None = None) -> float | None:
        """The absolute loss within the limit; None where that is not known, and of what is no limit on a loss.

        `level`: the baseline's value. `gain`: what fine-tuning gained.
        """
        share = limit if self.ceiling else 1 - limit
        if self.loss_of == "scale":
            return share
        whole = gain if self.loss_of == "gain" else abs(level) if self.loss_of and level is not None else None
        return None if whole is None else share * whole

    def rule(self, limit: str) -> str:
        """`drop ≤ 2 pp`, `≥ 80 %`: the gate's rule around a formatted limit."""
        return f"{self.noun} {'≤' if self.ceiling else '≥'} {limit}".lstrip()

    def looser(self, limit: float, before: float) -> bool:
        """Whether the limit lets more through than the one before."""
        return limit > before if self.ceiling else limit < before
