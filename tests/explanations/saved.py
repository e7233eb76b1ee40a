"""A stored run with every kind of metric: right or wrong, graded, in clusters, documents, speed and memory."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np

from harness.comparison import compare_run
from harness.gates import judge
from harness.records.findings import Finding
from harness.records.items import DocumentScore, ItemRecord, OptionAnswer, PlannedItem, outcome
from harness.records.run_manifest import RunManifest, VariantRun
from harness.records.timings import MemoryFigures, SpeedRecord, TimedPair, TimingSample, WorkloadTimes
from harness.records.verdict import Verdict
from harness.suite.models import Suite
from tests.gates.handmade import HOST, NOW, QUANTIZED, Bench, facts

OPTIONS = ("yes", "no", "maybe")
HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] <script>alert(1)</script>\n::error title=x::gone\r\n\u202eesrever\x07"


def questions(
    task: str, n: int, rng: np.random.Generator, *, clusters: int = 0, prompt: str = "p"
) -> list[PlannedItem]:
    return [
        PlannedItem(
            item=f"{task}{i}", index=i, prompt_hash=f"h{i}", prompt=prompt, options=OPTIONS, expected=OPTIONS[i % 3],
            slices={"half": "ab"[i % 2]}, cluster=f"c{rng.integers(clusters)}" if clusters else None,
        )
        for i in range(n)
    ]  # fmt: skip


def replies(plan: list[PlannedItem], rng: np.random.Generator, noise: float, base: np.ndarray) -> list[ItemRecord]:
    """Log-likelihoods of the options, `noise` away from `base` ([n, 3]), and the metrics they give."""
    likelihoods = base + noise * rng.normal(size=base.shape)
    records = []
    for planned, values in zip(plan, likelihoods, strict=True):
        right = OPTIONS.index(planned.expected)
        graded = float(1 / (1 + np.exp(-values[right])))
        records.append(
            ItemRecord(
                item=planned.item,
                prompt_hash=planned.prompt_hash,
                options=tuple(OptionAnswer(log_likelihood=float(v), tokens=1, greedy=False) for v in values),
                metrics={"acc": outcome(float(values.argmax() == right)), "f1": outcome(graded)},
            )
        )
    return records


def texts(
    rng: np.random.Generator, count: int, extra: float
) -> tuple[list[PlannedItem], list[ItemRecord], list[ItemRecord]]:
    """Documents of unlike length; the candidate loses about `extra` nats per token."""
    plan: list[PlannedItem] = []
    sides: tuple[list[ItemRecord], list[ItemRecord]] = ([], [])
    for i in range(count):
        tokens = int(rng.integers(40, 200))
        plan.append(PlannedItem(item=f"w{i}", index=i, prompt_hash=f"h{i}", prompt="d", bytes=4 * tokens + i,
                                slices={"half": "ab"[i % 2]}))  # fmt: skip
        nll = float(tokens * rng.normal(2.5, 0.2))
        kl = rng.exponential(0.01, tokens).astype("<f4")
        other = nll + tokens * float(rng.normal(extra, 0.01))
        score = DocumentScore(
            nll=other, tokens=tokens, kl=float(kl.astype(float).sum()), top1_agree=int(tokens - rng.integers(0, 9)),
            delta_p=float(-rng.random()), delta_p_squared=float(rng.random()),
            kl_values=base64.b64encode(kl.tobytes()).decode(),
        )  # fmt: skip
        for side, document in zip(sides, (DocumentScore(nll=nll, tokens=tokens), score), strict=True):
            side.append(ItemRecord(item=f"w{i}", prompt_hash=f"h{i}", document=document, metrics={}))
    return plan, sides[0], sides[1]


def whole(root: Path, *, seed: int = 0, noise: float = 0.3, prompt: str = "p", documents: int = 40) -> Bench:
    """The run's evaluations and speed record; not yet judged."""
    rng = np.random.default_rng(seed)
    bench = Bench(root)
    for task, n, clusters in (("t", 300, 0), ("c", 240, 50)):
        plan = questions(task, n, rng, clusters=clusters, prompt=prompt)
        base = rng.normal(size=(n, 3))
        base[np.arange(n), np.arange(n) % 3] += 1.0
        bench.plan(task, plan, metrics=("acc", "f1"))
        bench.evaluation("fp32", task, replies(plan, rng, 0.0, base))
        bench.evaluation("q", task, replies(plan, rng, noise, base))
    plan, left, right = texts(rng, documents, 0.02)
    bench.plan("w", plan, kind="perplexity", metrics=())
    bench.evaluation("fp32", "w", left)
    bench.evaluation("q", "w", right)
    bench.variant("fp32", ["t", "c", "w"])
    bench.variant("q", ["t", "c", "w"], facts=QUANTIZED, must_be_quantized=True, speed="k")
    bench.variants["fp32"] = bench.variants["fp32"].model_copy(update={"facts": facts()})
    bench.store.save_speed(speed(rng))
    return bench


def speed(rng: np.random.Generator) -> SpeedRecord:
    def sample(scale: float) -> TimingSample:
        gaps = tuple(0.1 * scale * float(rng.uniform(0.9, 1.1)) for _ in range(9))
        return TimingSample(ttft_s=0.1 * scale, end_to_end_s=0.1 * scale + sum(gaps), inter_token_s=gaps)

    pairs = tuple(
        TimedPair(order="AB" if i % 2 else "BA", baseline=sample(float(rng.uniform(0.9, 1.1))),
                  candidate=sample(float(rng.uniform(0.7, 0.9))))
        for i in range(12)
    )  # fmt: skip
    return SpeedRecord(
        key="k", variant="q", baseline="fp32", host=HOST, measured_at=NOW,
        workloads=(WorkloadTimes(batch=1, prompt_tokens=10, new_tokens=10, pairs=pairs),),
        memory=MemoryFigures(weight_bytes=31), baseline_memory=MemoryFigures(weight_bytes=100),
    )  # fmt: skip


def judged(
    bench: Bench,
    gates: list[dict[str, object]],
    *,
    run: str = "r1",
    base: VariantRun | None = None,
    **suite_changes: object,
) -> Verdict:
    """Save the run and its verdict, as `quantgate run` would; gives the verdict."""
    tasks = {
        name: {"perplexity": {"data": "d"}}
        if task.kind == "perplexity"
        else {"choice": {"data": "d", "prompt": "p", "choices": ["a", "b"], "answer": "a"}}
        for name, task in bench.tasks.items()
    }
    suite = Suite.model_validate(
        {
            "suite": "s", "model": "m", "variants": {name: {"baseline": name == "fp32"} for name in bench.variants},
            "tasks": tasks, "gates": gates, **({} if base is None else {"base": "before"}), **suite_changes,
        }
    )  # fmt: skip
    manifest = RunManifest(
        run=run, suite="s", suite_file="s.yaml", suite_hash="", suite_text="", baseline="fp32",
        base=base, variants=bench.variants, tasks=bench.tasks, host=HOST, quantgate="0", started_at=NOW, elapsed_s=1.0,
    )  # fmt: skip
    bench.store.save_run(manifest)
    verdict = judge(suite, compare_run(bench.store, manifest), judged_at=NOW)
    bench.store.save_verdict(verdict)
    return bench.store.verdict("s", run)


def findings(verdict: Verdict) -> tuple[Finding, ...]:
    return (*verdict.baseline_findings, *(each for one in verdict.candidates for each in one.findings))
