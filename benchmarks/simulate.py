"""How often each gate form is wrong, by simulation: false PASS and false FAIL, and power beside an unpaired z-test.

    python benchmarks/simulate.py                 all cases, a few minutes, into docs/statistics.md
    python benchmarks/simulate.py --sims 200      quicker and coarser, printed only
    python benchmarks/simulate.py --form recovery only the forms with this in their name

Every case has its own seeded generator, so the numbers depend neither on the machine nor on the order. Data are
drawn with a known truth (no drop, exactly the limit, twice the limit) and judged by the functions the gate calls.
"""

from __future__ import annotations

import argparse
import functools
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from corpus_draws import POPULATIONS, corpus
from draws import (
    ALPHA,
    KEPT,
    Draw,
    binary_limit,
    clustered,
    early_fail,
    graded_drop,
    graded_share,
    level,
    max_drop,
    max_increase,
    max_sum_ratio,
    min_ratio,
    rare_score,
    recovery,
    retained,
    retained_texts,
    weighted,
)
from repeat_draws import noise_limit, repeated
from token_draws import LIMITS, token_gate

SEED = 20_260
ITEMS = (50, 100, 200, 500, 1000, 2000)
DISCORDANCE = (0.02, 0.05, 0.10, 0.20)
TRUTHS = (0.0, 1.0, 2.0)
"""True loss in limits: none, exactly the limit, twice the limit."""
PAGE = Path(__file__).resolve().parent.parent / "docs" / "statistics.md"
START, END = "<!-- simulation: written by benchmarks/simulate.py -->", "<!-- end of simulation -->"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One gate form on one kind of data."""

    form: str
    setting: str
    n: int
    cost: int
    """Sims are divided by this."""
    draw: Draw
    """(generator, sims, true loss in limits) to what was said."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Rates of a case, one for each of `TRUTHS`."""

    form: str
    setting: str
    n: int
    sims: int
    passed: tuple[float, ...]
    failed: tuple[float, ...]
    z_passed: tuple[float, ...] | None


def _case(form: str, setting: str, n: int, draw: Draw, cost: int = 1) -> Case:
    return Case(form=form, setting=setting, n=n, draw=draw, cost=cost)


def cases(items: tuple[int, ...] = ITEMS, rates: tuple[float, ...] = DISCORDANCE) -> Iterator[Case]:
    """Every form over numbers of items and discordances, and the clustered ones over sizes and correlations."""
    for d in rates:
        for n in items:
            half = f"d {100 * d:g} %, limit {100 * binary_limit(d):g} pp"
            yield _case("max_drop, right or wrong", half, n, max_drop(n, d))
            yield _case("min_recovery and max_relative_drop", half, n, recovery(n, d), cost=2)
            yield _case("max_drop, graded", f"d {100 * d:g} %, limit {25 * d:g} pp", n, graded_drop(n, d), cost=4)
            if n >= 200:
                yield _case("early FAIL", half, n, early_fail(n, d), cost=8)
    yield from _graded_share_cases([n for n in items if n >= 100], [d for d in rates if d >= 0.05])
    yield from _clustered_cases([n for n in items if n in (200, 1000)], [d for d in rates if d >= 0.05])
    for documents in (20, *[n for n in items if n <= 500]):
        for spread, heavy in ((0.02, False), (0.1, False), (0.1, True)):
            setting = f"{spread} nats between documents{', heavy tails' if heavy else ''}, limit 2 %"
            yield _case("max_increase", setting, documents, max_increase(documents, spread, heavy=heavy))
    yield from _token_cases([20, *[n for n in items if n <= 200]])
    for floor in (0.5, 0.8, 0.95):
        for n in items:
            yield _case("min and max of a share", f"floor {100 * floor:g} %", n, level(n, floor))
    for pairs in (10, 20, 40):
        for noise, spikes in ((0.02, False), (0.1, False), (0.02, True)):
            setting = f"noise {100 * noise:g} %{', pauses' if spikes else ''}, limit 1.2 ×"
            yield _case("min_ratio and max_ratio of speed", setting, pairs, min_ratio(pairs, noise, spikes=spikes))
    yield from _retained_cases(items)
    yield from _corpus_cases([n for n in items if n in (50, 200, 500, 2000)])
    yield from _weighted_cases()
    for spread in (0.1, 0.3, 0.8):
        for n in (n for n in items if n in (50, 200, 1000)):
            setting = f"lengths vary by {100 * spread:g} %, limit 5 %"
            yield _case("max_ratio of sums", setting, n, max_sum_ratio(n, spread), cost=8)
            yield _case("max_ratio of sums", f"{setting}, clusters of 5", n, max_sum_ratio(n, spread, 5), cost=8)
    yield from _repeated_cases([n for n in items if n in (50, 200, 1000)])


def _graded_share_cases(items: list[int], rates: list[float]) -> Iterator[Case]:
    form = "min_recovery and max_relative_drop, graded"
    for d in rates:
        setting = f"d {100 * d:g} %, limit {37.5 * d:g} %"
        for n in items:
            yield _case(form, setting, n, graded_share(n, d), cost=8)
    for share in (0.1, 0.3, 0.7):
        for n in items:
            setting = f"{100 * share:g} % of the items score, limit {320 / (n * share):.2g} %"
            yield _case(form, setting, n, rare_score(n, share), cost=8)
    form += ", clustered"
    for d in rates:
        for n, size in ((n, size) for n in items if n in (200, 1000) for size in (5, 20)):
            setting = f"d {100 * d:g} %, limit {37.5 * d:g} %, {n // size} clusters of {size} that change whole"
            yield _case(form, setting, n, graded_share(n, d, size), cost=8)
    for n in (n for n in items if n >= 500):
        setting = f"30 % of {n // 5} clusters of 5 score, limit {320 / (n // 5 * 0.3):.2g} %"
        yield _case(form, setting, n, rare_score(n, 0.3, 5), cost=8)


def _clustered_cases(items: list[int], rates: list[float]) -> Iterator[Case]:
    for d in rates:
        for n in items:
            half = f"d {100 * d:g} %, limit {100 * binary_limit(d):g} pp"
            for size, icc in ((5, 0.1), (5, 0.5), (20, 0.1), (20, 0.5)):
                setting = f"{half}, {n // size} clusters of {size}, icc {icc}"
                yield _case("max_drop, right or wrong, clustered", setting, n, clustered(n, d, size, icc), cost=4)
                kept = clustered(n, d, size, icc, as_recovery=True)
                yield _case("min_recovery and max_relative_drop, clustered", setting, n, kept, cost=8)
            for size in (5, 20):
                setting = f"d {100 * d:g} %, limit {25 * d:g} pp, {n // size} clusters of {size} that change whole"
                yield _case("max_drop, graded, clustered", setting, n, graded_drop(n, d, size), cost=8)
    for floor in (0.5, 0.8, 0.95):
        for size, icc in ((5, 0.5), (20, 0.1)):
            for n in items:
                setting = f"floor {100 * floor:g} %, {n // size} clusters of {size}, icc {icc}"
                yield _case("min and max of a share, clustered", setting, n, level(n, floor, size, icc), cost=4)


def _weighted_cases() -> Iterator[Case]:
    """Means over tasks, like and unlike, and a slice against the rest."""
    form = "max_drop over several tasks"
    for d in (0.02, 0.08):
        limit = binary_limit(d) / 2
        for sizes in ((100, 100, 100), (300, 300, 300), (100, 300, 1000), (50,) * 10, (1000,) * 5):
            weights, name = (1 / len(sizes),) * len(sizes), f"d {100 * d:g} %, limit {100 * limit:g} pp"
            alike = (
                f"{len(sizes)} tasks of {sizes[0]}"
                if len(set(sizes)) == 1
                else f"tasks of {', '.join(map(str, sizes))}"
            )
            draw = weighted(sizes, weights, d, (limit,) * len(sizes), limit)
            yield _case(form, f"{name}, {alike}", sum(sizes), draw, cost=2)
        one = weighted((300, 300, 300), (1 / 3,) * 3, d, (1.5 * limit, 1.5 * limit, 0.0), limit)
        yield _case(
            form, f"d {100 * d:g} %, limit {100 * limit:g} pp, 3 tasks of 300, 2 lose all of it", 900, one, cost=2
        )
        uneven = weighted((100, 500, 500), (0.8, 0.1, 0.1), d, (limit,) * 3, limit)
        yield _case(form, f"d {100 * d:g} %, limit {100 * limit:g} pp, weights 8, 1, 1", 1100, uneven, cost=2)
    for d in (0.02, 0.08):
        limit = binary_limit(d)
        for inside, rest in ((50, 450), (100, 900), (250, 250), (500, 1500)):
            draw = weighted((inside, rest), (1.0, -1.0), d, (limit, 0.0), limit)
            setting = f"d {100 * d:g} %, limit {100 * limit:g} pp, {inside} against {rest}"
            yield _case("max_excess_drop", setting, inside + rest, draw, cost=2)


def _token_cases(counts: list[int]) -> Iterator[Case]:
    """Percentiles of Δp and EAR, over documents."""
    for metric, limit in LIMITS.items():
        form = "min of EAR" if metric == "ear_mean" else "min of a percentile of Δp"
        for lean in ("even", "long tail"):
            for documents in counts:
                setting = f"{metric}, limit {limit:g}, documents {lean}"
                yield _case(form, setting, documents, token_gate(documents, metric, lean), cost=4)


def _retained_cases(items: tuple[int, ...]) -> Iterator[Case]:
    for gain in (0.05, 0.15, 0.3):
        setting = f"gain {100 * gain:g} pp, limit {100 * KEPT:g} %"
        for n in items:
            yield _case("min_retained, right or wrong", setting, n, retained(n, gain), cost=4)
        if gain > 0.05:
            for n in (n for n in items if n in (200, 1000)):
                yield _case("min_retained, graded", setting, n, retained(n, gain, graded=True), cost=4)
                for size, icc in ((5, 0.1), (5, 0.5), (20, 0.1), (20, 0.5)):
                    within = f"{setting}, {n // size} clusters of {size}, icc {icc}"
                    draw = retained(n, gain, size, icc)
                    yield _case("min_retained, right or wrong, clustered", within, n, draw, cost=8)
                    draw = retained(n, gain, size, icc, graded=True)
                    yield _case("min_retained, graded, clustered", within, n, draw, cost=8)
        for documents in (20, *[n for n in items if n <= 500]):
            draw = retained_texts(documents, gain)
            yield _case("min_retained, perplexity", f"gain {gain:g} nats, limit {100 * KEPT:g} %", documents, draw)


def _repeated_cases(items: list[int]) -> Iterator[Case]:
    """Several sampled answers to each item, and the limit that is measured on the baseline's own."""
    for n in items:
        for k in (1, 2, 4, 8, 16):
            yield _case("max_drop over repeats", f"mean of {k}", n, repeated(n, k), cost=2)
        for shared in (0.0, 1.0):
            setting = f"mean of 4, {100 * shared:g} % of the random numbers in common"
            yield _case("max_drop over repeats", setting, n, repeated(n, 4, shared=shared), cost=2)
        for at, k in ((1, 1), (2, 4), (4, 8), (8, 8)):
            yield _case("max_drop over repeats", f"pass@{at} of {k}", n, repeated(n, k, "pass", at), cost=2)
        for at, k in ((3, 4), (8, 8)):
            yield _case("max_drop over repeats", f"maj@{at} of {k}", n, repeated(n, k, "maj", at), cost=2)
        for k in (2, 4, 8, 16):
            for shared in (0.0, 0.8):
                setting = f"{k} answers, {100 * shared:g} % of the random numbers in common"
                yield _case("max_drop: noise", setting, n, noise_limit(n, k, shared=shared))


def _corpus_cases(items: list[int]) -> Iterator[Case]:
    for setting, make in POPULATIONS.items():
        for n in items:
            yield _case("statistics of the whole", setting, n, corpus(make, n), cost=8)
        for n in (n for n in items if n in (200, 2000)):
            within = f"{setting}, {n // 5} clusters of 5 that change whole"
            yield _case("statistics of the whole, clustered", within, n, corpus(make, n, 5), cost=8)


def simulate(case: Case, sims: int) -> Row:
    """The case's rates. Seeded by what the case is, so that a case has the same numbers in any selection."""
    count = max(100, sims // case.cost)
    outcomes = []
    for truth in TRUTHS:
        name = f"{case.form}|{case.setting}|{case.n}|{truth}"
        rng = np.random.default_rng([SEED, *name.encode()])
        outcomes.append(case.draw(rng, count, truth))
    rates = [None if each.z_passed is None else float(each.z_passed.mean()) for each in outcomes]
    return Row(
        form=case.form,
        setting=case.setting,
        n=case.n,
        sims=count,
        passed=tuple(float(each.passed.mean()) for each in outcomes),
        failed=tuple(float(each.failed.mean()) for each in outcomes),
        z_passed=None if None in rates else tuple(rate for rate in rates if rate is not None),
    )


def _by_place(place: int, sims: int) -> Row:
    return simulate(list(cases())[place], sims)


def everything(sims: int, processes: int, form: str = "") -> list[Row]:
    """Every case of the forms with this in their name, over processes."""
    places = [place for place, case in enumerate(cases()) if form in case.form]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(functools.partial(_by_place, sims=sims), places, chunksize=2))


def table(rows: list[Row]) -> dict[str, str]:
    """Markdown by form, after an introduction under "": rates in percent, those over 5 % by more than 2 standard errors
    in bold."""
    parts = {
        "": f"{len(list(cases()))} cases, seed {SEED}. Rates in percent at alpha = 5 %. Bold: a false rate above 5 % "
        "by more than twice its Monte-Carlo error. “Unpaired” is the PASS rate of an unpaired z-test on the same data: "
        "at no drop its power, at the limit its false PASS."
    }
    for form in dict.fromkeys(row.form for row in rows):
        mine = [row for row in rows if row.form == form]
        count = mine[0].sims
        unpaired = mine[0].z_passed is not None
        title = (
            f"### {form}\n\n{count:,} simulations a rate; Monte-Carlo error {_error(count):.1f} at 5 %, "
            f"at most {50 / math.sqrt(count):.1f}."
        )
        head = ["data", "n", "no drop: PASS", "FAIL", "at the limit: PASS", "FAIL", "twice the limit: PASS", "FAIL"]
        head += ["unpaired, no drop: PASS", "at the limit: PASS"] if unpaired else []
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        for row in mine:
            wrong = [_rate(row.failed[0], row.sims), _rate(row.passed[1], row.sims), _rate(row.failed[1], row.sims)]
            cells = [row.setting, str(row.n), _plain(row.passed[0]), wrong[0], wrong[1], wrong[2]]
            cells += [_rate(row.passed[2], row.sims), _plain(row.failed[2])]
            if row.z_passed is not None:
                cells += [_plain(row.z_passed[0]), _rate(row.z_passed[1], row.sims)]
            lines.append("| " + " | ".join(cells) + " |")
        parts[form] = title + "\n\n" + "\n".join(lines)
    return parts


def _error(sims: int) -> float:
    return 100 * math.sqrt(ALPHA * (1 - ALPHA) / sims)


def _plain(rate: float) -> str:
    return f"{100 * rate:.1f}"


def _rate(rate: float, sims: int) -> str:
    over = rate > ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / sims)
    return f"**{_plain(rate)}**" if over else _plain(rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=4000, help="simulations of the cheap forms (default 4000)")
    parser.add_argument("--processes", type=int, default=None, help="processes (default: one a core)")
    parser.add_argument("--print", action="store_true", help="print the tables, leave docs/statistics.md alone")
    parser.add_argument("--form", default="", help="only forms with this in their name; the other tables stay")
    asked = parser.parse_args()
    started = time.monotonic()
    found = table(everything(asked.sims, asked.processes, asked.form))
    if asked.print or asked.sims != parser.get_default("sims"):
        print("\n\n".join(found.values()))
    else:
        page = PAGE.read_text(encoding="utf-8")
        before, written, after = page.split(START)[0], page.split(START)[1].split(END)[0], page.split(END)[1]
        stays = {each.partition("\n")[0]: f"### {each.strip()}" for each in written.split("\n### ")[1:]}
        every = ["", *dict.fromkeys(case.form for case in cases())]
        text = "\n\n".join(
            filter(None, (found.get(form) or stays.get(form) for form in every))
        )  # not yet run: left out
        PAGE.write_text(f"{before}{START}\n\n{text}\n\n{END}{after}", encoding="utf-8")
        print(f"wrote the tables into {PAGE.relative_to(PAGE.parent.parent)}")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
