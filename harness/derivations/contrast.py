"""The share of a gain that right-or-wrong items keep: the score test of kept − r · gain over an item's outcomes.

Items are counted by who got them right: `n011` is base wrong, fine-tuned model right, candidate right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.derivations.fieller import SET, few_of_gain, gain_bounds
from harness.derivations.shapes import Derivation, Sheet
from harness.derivations.tango import cluster_robust
from harness.samples.base_pairs import ThreeWay
from harness.stats import RetainedShare
from harness.stats.clusters import independent_variance
from harness.stats.share_tests import ScoreTest

SCORE = "; score test of that weighted sum over the outcomes of an item (Tango's, with more outcomes)"
CLUSTERED = "; divided by the design effect, Student's t over clusters"
PATTERNS = {
    "000": "nobody right", "111": "all right", "011": "gain that is kept", "010": "gain that is lost",
    "101": "loss by fine-tuning that is undone", "100": "loss by fine-tuning that stays",
    "001": "right with the candidate alone", "110": "wrong with the candidate alone",
}  # fmt: skip
WORTH = {"011": "(1 − {r})", "010": "(−{r})", "101": "{r}", "100": "({r} − 1)", "001": "1", "110": "(−1)"}
"""kept − r · gain of an item, by who got it right; of the others it is 0."""


def score_of_gain(
    three_way: ThreeWay, found: RetainedShare, test: ScoreTest, *, limit: float, alpha: float
) -> Derivation:
    """The statistic at the limit and at both bounds."""
    seen, own = _patterns(three_way), found.own or (0.0, 0.0)
    gained, stayed, groups = float(test.gain.mean()), float(test.kept.mean()), test.groups
    sheet = Sheet("Counted", alpha=alpha)
    sheet.counted("n", found.n, "items that all three answered")
    for name, says in PATTERNS.items():
        sheet.counted(f"n{name}", seen[name], f"{_who(name)}: {says}")
    won_less_lost = "{n011} + {n010} − {n101} − {n100}"
    sheet.step("M", "gain: fine-tuned − base, per item", f"({won_less_lost}) / {{n}}", gained)
    sheet.step("K", "kept: candidate − base, per item", "({n011} + {n001} − {n100} − {n110}) / {n}", stayed)
    sheet.step("R", "share kept", "{K} / {M}", stayed / gained)
    sheet.section("Quantile, and whether there is a gain to keep")
    if groups is None:
        sheet.normal(test.quantile(alpha))
        won, lost = seen["011"] + seen["010"], seen["101"] + seen["100"]
        formula = f"({won_less_lost}) / √({won_less_lost.replace('−', '+')})"
        says = "of the gain; a share is defined where it exceeds z_q"
        sheet.step("z_g", says, formula, (won - lost) / (won + lost) ** 0.5)
    else:
        sheet.counted("G", groups, "clusters; the record's `cluster`, an item without one is its own")
        sheet.student(test.quantile(alpha), "t_q")
    gain_bounds(sheet, found)
    mark = "" if found.unseen is None else "₀"
    places = {"r, the limit": limit, f"r = L{mark}, the lower bound": own[0], f"r = U{mark}, the upper bound": own[1]}
    for name, r in places.items():
        sheet.section(f"At {name}")
        _statistic(sheet, test, seen, r)
    return sheet.derivation(SET + SCORE + ("" if groups is None else CLUSTERED) + few_of_gain(sheet, found))


def _statistic(sheet: Sheet, test: ScoreTest, seen: dict[str, int], r: float) -> None:
    """The statistic at one share."""
    n, terms = test.gain.size, test.terms(r)
    there = {f"{{n{name}}}": worth for name, worth in WORTH.items() if seen[name]}
    worths = {name: _worth(name, r) for name in WORTH if seen[name]}
    left = sum(seen[name] * worth / (1 + terms.tilt * worth) for name, worth in worths.items()) / n
    sheet.counted("r", r, "hypothesised share kept")
    sheet.step("d", "mean of kept − r · gain", "{K} − {r} · {M}", terms.mean)
    sheet.counted("λ", terms.tilt, "an outcome worth v has most likely share n_v / n / (1 + λ · v), were the mean 0: "
                  "the λ at which S is 0, as far as no share is under 0")  # fmt: skip
    sheet.step("S", "", f"({_sum(f'{name} · {v} / (1 + {{λ}} · {v})' for name, v in there.items())}) / {{n}}", left)
    variance = f"({_sum(f'{name} · {v}² / (1 + {{λ}} · {v})' for name, v in there.items())}) / {{n}}"
    if terms.unseen > 0:
        sheet.step("p₀", "share of the worst outcome, which was not seen", "{λ} · {S}", terms.unseen)
        variance += " + {p₀} · max(1, {r}, 1 − {r})²"
    sheet.step("V", "variance of an item's kept − r · gain then", variance, terms.variance)
    if test.labels is None:
        sheet.step("z", "the score statistic", "√{n} · {d} / √{V}", terms.z)
        return
    values = test.kept - r * test.gain
    cluster_robust(sheet, values, test.labels, name="d", of="kept − r · gain − d")
    squares = _sum(f"{name} · {v}²" for name, v in there.items())
    alone = f"({squares} − {{n}} · {{d}}²) / ({{n}} − 1) / {{n}}"
    sheet.step("V_iid", "its variance were the items independent", alone, independent_variance(values))
    least, says = "1", "design effect, at least 1"
    if test.identical:
        least, says = (
            "{n} / {G}",
            "design effect, at least items a cluster; a cluster of equal answers counts as one item",
        )
    sheet.step("deff", says, f"max({least}, {{V_CR}} / {{V_iid}})", test.deff(r))
    sheet.step("z", "the score statistic, over clusters", "√{n} · {d} / √{V} / √{deff}", test.z(r))


def _patterns(three_way: ThreeWay) -> dict[str, int]:
    """Items by who got them right, whichever way the metric counts."""
    right = 1 if three_way.higher_is_better else 0
    low, middle, high = (each == right for each in (three_way.base, three_way.fine_tuned, three_way.candidate))
    counts = np.bincount(4 * low.astype(int) + 2 * middle + high, minlength=8)
    return {f"{code:03b}": int(counts[code]) for code in range(8)}


def _who(pattern: str) -> str:
    words = ("wrong", "right")
    return ", ".join(
        f"{name} {words[int(bit)]}" for name, bit in zip(("base", "fine-tuned", "candidate"), pattern, strict=True)
    )


def _worth(pattern: str, r: float) -> float:
    low, middle, high = (int(bit) for bit in pattern)
    return (high - low) - r * (middle - low)


def _sum(terms: Iterable[str]) -> str:
    return " + ".join(terms) or "0"
