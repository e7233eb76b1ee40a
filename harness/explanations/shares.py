"""Shares kept (Nam and Blackwelder, Fieller) and levels of their own (Wilson, t), with their numbers put in."""

from __future__ import annotations

import math

from harness.explanations.shapes import Section, Step, counted, step
from harness.explanations.unseen import GAFFKE, unseen_section
from harness.records.columns import Indices
from harness.samples.pairs import PairedMetric
from harness.stats import MeanLevel, Recovery, clustered_recovery, graded_recovery, mean_level, paired_recovery
from harness.stats.drop import cluster_variance, independent_variance
from harness.stats.share_tests import FiellerTest, RatioTest

NAM = "score test for the ratio of two paired proportions (Nam and Blackwelder, Statistics in Medicine 21, 2002)"
FIELLER = "Fieller's theorem (1954) for the ratio of two paired means"
CLUSTERED = "; n divided by the design effect, Student's t over clusters"
WILSON = "Wilson's score bounds (1927) for a share"


def explain_recovery(metric: PairedMetric, *, form: str, limit: float, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `min_recovery` and `max_relative_drop`. `limit` is the gate's own."""
    at = 1 - limit if form == "max_relative_drop" else limit
    if metric.kind == "binary" and metric.clusters is None:
        found = paired_recovery(metric.count, metric.both, metric.worse, metric.better, alpha=alpha)
        return NAM, _nam(metric, found, at, alpha)
    if metric.kind == "binary" and metric.clusters is not None:
        found = clustered_recovery(metric.baseline, metric.candidate, metric.clusters, alpha=alpha)
        sections = _nam(metric, found, at, alpha)
        return NAM + CLUSTERED + (GAFFKE if found.unseen else ""), (*sections, *_unseen_recovery(found, "clusters"))
    found = graded_recovery(metric.baseline, metric.candidate, alpha=alpha, clusters=metric.clusters)
    method = FIELLER + (", cluster-robust" if metric.clusters is not None else "")
    word = "items" if metric.clusters is None else "clusters"
    few = GAFFKE if found.unseen else ""
    return method + few, (*_fieller(metric, found, alpha), *_unseen_recovery(found, word))


def _unseen_recovery(found: Recovery, word: str) -> tuple[Section, ...]:
    if found.unseen is None:
        return ()
    return (unseen_section(found.own, found.unseen, (found.lower, found.upper), word=word),)


def _unseen(found: MeanLevel, word: str) -> tuple[Section, ...]:
    if found.unseen is None or found.own is None:
        return ()
    return (unseen_section(found.own, found.unseen, (found.lower, found.upper), word=word),)


def _nam(metric: PairedMetric, found: Recovery, limit: float, alpha: float) -> tuple[Section, ...]:
    n, both, b, c = metric.count, metric.both, metric.worse, metric.better
    base, cand = (both + b) / n, (both + c) / n
    shares = (
        counted("n", n, "pairs"),
        counted("n₁₁", both, "pairs right before and after"),
        counted("b", b, "pairs that went from right to wrong"),
        counted("c", c, "pairs that went from wrong to right"),
        step("p_base", "the baseline's share", "({n11} + {b}) / {n}", base, n11=both, b=b, n=n),
        step("p_cand", "the candidate's share", "({n11} + {c}) / {n}", cand, n11=both, c=c, n=n),
        step("R", "share kept", "{p_cand} / {p_base}", found.ratio, p_cand=cand, p_base=base),
    )
    if not isinstance(found.test, RatioTest):
        return (Section(title="Counted", steps=shares),)
    quantile = _nam_quantile(found.test, alpha)
    sections = [Section(title="Counted", steps=(*shares, *quantile))]
    for name, at in (("the limit", limit), ("the lower bound", found.own[0]), ("the upper bound", found.own[1])):
        if 0 < at < math.inf:
            sections.append(Section(title=f"At r, {name}", steps=_nam_steps(metric, found.test, at)))
    return tuple(sections)


def _nam_quantile(test: RatioTest, alpha: float) -> tuple[Step, ...]:
    quantile = test.quantile(alpha)
    if test.groups is None:
        return (step("z_q", "standard normal quantile", "Φ⁻¹(1 − {alpha})", quantile, alpha=alpha),)
    return (
        counted("G", test.groups, "clusters"),
        step("t_q", "Student's t quantile with G − 1 degrees of freedom", "t⁻¹(1 − {alpha}; {G} − 1)", quantile,
             alpha=alpha, G=test.groups),
    )  # fmt: skip


def _nam_steps(metric: PairedMetric, test: RatioTest, r: float) -> tuple[Step, ...]:
    n, b, c, base, cand = metric.count, metric.worse, metric.better, test.base, test.candidate
    found, deff = test.terms(r), test.deff(r)
    steps: tuple[Step, ...] = (
        counted("r", r, "hypothesised share kept"),
        step("p01", "most likely share of pairs from wrong to right; never under 0",
             "(−{p_cand} + {r}² · ({p_base} + 2 · {c} / {n}) + √(({p_cand} − {r}² · {p_base})² + 4 · {r}² · {b} / {n} "
             "· {c} / {n})) / (2 · {r} · ({r} + 1))", found.p01, p_cand=cand, p_base=base, r=r, b=b, c=c, n=n),
        step("p10", "most likely share of pairs from right to wrong; never under 0",
             "(−{p_base} + ({p_cand} + 2 · {b} / {n}) / {r}² + √(({p_base} − {p_cand} / {r}²)² + 4 / {r}² · {b} / {n} "
             "· {c} / {n})) / (2 / {r} · (1 / {r} + 1))", found.p10, p_cand=cand, p_base=base, r=r, b=b, c=c, n=n),
    )  # fmt: skip
    size, end = float(n), "({p_cand} − {r} · {p_base}) · √{n_} / √({r} · ({p10} + {p01}))"
    if test.labels is not None:
        size, steps = n / deff, (*steps, *_nam_size(metric, deff, test.labels, r))
    return (
        *steps,
        step("z", "the score statistic", end, test.z(r), p_cand=cand, p_base=base, r=r, n_=size, p10=found.p10,
             p01=found.p01),
    )  # fmt: skip


def _nam_size(metric: PairedMetric, deff: float, labels: Indices, r: float) -> tuple[Step, ...]:
    """Over clusters, the effective size."""
    n, groups, rest = metric.count, int(labels.max()) + 1, metric.candidate - r * metric.baseline
    robust, independent = cluster_variance(rest, labels), independent_variance(rest)
    least = "1" if metric.drops.any() else "{n} / {G}"
    says = "effective pairs" if metric.drops.any() else "effective pairs: nothing varies, so each cluster counts once"
    return (
        counted("V_CR", robust, "cluster-robust variance of the mean of candidate − r · baseline"),
        counted("V_iid", independent, "its variance were the items independent"),
        step("n′", says, f"{{n}} / max({least}, {{V_CR}} / {{V_iid}})", n / deff, n=n, V_CR=robust,
             V_iid=independent, G=groups),
    )  # fmt: skip


def _fieller(metric: PairedMetric, found: Recovery, alpha: float) -> tuple[Section, ...]:
    n, unit = metric.count, "n" if found.clusters is None else "G"
    units = n if found.clusters is None else found.clusters
    before, after = float(metric.baseline.sum()), float(metric.candidate.sum())
    base, cand = float(metric.baseline.mean()), float(metric.candidate.mean())
    steps = [
        counted("n", n, "pairs"),
        *(() if found.clusters is None else (counted("G", found.clusters, "clusters"),)),
        counted("Σb", before, "sum of the baseline's values"),
        counted("Σc", after, "sum of the candidate's values"),
        step("B", "the baseline's mean", "{sum_b} / {n}", base, sum_b=before, n=n),
        step("C", "the candidate's mean", "{sum_c} / {n}", cand, sum_c=after, n=n),
        step("R", "share kept", "{C} / {B}", found.ratio, C=cand, B=base),
    ]
    counts = Section(title="Counted", steps=tuple(steps))
    if not isinstance(found.test, FiellerTest):
        return (counts,)
    return counts, Section(title="Bounds", steps=_fieller_bounds(found, found.test, base, cand, unit, units, alpha))


def _fieller_bounds(
    found: Recovery, test: FiellerTest, base: float, cand: float, unit: str, units: int, alpha: float
) -> tuple[Step, ...]:
    t = test.quantile(alpha)
    vbb, vcc, vbc, a, half, c = test.terms(alpha)
    steps = [
        counted("V_bb", vbb, f"jackknife variance of B: ({unit} − 1) / {unit} · Σ(e / (1 − w / n))² / n² with e the "
                f"sum of deviations and w the items of {'an item' if unit == 'n' else 'a cluster'}"),
        counted("V_cc", vcc, "variance of C, in the same way"),
        counted("V_bc", vbc, "their covariance"),
        step("t", f"Student's t quantile with {unit} − 1 degrees of freedom", f"t⁻¹(1 − {{alpha}}; {{{unit}}} − 1)", t,
             alpha=alpha, **{unit: units}),
        step("f", "", "{B}² − {t}² · {V_bb}", a, B=base, t=t, V_bb=vbb),
        step("g", "", "{B} · {C} − {t}² · {V_bc}", half, B=base, C=cand, t=t, V_bc=vbc),
        step("k", "", "{C}² − {t}² · {V_cc}", c, C=cand, t=t, V_cc=vcc),
    ]  # fmt: skip
    lower, upper = found.own
    if math.isfinite(upper):
        root = "√(max(0, {g}² − {f} · {k}))"
        steps += [
            step("L", "lower bound, at least 0", f"max(0, ({{g}} − {root}) / {{f}})", lower, g=half, f=a, k=c),
            step("U", "upper bound", f"({{g}} + {root}) / {{f}}", upper, g=half, f=a, k=c),
        ]
    else:
        steps.append(counted("U", upper, "f is not above 0: nothing bounds the share kept"))
    return tuple(steps)


def explain_level(metric: PairedMetric, *, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of `min` and `max` on a per-item metric."""
    values = metric.candidate
    found = mean_level(values, alpha=alpha, clusters=metric.clusters, shares=metric.kind == "binary")
    n, total = found.n, float(values.sum())
    steps = [
        counted("n", n, "items"),
        *(() if found.clusters is None else (counted("G", found.clusters, "clusters"),)),
        counted("Σx", total, "sum of the values"),
        step("p", "level", "{sum_x} / {n}", found.mean, sum_x=total, n=n),
    ]
    counts = Section(title="Counted", steps=tuple(steps))
    if math.isinf(found.quantile):
        return "one item or cluster has no interval", (counts,)
    word = "items" if found.clusters is None else "clusters"
    sections = (counts, Section(title="Bounds", steps=_level_bounds(found, alpha)), *_unseen(found, word))
    few = GAFFKE if found.unseen is not None else ""
    if math.isfinite(found.effective):
        return WILSON + ("" if found.clusters is None else ", n divided by the design effect") + few, sections
    return "t bounds of a mean" + ("" if found.clusters is None else ", cluster-robust") + few, sections


def _level_bounds(found: MeanLevel, alpha: float) -> tuple[Step, ...]:
    n, p, z, variance = found.n, found.mean, found.quantile, found.variance
    lower, upper = found.own or (found.lower, found.upper)
    normal = math.isfinite(found.effective) and found.clusters is None
    quantile = (
        step("z", "standard normal quantile", "Φ⁻¹(1 − {alpha})", z, alpha=alpha)
        if normal or (variance == 0 and not math.isfinite(found.effective))
        else step("z", "Student's t quantile, one degree less than items or clusters", "t⁻¹(1 − {alpha}; {units} − 1)",
                  z, alpha=alpha, units=found.clusters or n)
    )  # fmt: skip
    steps = [quantile]
    if math.isfinite(found.effective):
        m = found.effective
        if found.clusters is not None and variance > 0:
            steps += [
                counted("V", variance, "cluster-robust variance of p: G / (G − 1) · Σ(sum of deviations)² / n²"),
                step("n′", "effective items", "{n} / max(1, {V} / ({p} · (1 − {p}) / {n}))", m, n=n, V=variance, p=p),
            ]
        elif found.clusters is not None:
            steps.append(counted("n′", m, "effective items: nothing varies, so each cluster counts once"))
        else:
            steps.append(counted("n′", m, "effective items: all of them"))
        return (
            *steps,
            step("L", "lower bound, at least 0",
                 "({p} + {z}² / (2 · {n_}) − {z} · √({p} · (1 − {p}) / {n_} + {z}² / (4 · {n_}²))) / "
                 "(1 + {z}² / {n_})", lower, p=p, z=z, n_=m),
            step("U", "upper bound, at most 1",
                 "({p} + {z}² / (2 · {n_}) + {z} · √({p} · (1 − {p}) / {n_} + {z}² / (4 · {n_}²))) / "
                 "(1 + {z}² / {n_})", upper, p=p, z=z, n_=m),
        )  # fmt: skip
    half = upper - p
    if variance > 0:
        steps += [
            counted("V", variance, "variance of the mean over items or clusters"),
            step("h", "half-width", "{z} · √{V}", half, z=z, V=variance),
        ]
    else:
        units = found.clusters or n
        steps.append(step("h", "half-width: nothing varies, and that is no certainty",
                          "max(1, |{p}|) · {z}² / ({units} + {z}²)", half, p=p, z=z, units=units))  # fmt: skip
    return (
        *steps,
        step("L", "lower bound", "{p} − {h}", lower, p=p, h=half),
        step("U", "upper bound", "{p} + {h}", upper, p=p, h=half),
    )
