"""A stored run with one task of each kind, several filters, an item without a score, and repeats."""

from __future__ import annotations

from pathlib import Path

from harness.records.items import DocumentScore, Failed, ItemRecord, OptionAnswer, PlannedItem, TextAnswer, outcome
from harness.records.run_manifest import RunManifest
from tests.gates.handmade import Bench

AWKWARD = 'Ünï  "quoted" \u2028 and \x85 =1+1\nnext'
"""Line separators that `str.splitlines` splits at, and what JSON escapes."""
FAILED = Failed(stage="generate", error="out of memory")


def saved_run(root: Path) -> tuple[Bench, RunManifest]:
    """Baseline fp32 and candidate q4 on `pick` (choices), `write` (two filters, repeats) and `docs` (documents)."""
    bench = Bench(root)
    picks = [
        PlannedItem(
            item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt=f"Q{n}: {AWKWARD}", options=("yes", "no", "maybe"),
            expected=("yes", "no", "maybe")[n % 3], slices={"topic": "ab"[n % 2]},
        )
        for n in range(6)
    ]  # fmt: skip
    writes = [
        PlannedItem(item=f"w{n}", index=n, prompt_hash=f"h{n}", prompt=f"{n} + 1 =", expected=str(n + 1), cluster="c")
        for n in range(4)
    ]
    docs = [
        PlannedItem(item=f"d{n}", index=n, prompt_hash=f"h{n}", prompt="Once upon", tokens=9, bytes=40 + n)
        for n in range(3)
    ]
    bench.plan("pick", picks, metrics=("acc", "acc_norm"))
    bench.plan("write", writes, kind="generate", metrics=("exact_match", "exact_match,strict", "edits"))
    bench.tasks["write"] = bench.tasks["write"].model_copy(update={"lower_is_better": ("edits",)})
    bench.plan("docs", docs, kind="perplexity", metrics=())
    for variant, right in (("fp32", 4), ("q4", 2)):
        bench.evaluation(variant, "pick", [_pick(n, n < right) for n in range(6)])
        bench.evaluation(variant, "write", [_write(n, 1.0 if n < right - 1 else 0.0) for n in range(4)])
        bench.evaluation(variant, "docs", [_document(n, 20.0 + right + n) for n in range(3)])
        bench.variant(variant, ["pick", "write", "docs"])
    run = bench.manifest()
    bench.store.save_run(run)
    return bench, run


def _pick(n: int, right: bool) -> ItemRecord:
    best = n % 3 if right else (n + 1) % 3
    options = tuple(
        OptionAnswer(log_likelihood=-1.25 if place == best else -2.5 - place / 3, tokens=1, greedy=place == best)
        for place in range(3)
    )
    value = outcome(float(right))
    return ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", options=options, metrics={"acc": value, "acc_norm": value})


def _write(n: int, value: float) -> ItemRecord:
    """The last one has no answer."""
    names = ("exact_match", "exact_match,strict", "edits")
    if n == 3:
        return ItemRecord(item="w3", prompt_hash="h3", metrics=dict.fromkeys(names, FAILED))
    answers = [TextAnswer(text=f" {n + 1}{AWKWARD}", tokens=2 + k, finish="stop", score=value) for k in range(2)]
    return ItemRecord(
        item=f"w{n}", prompt_hash=f"h{n}", answer=answers[0], repeats=(answers[1],),
        metrics={name: outcome(value / 2 if name == "edits" else value) for name in names},
    )  # fmt: skip


def _document(n: int, nll: float) -> ItemRecord:
    return ItemRecord(item=f"d{n}", prompt_hash=f"h{n}", document=DocumentScore(nll=nll, tokens=9), metrics={})
