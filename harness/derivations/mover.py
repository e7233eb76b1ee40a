"""Weighted drops of several samples: each with its own bounds, put together by MOVER."""

from __future__ import annotations

import numpy as np

from harness.derivations.shapes import Derivation, Sheet
from harness.samples.strata import StrataPairs
from harness.stats.mover import WeightedDrop

METHOD = (
    "MOVER (Zou and Donner, Statistics in Medicine 27, 2008, 1693–1702) over each sample's own bounds: Tango's score "
    "bound for right-or-wrong items, paired t for graded ones, over clusters where there are any"
)


def weighted_drops(sample: StrataPairs, found: WeightedDrop, *, alpha: float) -> Derivation:
    """Every part's drop and bounds, the weighted sum, and its bounds."""
    sheet = Sheet("Counted", alpha=alpha)
    for number, (name, part) in enumerate(zip(sample.names, sample.parts, strict=True), start=1):
        if number > 1:
            sheet.section(name)
        _part(sheet, number, name, sample, found)
        if part.failed:
            sheet.counted(f"failed{number}", part.failed, "of the candidate's answers failed and count as wrong")
    sheet.section("Together")
    numbers = range(1, len(sample.parts) + 1)
    total = " + ".join(f"{{w{each}}} · {{d{each}}}" for each in numbers)
    sheet.step("drop", "weighted sum of the drops", total, found.drop)
    related = _correlated(sheet, sample)
    sheet.step("L", "lower bound", f"{{drop}} − √({_length('e', numbers, related)})", found.lower)
    sheet.step("U", "upper bound", f"{{drop}} + √({_length('f', numbers, related)})", found.upper)
    return sheet.derivation(METHOD)


def _part(sheet: Sheet, number: int, name: str, sample: StrataPairs, found: WeightedDrop) -> None:
    part, stratum, weight = sample.parts[number - 1], found.strata[number - 1], sample.weights[number - 1]
    sheet.counted(f"n{number}", part.count, f"pairs of {name}")
    if part.kind == "binary":
        sheet.counted(f"b{number}", part.worse, "pairs that went from right to wrong")
        sheet.counted(f"c{number}", part.better, "pairs that went from wrong to right")
        sheet.step(f"d{number}", "its drop", f"({{b{number}}} − {{c{number}}}) / {{n{number}}}", stratum.drop)
    else:
        sheet.counted(f"Σd{number}", float(part.drops.sum()), "sum of the differences, positive where it is worse")
        sheet.step(f"d{number}", "its drop", f"{{Σd{number}}} / {{n{number}}}", stratum.drop)
    sheet.counted(f"l{number}", stratum.lower, "its own lower bound")
    sheet.counted(f"u{number}", stratum.upper, "its own upper bound")
    sheet.counted(f"w{number}", weight, "its weight")
    down, up = (f"({{d{number}}} − {{l{number}}})", f"({{u{number}}} − {{d{number}}})")
    if weight < 0:
        down, up = up, down
    sheet.step(f"e{number}", "its part of the way down", f"|{{w{number}}}| · {down}", found.below[number - 1])
    sheet.step(f"f{number}", "its part of the way up", f"|{{w{number}}}| · {up}", found.above[number - 1])


def _correlated(sheet: Sheet, sample: StrataPairs) -> list[tuple[int, int]]:
    """The parts that share items, each pair with its correlation."""
    found = []
    for left, right in zip(*np.nonzero(np.tril(sample.correlations, -1)), strict=True):
        one, other = int(right) + 1, int(left) + 1
        says = f"correlation of {sample.names[one - 1]} and {sample.names[other - 1]}, which share items"
        sheet.counted(f"r{one}_{other}", float(sample.correlations[left, right]), says)
        found.append((one, other))
    return found


def _length(symbol: str, numbers: range, related: list[tuple[int, int]]) -> str:
    squares = " + ".join(f"{{{symbol}{each}}}²" for each in numbers)
    products = "".join(f" + 2 · {{r{a}_{b}}} · {{{symbol}{a}}} · {{{symbol}{b}}}" for a, b in related)
    return squares + products
