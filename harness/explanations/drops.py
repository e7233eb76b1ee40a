"""Drops with their numbers put in: Tango's score bound, also over clusters, and the paired t."""

from __future__ import annotations

import numpy as np

from harness.explanations.shapes import Section, Step, counted, step
from harness.explanations.unseen import GAFFKE, unseen_section
from harness.samples.measures import drop_of
from harness.samples.pairs import PairedMetric
from harness.stats import GradedDrop, PairedDrop
from harness.stats.drop import cluster_squares, cluster_variance, independent_variance
from harness.stats.tango import tango_terms

TANGO = "Tango's score bound for a paired difference (Statistics in Medicine 17, 1998, 891–908)"
CLUSTERED = "; counts divided by the design effect, Student's t over clusters"
PAIRED_T = "paired t on the mean difference"


def explain_drop(metric: PairedMetric, *, limit: float, alpha: float) -> tuple[str, tuple[Section, ...]]:
    """Method and steps of a `max_drop`."""
    drop = drop_of(metric, margin=limit, alpha=alpha)
    if isinstance(drop, PairedDrop):
        method = TANGO + (CLUSTERED if drop.clusters is not None else "")
        return method + (GAFFKE if drop.unseen is not None else ""), _tango(metric, drop)
    method = PAIRED_T + (", cluster-robust" if drop.clusters is not None else "")
    return method + (GAFFKE if drop.unseen is not None else ""), _graded(metric, drop)


def _tango(metric: PairedMetric, drop: PairedDrop) -> tuple[Section, ...]:
    n, b, c = drop.n, drop.right_to_wrong, drop.wrong_to_right
    steps = [
        counted("n", n, "pairs: items that both answered"),
        counted("b", b, "pairs that went from right to wrong"),
        counted("c", c, "pairs that went from wrong to right"),
        *_failures(metric),
        step("drop", "the drop seen", "({b} − {c}) / {n}", drop.drop, b=b, c=c, n=n),
        step("d", "discordance: share of pairs whose outcome changed", "({b} + {c}) / {n}", drop.discordance, b=b, c=c,
             n=n),
    ]  # fmt: skip
    sections = [Section(title="Counted", steps=tuple(steps))]
    if drop.clusters is not None:
        sections.append(Section(title="Clusters", steps=_clusters(metric, drop)))
    if drop.clusters == 1:
        return tuple(sections)
    sections.append(Section(title="Quantile", steps=(_quantile(drop.quantile, drop.alpha, drop.clusters),)))
    own = drop.score_bounds
    mark = "" if drop.unseen is None else "₀"
    places = (("D = m, the limit", drop.margin), (f"D = U{mark}, the upper bound", own[1]),
              (f"D = L{mark}, the lower bound", own[0]))  # fmt: skip
    sections += [Section(title=f"At {name}", steps=tango_steps(drop, at)) for name, at in places]
    wider = None if drop.unseen is None else drop.unseen.unseen_bounds(drop.alpha)
    if wider is not None:
        sections.append(unseen_section(own, wider, (drop.lower, drop.upper), word="clusters"))
    return tuple(sections)


def tango_steps(drop: PairedDrop, at: float) -> tuple[Step, ...]:
    """The statistic at a hypothesised drop, with the effective counts."""
    share = drop.n_effective / drop.n
    n, b, c = drop.n * share, drop.right_to_wrong * share, drop.wrong_to_right * share
    found = tango_terms(n, b, c, at)
    names = {"n": n, "b": b, "c": c} if drop.clusters is None else {"n_": n, "b_": b, "c_": c}
    mark = "" if drop.clusters is None else "_"
    put_in = {**names, "D": at}

    def formula(text: str) -> str:
        return text.replace("<n>", f"{{n{mark}}}").replace("<b>", f"{{b{mark}}}").replace("<c>", f"{{c{mark}}}")

    a, linear, constant = 2 * n, found.linear, found.constant
    # Of the two equal forms of the root the one that judged: where B is above 0 the other loses its digits.
    root = "(−{B} + √({B}² − 4 · {A} · {C})) / (2 · {A})"
    if linear > 0:
        root = "−2 · {C} / ({B} + √({B}² − 4 · {A} · {C}))"
    return (
        counted("D", at, "hypothesised drop"),
        step("A", "", formula("2 · <n>"), a, **_only(names, f"n{mark}")),
        step("B", "", formula("{D} · (2 · <n> − <b> + <c>) − (<b> + <c>)"), linear, **put_in),
        step("C", "", formula("−<c> · {D} · (1 − {D})"), constant, D=at, **_only(names, f"c{mark}")),
        step("q", "most likely share of pairs from wrong to right, were the drop D; never under 0", root, found.q, A=a,
             B=linear, C=constant),
        step("z", "the score statistic", formula("(<b> − <c> − <n> · {D}) / √(<n> · (2 · {q} + {D} · (1 − {D})))"),
             found.z, q=found.q, **put_in),
    )  # fmt: skip


def _only(values: dict[str, float], name: str) -> dict[str, float]:
    return {name: values[name]}


def _clusters(metric: PairedMetric, drop: PairedDrop) -> tuple[Step, ...]:
    groups, n = drop.clusters or 1, drop.n
    steps = [counted("G", groups, "clusters; the record's `cluster`, an item without one stands alone")]
    if groups == 1:
        return (*steps, counted("n′", 1, "one cluster says nothing about another, so nothing is decided"))
    sample, labels = metric.drops, np.asarray(metric.clusters)
    share = drop.n_effective / n
    if np.ptp(sample) > 0:
        squares = cluster_squares(sample, labels)
        robust, independent = cluster_variance(sample, labels), independent_variance(sample)
        steps += [
            counted("Σs²", squares, "over clusters, the squared sum of (difference − drop)"),
            step("V_CR", "cluster-robust variance of the drop", "{G} / ({G} − 1) · {sum_s2} / {n}²", robust, G=groups,
                 sum_s2=squares, n=n),
            step("V_iid", "its variance were the items independent", "({b} + {c} − {n} · {drop}²) / ({n} − 1) / {n}",
                 independent, b=drop.right_to_wrong, c=drop.wrong_to_right, n=n, drop=drop.drop)
            if metric.whole
            else counted("V_iid", independent, "its variance were the items independent"),
            step("deff", "design effect, at least 1", "max(1, {V_CR} / {V_iid})", drop.deff, V_CR=robust,
                 V_iid=independent),
            step("n′", "effective pairs", "{n} / {deff}", drop.n_effective, n=n, deff=drop.deff),
        ]  # fmt: skip
    else:
        steps.append(step("n′", "effective pairs: nothing varies, so each cluster counts once", "{G}",
                          drop.n_effective, G=groups))  # fmt: skip
    put_in = {"b": drop.right_to_wrong, "c": drop.wrong_to_right}
    steps += [
        step(f"{name}′", "", f"{{{name}}} · {{n_}} / {{n}}", value * share, **{name: value}, n_=drop.n_effective, n=n)
        for name, value in put_in.items()
    ]
    return tuple(steps)


def _quantile(quantile: float, alpha: float, clusters: int | None) -> Step:
    if clusters is None:
        return step("z_q", "standard normal quantile", "Φ⁻¹(1 − {alpha})", quantile, alpha=alpha)
    return step("t_q", "Student's t quantile with G − 1 degrees of freedom", "t⁻¹(1 − {alpha}; {G} − 1)", quantile,
                alpha=alpha, G=clusters)  # fmt: skip


def _failures(metric: PairedMetric) -> tuple[Step, ...]:
    if not metric.failed:
        return ()
    return (counted("failed", metric.failed, "of the candidate's answers failed and count as wrong"),)


def _graded(metric: PairedMetric, drop: GradedDrop) -> tuple[Section, ...]:
    n, total, sample = drop.n, float(metric.drops.sum()), metric.drops
    units = n if drop.clusters is None else drop.clusters
    unit, word = ("n", "items") if drop.clusters is None else ("G", "clusters")
    steps = [
        counted("n", n, "pairs: items that both answered"),
        *(() if drop.clusters is None else (counted("G", drop.clusters, "clusters"),)),
        *_failures(metric),
        counted("Σd", total, "sum of the differences, positive where the candidate is worse"),
        step("drop", "mean difference", "{sum_d} / {n}", drop.drop, sum_d=total, n=n),
    ]
    if units == 1:
        return (Section(title="Counted", steps=tuple(steps)),)
    if drop.se > 0:
        labels = np.arange(n) if metric.clusters is None else metric.clusters
        squares = cluster_squares(sample, labels)
        half = drop.quantile * drop.se
        bounds = [
            counted("Σs²", squares, f"over {word}, the squared sum of (difference − drop)"),
            step("SE", "standard error of the drop", f"√({{{unit}}} / ({{{unit}}} − 1) · {{sum_s2}}) / {{n}}", drop.se,
                 sum_s2=squares, n=n, **({} if unit == "n" else {"G": units})),
            step("t", f"Student's t quantile with {unit} − 1 degrees of freedom",
                 f"t⁻¹(1 − {{alpha}}; {{{unit}}} − 1)", drop.quantile, alpha=drop.alpha, **{unit: units}),
            step("h", "half-width", "{t} · {SE}", half, t=drop.quantile, SE=drop.se),
        ]  # fmt: skip
    else:
        half = drop.upper - drop.drop
        bounds = [
            counted("q", drop.quantile, "normal quantile" if drop.clusters is None else "t quantile, G − 1 degrees"),
            step("h", "half-width: nothing varies, and that is no certainty",
                 f"{{scale}} · {{q}}² / ({{{unit}}} + {{q}}²)", half, scale=drop.scale, q=drop.quantile,
                 **{unit: units}),
        ]  # fmt: skip
    own, mark = (drop.drop - half, drop.drop + half), "" if drop.unseen is None else "₀"
    bounds += [
        step(f"L{mark}", "lower bound", "{drop} − {h}", own[0], drop=drop.drop, h=half),
        step(f"U{mark}", "upper bound", "{drop} + {h}", own[1], drop=drop.drop, h=half),
    ]
    if drop.se > 0:
        bounds.append(step("T", "statistic at the limit", "({drop} − {m}) / {SE}", drop.t, drop=drop.drop,
                           m=drop.margin, SE=drop.se))  # fmt: skip
    sections = (Section(title="Counted", steps=tuple(steps)), Section(title="Bounds", steps=tuple(bounds)))
    if drop.unseen is None:
        return sections
    return *sections, unseen_section(own, drop.unseen, (drop.lower, drop.upper), word=word)
