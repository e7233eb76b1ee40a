"""Metrics of the whole, which no item has a value of: F1 over classes, MCC, kappa; corpus BLEU, chrF and TER."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from harness.metrics import sums
from harness.metrics.row import Metric, OfClasses, OfTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COMPANIONS = {"bleu": "sentence_bleu", "chrf": "sentence_chrf", "ter": "sentence_chrf", "mcc": "acc", "f1": "acc"}
"""The metric per item measured with one of the whole, so that every answer has a value of its own: by it failures
are counted and items looked at."""


@cache
def _library(name: str) -> Any:
    import sacrebleu

    return {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF, "ter": sacrebleu.TER}[name]()


def _parts(name: str, order: Sequence[int]) -> Callable[[str, Sequence[str]], tuple[float, ...]]:
    """sacrebleu's own statistics of one answer, in our order."""

    def parts(answer: str, references: Sequence[str]) -> tuple[float, ...]:
        (found,) = _library(name)._extract_corpus_statistics([answer], [[each] for each in references])
        return tuple(float(found[place]) for place in order)

    return parts


def _no_ngram(best: Floats) -> Floats:
    import numpy as np

    return np.where(np.arange(best.shape[-1]) < sums.BLEU_ORDER, 0.0, best)


def _no_character(best: Floats) -> Floats:
    import numpy as np

    return np.where(np.arange(best.shape[-1]) % 3 == 2, 0.0, best)


def _every_word(best: Floats) -> Floats:
    import numpy as np

    return np.stack([best[..., 1], best[..., 1]], axis=-1)


def _of_classes(name: str, of: Callable[[Floats], Floats], description: str) -> Metric:
    return Metric(
        name=name,
        kind="corpus",
        unit="fraction",
        description=description,
        computed=OfClasses(of=of),
        higher_is_better=True,
    )


def _of_texts(name: str, description: str, computed: OfTexts, *, higher: bool = True) -> Metric:
    return Metric(
        name=name, kind="corpus", unit="fraction", description=description, computed=computed, higher_is_better=higher
    )


CORPUS = (
    _of_classes("macro_f1", sums.macro_f1, "mean F1 over the options, each as a class"),
    _of_classes("mcc", sums.mcc, "Matthews correlation of chosen and right options"),
    _of_classes("kappa", sums.kappa, "Cohen's kappa of chosen and right options"),
    _of_texts(
        "bleu",
        "corpus BLEU (sacrebleu), as a fraction",
        OfTexts(parts=_parts("bleu", (2, 3, 4, 5, 6, 7, 8, 9, 0, 1)), of=sums.bleu, nothing=_no_ngram),
    ),
    _of_texts(
        "chrf",
        "corpus chrF2 (sacrebleu), as a fraction",
        OfTexts(parts=_parts("chrf", range(3 * sums.CHRF_ORDER)), of=sums.chrf, nothing=_no_character),
    ),
    _of_texts(
        "ter",
        "corpus translation edit rate (sacrebleu)",
        OfTexts(parts=_parts("ter", range(2)), of=sums.ter, nothing=_every_word),
        higher=False,
    ),
)
POSITIVE_F1 = _of_classes("f1", sums.positive_f1, "F1 of the second option, as lm-eval's f1")
"""Of lm-eval's tasks of options: `f1` of generated text is another metric."""


def whole_metric(task_kind: str, name: str) -> Metric | None:
    """The metric of the whole that a name means on a task of this kind, with an lm-eval filter behind a comma too."""
    plain = name.split(",", 1)[0]
    if task_kind == "choice" and plain == POSITIVE_F1.name:
        return POSITIVE_F1
    wanted = OfClasses if task_kind == "choice" else OfTexts
    return next((row for row in CORPUS if row.name == plain and isinstance(row.computed, wanted)), None)
