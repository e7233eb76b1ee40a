"""How much of the fine-tuning gain is kept, with its numbers put in: the score test, Fieller's theorem, equal answers.

Items are counted by who got them right: `n011` is base wrong, fine-tuned model right, candidate right.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.explanations.shapes import Section, Step, counted, step
from harness.explanations.unseen import GAFFKE, unseen_section
from harness.metrics.table import likelihood
from harness.records.columns import Floats
from harness.samples.base_pairs import ThreeWay, retained_of
from harness.stats import RetainedShare
from harness.stats.drop import cluster_squares, cluster_variance, independent_variance
from harness.stats.share_tests import FiellerTest, ScoreTest

FIELLER = "Fieller's set (1954): the shares r at which a test of the mean of kept − r · gain does not reject"
SCORE = "; score test of that weighted sum over the outcomes of an item (Tango's, with more outcomes)"
CLUSTERED = "; divided by the design effect, Student's t over clusters"
T = "; Student's t"
PATTERNS = {
    "000": "nobody right", "111": "all right", "011": "gain that is kept", "010": "gain that is lost",
    "101": "loss by fine-tuning that is undone", "100": "loss by fine-tuning that stays",
    "001": "right with the candidate alone", "110": "wrong with the candidate alone",
}  # fmt: skip
WORTH = {"011": "(1 − {r})", "010": "(−{r})", "101": "{r}", "100": "({r} − 1)", "001": "1", "110": "(−1)"}
"""kept − r · gain of an item, by who got it right; of the others it is 0."""


def explain_retained(three_way: ThreeWay, *, limit: float, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `min_retained`; the share must be defined."""
    found = retained_of(three_way, alpha=alpha)
    test, few = found.test, GAFFKE if found.unseen is not None else ""
    own = found.own or (0.0, 0.0)
    match test:
        case ScoreTest():
            method = FIELLER + SCORE + (CLUSTERED if found.clusters is not None else "")
            sections = _score(three_way, found, test, own, limit, alpha)
        case FiellerTest():
            method = FIELLER + T + (", cluster-robust" if found.clusters is not None else "")
            method += ", over documents" if three_way.weights is not None else ""
            sections = (_sums(three_way, found, test), Section(title="Bounds", steps=_roots(found, test, own, alpha)))
        case _:
            return "", ()
    if found.unseen is not None and found.lower is not None and found.upper is not None:
        word = "items" if found.clusters is None else "clusters"
        sections = (*sections, unseen_section(own, found.unseen, (found.lower, found.upper), word=word))
    return method + few, sections


def _score(
    three_way: ThreeWay, found: RetainedShare, test: ScoreTest, own: tuple[float, float], limit: float, alpha: float
) -> tuple[Section, ...]:
    n, seen = found.n, _patterns(three_way)
    wins = {f"n{name}": float(count) for name, count in seen.items()}
    gained, stayed = float(test.gain.mean()), float(test.kept.mean())
    quantile = test.quantile(alpha)
    steps = [
        counted("n", n, "items that all three answered"),
        *(counted(f"n{name}", seen[name], f"{_who(name)}: {says}") for name, says in PATTERNS.items()),
        step("M", "gain: fine-tuned − base, per item", "({n011} + {n010} − {n101} − {n100}) / {n}", gained,
             **_only(wins, "n011", "n010", "n101", "n100"), n=n),
        step("K", "kept: candidate − base, per item", "({n011} + {n001} − {n100} − {n110}) / {n}", stayed,
             **_only(wins, "n011", "n001", "n100", "n110"), n=n),
        step("R", "share kept", "{K} / {M}", stayed / gained, K=stayed, M=gained),
    ]  # fmt: skip
    if test.groups is None:
        level = [step("z_q", "standard normal quantile", "Φ⁻¹(1 − {alpha})", quantile, alpha=alpha)]
        won, lost = seen["011"] + seen["010"], seen["101"] + seen["100"]
        formula = "({n011} + {n010} − {n101} − {n100}) / √({n011} + {n010} + {n101} + {n100})"
        put_in = _only(wins, "n011", "n010", "n101", "n100")
        says = "of the gain; a share is defined where it exceeds z_q"
        level.append(step("z_g", says, formula, (won - lost) / (won + lost) ** 0.5, **put_in))
    else:
        level = [
            counted("G", test.groups, "clusters; the record's `cluster`, an item without one stands alone"),
            step("t_q", "Student's t quantile with G − 1 degrees of freedom", "t⁻¹(1 − {alpha}; {G} − 1)", quantile,
                 alpha=alpha, G=test.groups),
        ]  # fmt: skip
    sections = [
        Section(title="Counted", steps=tuple(steps)),
        Section(title="Quantile, and whether there is a gain to keep", steps=(*level, *_gain_bounds(found))),
    ]
    mark = "" if found.unseen is None else "₀"
    places = (("r, the limit", limit), (f"r = L{mark}, the lower bound", own[0]),
              (f"r = U{mark}, the upper bound", own[1]))  # fmt: skip
    return *sections, *(Section(title=f"At {name}", steps=_at(test, seen, at)) for name, at in places)


def _at(test: ScoreTest, seen: dict[str, int], r: float) -> tuple[Step, ...]:
    """The statistic at one share."""
    n, terms = test.gain.size, test.terms(r)
    gained, stayed = float(test.gain.mean()), float(test.kept.mean())
    there = {name: worth for name, worth in WORTH.items() if seen[name]}
    put_in: dict[str, float] = {"r": r, "λ": terms.tilt, "n": n, **{f"n{name}": seen[name] for name in there}}
    left = sum(seen[name] * _worth(name, r) / (1 + terms.tilt * _worth(name, r)) for name in there) / n
    steps = [
        counted("r", r, "hypothesised share kept"),
        step("d", "mean of kept − r · gain", "{K} − {r} · {M}", terms.mean, K=stayed, r=r, M=gained),
        counted("λ", terms.tilt, "an outcome worth v has most likely share n_v / n / (1 + λ · v), were the mean 0: "
                "the λ at which S is 0, as far as no share is under 0"),
        step("S", "", f"({_sum(f'{{n{name}}} · {v} / (1 + {{λ}} · {v})' for name, v in there.items())}) / {{n}}", left,
             **put_in),
    ]  # fmt: skip
    variance = f"({_sum(f'{{n{name}}} · {v}² / (1 + {{λ}} · {v})' for name, v in there.items())}) / {{n}}"
    if terms.unseen > 0:
        steps.append(step("p₀", "share of the worst outcome, which was not seen", "{λ} · {S}", terms.unseen,
                          **_only(put_in, "λ"), S=left))  # fmt: skip
        variance += " + {p0} · max(1, {r}, 1 − {r})²"
        put_in["p0"] = terms.unseen
    steps.append(step("V", "variance of an item's kept − r · gain then", variance, terms.variance, **put_in))
    end = "√{n} · {d} / √{V}"
    if test.labels is None:
        return *steps, step("z", "the score statistic", end, terms.z, n=n, d=terms.mean, V=terms.variance)
    deff = test.deff(r)
    return (
        *steps,
        *_design(test, seen, r),
        step("z", "the score statistic, over clusters", f"{end} / √{{deff}}", test.z(r), n=n, d=terms.mean,
             V=terms.variance, deff=deff),
    )  # fmt: skip


def _design(test: ScoreTest, seen: dict[str, int], r: float) -> tuple[Step, ...]:
    """The design effect of kept − r · gain."""
    assert test.labels is not None
    assert test.groups is not None
    n, groups, values = test.gain.size, test.groups, test.kept - r * test.gain
    there = {name: worth for name, worth in WORTH.items() if seen[name]}
    squares = cluster_squares(values, test.labels)
    robust, alone = cluster_variance(values, test.labels), independent_variance(values)
    least, says = ("{n} / {G}", "; a cluster of equal answers counts as one item") if test.identical else ("1", "")
    return (
        counted("Σs²", squares, "over clusters, the squared sum of (kept − r · gain − d)"),
        step("V_CR", "cluster-robust variance of d", "{G} / ({G} − 1) · {sum_s2} / {n}²", robust, G=groups,
             sum_s2=squares, n=n),
        step("V_iid", "its variance were the items independent",
             f"({_sum(f'{{n{name}}} · {v}²' for name, v in there.items())} − {{n}} · {{d}}²) / ({{n}} − 1) / {{n}}",
             alone, **{f"n{name}": seen[name] for name in there}, n=n, r=r, d=float(values.mean())),
        step("deff", f"design effect, at least {'items a cluster' if test.identical else '1'}{says}",
             f"max({least}, {{V_CR}} / {{V_iid}})", test.deff(r), V_CR=robust, V_iid=alone, n=n, G=groups),
    )  # fmt: skip


def _sums(three_way: ThreeWay, found: RetainedShare, test: FiellerTest) -> Section:
    """What is counted where values are graded, or documents."""
    total = float(test.weights.sum())
    gained, stayed = float(test.gain.sum()), float(test.kept.sum())
    m, k = test.means
    what = ("NLL of the base − the fine-tuned model's, nats", "NLL of the base − the candidate's, nats")
    if three_way.weights is None:
        what, weights = ("fine-tuned − base", "candidate − base"), "items"
    else:
        weights = likelihood(three_way.metric).weights
    return Section(
        title="Counted",
        steps=(
            counted("G", test.units, _units(three_way)),
            counted("Σx", gained, f"sum of the gains x: {what[0]}"),
            counted("Σy", stayed, f"sum of what is kept, y: {what[1]}"),
            counted("Σw", total, f"sum of the weights w: {weights}"),
            step("M", "gain per unit of weight", "{sum_x} / {sum_w}", m, sum_x=gained, sum_w=total),
            step("K", "kept per unit of weight", "{sum_y} / {sum_w}", k, sum_y=stayed, sum_w=total),
            step("R", "share kept", "{K} / {M}", found.share or 0.0, K=k, M=m),
            *_gain_bounds(found),
        ),
    )


def _roots(found: RetainedShare, test: FiellerTest, own: tuple[float, float], alpha: float) -> tuple[Step, ...]:
    (m, k), terms, t = test.means, test.terms(alpha), test.quantile(alpha)
    says = "(G − 1) / G · Σ(e / (1 − w / Σw))² / Σw² with e = {} over units"
    mark = "" if found.unseen is None else "₀"
    root = "√(max(0, {g}² − {f} · {h}))"
    return (
        counted("V_mm", terms.vbb, f"jackknife variance of M: {says.format('x − M · w')}"),
        counted("V_kk", terms.vcc, f"jackknife variance of K: {says.format('y − K · w')}"),
        counted("V_mk", terms.vbc, "their covariance: one e of each"),
        step("t", "Student's t quantile with G − 1 degrees of freedom", "t⁻¹(1 − {alpha}; {G} − 1)", t, alpha=alpha,
             G=test.units),
        step("f", "above 0, or the gain itself is not shown", "{M}² − {t}² · {V_mm}", terms.a, M=m, t=t,
             V_mm=terms.vbb),
        step("g", "", "{M} · {K} − {t}² · {V_mk}", terms.half_b, M=m, K=k, t=t, V_mk=terms.vbc),
        step("h", "", "{K}² − {t}² · {V_kk}", terms.c, K=k, t=t, V_kk=terms.vcc),
        step(f"L{mark}", "lower bound", f"({{g}} − {root}) / {{f}}", own[0], g=terms.half_b, f=terms.a, h=terms.c),
        step(f"U{mark}", "upper bound", f"({{g}} + {root}) / {{f}}", own[1], g=terms.half_b, f=terms.a, h=terms.c),
    )  # fmt: skip


def _gain_bounds(found: RetainedShare) -> tuple[Step, ...]:
    how = "as of a mean" if found.loss is None else "as of a drop, the other way round"
    return (
        counted("M_L", found.gain_lower, f"lower bound of the gain, {how}; above 0, or no share is defined"),
        counted("M_U", found.gain_upper, "upper bound of the gain"),
    )


def _units(three_way: ThreeWay) -> str:
    if three_way.weights is not None:
        return "documents"
    return "items that all three answered" if three_way.clusters is None else "clusters"


def _oriented(three_way: ThreeWay) -> tuple[Floats, Floats, Floats]:
    """Right or wrong, whichever way the metric counts."""
    sides = (three_way.base, three_way.fine_tuned, three_way.candidate)
    low, middle, high = sides if three_way.higher_is_better else tuple(1 - each for each in sides)
    return low, middle, high


def _patterns(three_way: ThreeWay) -> dict[str, int]:
    low, middle, high = (each == 1 for each in _oriented(three_way))
    codes = 4 * low.astype(int) + 2 * middle + high
    counts = np.bincount(codes, minlength=8)
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


def _only(values: dict[str, float], *names: str) -> dict[str, float]:
    return {name: values[name] for name in names}
