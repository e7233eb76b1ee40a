"""Statistics of the whole against the libraries that define them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import sacrebleu
from sklearn.metrics import cohen_kappa_score, f1_score, matthews_corrcoef

from harness.metrics.sums import bleu, chrf, kappa, macro_f1, mcc, positive_f1, ter
from harness.records.columns import Floats

WORDS = ("the", "cat", "sat", "on", "a", "mat", "while", "it", "rained", "and", "nobody", "came", "to", "see", "her")


def confusion(wanted: np.ndarray, given: np.ndarray, classes: int) -> Floats:
    found = np.zeros(3 * classes)
    np.add.at(found, wanted[wanted == given], 1)
    np.add.at(found, classes + given, 1)
    np.add.at(found, 2 * classes + wanted, 1)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_classes_as_scikit_learn_counts_them(seed: int) -> None:
    """Macro F1, MCC and kappa over two to six classes, some of which nobody gives or wants, and F1 of the second."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    wanted = rng.choice(classes, 40, p=rng.dirichlet(np.full(classes, 0.4)))
    given = np.where(rng.random(40) < 0.7, wanted, rng.integers(0, classes, 40))
    sums = confusion(wanted, given, classes)
    assert macro_f1(sums) == pytest.approx(f1_score(wanted, given, average="macro", zero_division=0))
    assert mcc(sums) == pytest.approx(matthews_corrcoef(wanted, given), abs=1e-12)
    if np.union1d(wanted, given).size > 1:
        assert kappa(sums) == pytest.approx(cohen_kappa_score(wanted, given), abs=1e-12)
    if classes == 2:
        assert positive_f1(sums) == pytest.approx(f1_score(wanted, given, zero_division=0))


def test_one_constant_side_has_no_correlation() -> None:
    """Where a side gives one class only, MCC and kappa are 0, not nothing."""
    sums = confusion(np.array([0, 1, 1]), np.array([1, 1, 1]), 2)
    assert mcc(sums) == 0
    assert kappa(sums) == 0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("name", "of", "order"),
    [("bleu", bleu, [*range(2, 10), 0, 1]), ("chrf", chrf, range(18)), ("ter", ter, range(2))],
)
def test_texts_as_sacrebleu_scores_them(
    seed: int, name: str, of: Callable[[Floats], Floats], order: range | list[int]
) -> None:
    """Corpus BLEU, chrF and TER from the sums of sacrebleu's own sentence statistics; nothing in common included."""
    dice = random.Random(seed)
    wanted = [" ".join(dice.choices(WORDS, k=dice.randint(1, 12))) for _ in range(8)]
    given = [" ".join(dice.choices([*WORDS, *("x" * seed)], k=dice.randint(1, 12))) for _ in range(8)]
    if seed == 0:
        given = ["zzz"] * 8
    library = {"bleu": sacrebleu.BLEU, "chrf": sacrebleu.CHRF, "ter": sacrebleu.TER}[name]()
    rows = np.asarray(library._extract_corpus_statistics(given, [wanted]), dtype=np.float64)[:, list(order)]
    assert 100 * of(rows.sum(axis=0)) == pytest.approx(library.corpus_score(given, [wanted]).score, abs=1e-9)
    assert of(np.stack([rows.sum(axis=0), rows[0]])).shape == (2,)
