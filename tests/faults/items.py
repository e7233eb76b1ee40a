"""Stored runs of one task at any answers: two sides' options or texts, as `quantgate run` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.planning.ties import Likelihood, shared_among_ties
from harness.records.items import ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from tests.gates.handmade import QUANTIZED, Bench

LETTERS = ("A", "B", "C", "D")
SIDES = ("fp32", "q")


def choices(
    root: Path,
    likelihoods: Mapping[str, ArrayLike],
    gold: Sequence[int],
    *,
    slices: Sequence[str] | None = None,
    options: Sequence[Sequence[str]] | None = None,
) -> Bench:
    """A choice task over the letters, or over `options` of each item. `likelihoods`: side to [items, options]."""
    bench = Bench(root)
    width = np.asarray(likelihoods["fp32"]).shape[1]
    texts = options or [LETTERS[:width]] * len(gold)
    bench.plan("t", [_planned(n, texts[n], texts[n][gold[n]], slices) for n in range(len(gold))])
    for side in SIDES:
        table = np.asarray(likelihoods[side], dtype=float)
        bench.evaluation(side, "t", [_chosen(n, row, texts[n], gold[n]) for n, row in enumerate(table)])
        _variant(bench, side)
    return bench


def picks(picked: Sequence[int], *, seed: int, width: int = 4) -> NDArray[np.float64]:
    """Log-likelihoods under which these options are chosen, no two of them equal."""
    found = -2 - np.random.default_rng(seed).random((len(picked), width))
    found[np.arange(len(picked)), list(picked)] = -1 - np.random.default_rng(seed + 1).random(len(picked)) / 2
    return found


def _chosen(number: int, row: NDArray[np.float64], texts: Sequence[str], gold: int) -> ItemRecord:
    options = tuple(
        OptionAnswer(log_likelihood=None if np.isnan(each) else float(each), tokens=1, greedy=False) for each in row
    )

    def process(responses: Sequence[Likelihood]) -> Mapping[str, object]:
        return {"acc": float(np.argmax([total for total, _ in responses]) == gold)}

    acc = float("nan")
    if not np.isnan(row).any():
        acc = float(shared_among_ties(process, [(float(each), False) for each in row], texts)["acc"])  # type: ignore[arg-type]
    return ItemRecord(item=f"i{number}", prompt_hash=f"h{number}", options=options, metrics={"acc": outcome(acc)})


def texts(
    root: Path,
    answers: Mapping[str, Sequence[str]],
    scores: Mapping[str, ArrayLike],
    *,
    metric: str = "exact_match",
    slices: Sequence[str] | None = None,
    lower_is_better: bool = False,
) -> Bench:
    """A generation task: each side's texts and the metric's value of each; NaN is an answer that could not be had."""
    bench = Bench(root)
    count = len(answers["fp32"])
    bench.plan("t", [_planned(n, (), "", slices) for n in range(count)], kind="generate", metrics=(metric,))
    if lower_is_better:
        bench.tasks["t"] = bench.tasks["t"].model_copy(update={"lower_is_better": (metric,)})
    for side in SIDES:
        values = np.asarray(scores[side], dtype=float)
        records = [
            ItemRecord(
                item=f"i{n}",
                prompt_hash=f"h{n}",
                answer=TextAnswer(text=text, tokens=3, finish="stop"),
                metrics={metric: outcome(float(value))},
            )
            for n, (text, value) in enumerate(zip(answers[side], values, strict=True))
        ]
        bench.evaluation(side, "t", records)
        _variant(bench, side)
    return bench


def _planned(number: int, options: Sequence[str], expected: str, slices: Sequence[str] | None) -> PlannedItem:
    own = {} if slices is None else {"part": slices[number]}
    return PlannedItem(
        item=f"i{number}",
        index=number,
        prompt_hash=f"h{number}",
        prompt="p",
        options=tuple(options),
        expected=expected,
        slices=own,
    )


def _variant(bench: Bench, side: str) -> None:
    own = {} if side == "fp32" else {"facts": QUANTIZED, "must_be_quantized": True}
    bench.variant(side, ["t"], **own)
