"""A metric's row: what it is, and how it is computed. Names no metric; the families do, one file each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from harness.records.columns import Answers, Indices, PlanColumns
    from harness.records.timings import TimingSample, WorkloadTimes

    Floats = NDArray[np.float64]

Unit = Literal["token", "byte", "word"]
"""What a document's likelihood is divided by."""
Kind = Literal["binary", "graded", "ratio", "corpus", "perplexity", "divergence", "speed", "memory"]
"""What a metric's values are, which decides the gates that fit and the statistics behind them."""
TokenValues = Literal["kl_values", "delta_p_values"]
"""What is stored of every scored token: fields of `DocumentScore`."""
STORED_VALUES: dict[TokenValues, str] = {
    "kl_values": "kl_values (base64 of little-endian float32, one a token)",
    "delta_p_values": "delta_p_values (base64 of little-endian float16, one a token)",
}
VALUE_WORDS: dict[TokenValues, str] = {"kl_values": "KL in nats", "delta_p_values": "Δp of the true token"}


@dataclass(frozen=True, kw_only=True)
class OptionScore:
    """Of a `choice` task, by lm-eval: whether the right option has the best log-likelihood."""

    per_character: bool = False


@dataclass(frozen=True, kw_only=True)
class Strictness:
    """How a `generate` task wants texts compared."""

    ignore_case: bool = False
    ignore_punctuation: bool = False


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """Of a generated answer and one reference; the best over an item's references counts."""

    score: Callable[[str, str, Strictness], float]
    """Of answer and reference."""
    by_words: Callable[[Strictness], bool]
    """Whether texts are compared by their words, so that nothing is left of a reference that is punctuation only."""
    reads: Callable[[str], bool] | None = None
    """Whether the metric sees anything in a reference; None for one that reads every script."""
    read: str = ""
    """What it sees, in words."""
    library: str = ""
    """The package that computes it, whose version is part of the task's identity."""


@dataclass(frozen=True, kw_only=True)
class OfClasses:
    """Of all items of a `choice` task: how often each option was right, chosen, and the reference, as classes."""

    of: Callable[[Floats], Floats]
    """From these sums, [..., 3 classes], to the value, [...]."""


@dataclass(frozen=True, kw_only=True)
class OfTexts:
    """Of all generated answers with their references: of sums of what is stored with each answer."""

    parts: Callable[[str, Sequence[str]], tuple[float, ...]]
    """Of an answer and its references, what it adds to the sums."""
    of: Callable[[Floats], Floats]
    """From sums, [..., k], to the value, [...]."""
    nothing: Callable[[Floats], Floats]
    """From what a good answer adds to what one adds that has nothing in common with the references."""


@dataclass(frozen=True, kw_only=True)
class AgainstSchema:
    """Of a generated answer and the JSON Schema that the task names; needs no reference."""


@dataclass(frozen=True, kw_only=True)
class OverAnswers:
    """Of several answers to one question, from how many of them another metric calls right."""

    way: Literal["pass", "maj"]
    """Whether one of k drawn answers is right, or the most frequent one of the first k."""
    k: int


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """From the summed negative log-likelihoods of documents, in nats."""

    per: Unit
    exponential: bool
    """e to the mean; otherwise the mean itself, in bits."""
    gain_unit: str
    """Of a difference of two means."""

    @property
    def weights(self) -> str:
        """What a sum is divided by, in words."""
        counted = {"token": "scored tokens", "byte": "UTF-8 bytes", "word": "words"}[self.per]
        return counted if self.exponential else f"{counted} · ln 2"

    @property
    def stored(self) -> str:
        """Where the inputs are in a document's record."""
        return "nll, document.tokens" if self.per == "token" else "nll"


@dataclass(frozen=True, kw_only=True)
class TokenMean:
    """Mean over scored tokens, with an interval over documents."""

    summed: str
    """What is summed over a document, in words."""
    field: str | None = None
    """Of `DocumentScore`: the sum over a document's tokens as it is stored."""
    per_token: Callable[[Floats], Floats] | None = None
    """Without a field: from each token's stored KL, [N], to what is averaged, [N]."""
    scale: float | None = None
    """The range of the quantity, 1 for a share: where given, documents that all agree are no certainty."""
    root: bool = False
    """The square root of the mean."""
    skewed: bool = False
    """No bound is narrower than with one more document as bad as the worst seen (`harness.stats.worst_seen`)."""

    @property
    def stored(self) -> str:
        return f"{self.field}, document.tokens" if self.field is not None else STORED_VALUES["kl_values"]

    @property
    def needs(self) -> str:
        """The field of `DocumentScore` that it cannot do without."""
        return self.field or "kl_values"


@dataclass(frozen=True, kw_only=True)
class TokenQuantile:
    """Quantile of what is stored of the scored tokens, with Woodruff's interval over documents."""

    probability: float
    of: TokenValues = "kl_values"

    @property
    def stored(self) -> str:
        return STORED_VALUES[self.of]

    @property
    def needs(self) -> str:
        """As `TokenMean.needs`."""
        return self.of


@dataclass(frozen=True, kw_only=True)
class TokenMaximum:
    """The largest KL of a scored token: exact, without an interval."""

    needs: ClassVar[str] = "kl_values"
    stored: ClassVar[str] = STORED_VALUES["kl_values"]


@dataclass(frozen=True, kw_only=True)
class TimedFigure:
    """A figure of one timed run of a workload; the gate looks at its ratio over adjacent pairs of runs."""

    of: Callable[[TimingSample, WorkloadTimes], float]
    formula: str
    """The same over the stored times, for people."""
    tokens: int = 0
    """Fewer inter-token gaps than this over all pairs say nothing about it."""


@dataclass(frozen=True, kw_only=True)
class StoredBytes:
    """Bytes of one fresh process, as stored."""

    field: str
    """Of `MemoryFigures`."""
    title: str = ""
    """Of its column in a report; the field where it is empty."""
    label: str = ""
    """The same on a narrow screen."""
    at_load: bool = False
    """Known once the model is loaded and the same on every machine: no timed workload is needed."""


@dataclass(frozen=True, kw_only=True)
class AnsweredPairs:
    """What records hold of both sides' answers to n items of one task."""

    baseline: Answers
    candidate: Answers
    plan: PlanColumns
    places: Indices
    """Place of each pair in the plan, [n]."""
    texts: Callable[[Indices], Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]]]
    """Of pairs, in any order: the pair, and all of each side's answers to it in full."""


@dataclass(frozen=True, kw_only=True)
class FromAnswers:
    """Computed from what records hold of both sides' answers, so that every stored run has it; nothing is asked for
    it."""

    of: Literal["choice", "generate"]
    """The kind of task that has it."""
    values: Callable[[AnsweredPairs], tuple[Floats, Floats] | None]
    """The baseline's and the candidate's value of each pair, [n]; NaN where that side has no answer. None where the
    records of the task do not hold what is needed."""
    stored: str
    """The fields of a record that it is from."""
    guess: Callable[[AnsweredPairs], Floats] | None = None
    """What guessing scores on each pair, [n], with more as better (1 minus the value where less is): a limit that it
    would hold shows nothing. None where nothing can be guessed."""
    agreement: bool = False
    """A candidate's answers are held against the baseline's own, which agree with themselves entirely: 1."""


@dataclass(frozen=True, kw_only=True)
class OfChances:
    """Of all items of a `choice` task: confidence, right answers and items, bin by bin of the probability of the
    option that was chosen."""


TokenFigure = TokenMean | TokenQuantile | TokenMaximum
DocumentFigure = Likelihood | TokenFigure
AnswerFigure = OptionScore | TextScore | FromAnswers | OverAnswers | OfChances | OfClasses | OfTexts | AgainstSchema
Computation = AnswerFigure | DocumentFigure | TimedFigure | StoredBytes


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The metric's column in the short overview of a report."""

    title: str
    rank: int
    """Columns with a higher one go first when there is no room."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric. lm-eval's tasks bring others, which have no row and are what their values show them to be."""

    name: str
    kind: Kind
    unit: str
    description: str
    computed: Computation
    higher_is_better: bool = False
    neutral: float = 0.0
    """What its change, or a divergence itself, is where nothing changed: 0, or 1 for a ratio and for agreement."""
    headline: Headline | None = None
    marked: str | None = None
    """Under this word it is marked in the histogram of KL."""
    restates: bool = False
    """The metric before it in other units: charted only where a gate looks at it."""
