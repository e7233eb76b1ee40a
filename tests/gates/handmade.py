"""Hand-made records behind a real store: what a run would have written, at any counts."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.comparison import compare_run
from harness.gates import judge
from harness.records.evaluation_manifest import EngineFacts, EvaluationManifest, Host, Identity, evaluation_key
from harness.records.items import ItemRecord, PlannedItem, outcome
from harness.records.run_manifest import RunManifest, TaskRun, VariantRun
from harness.records.store import Store
from harness.records.verdict import CandidateVerdict, Verdict
from harness.suite.models import Suite

HOST = Host(fingerprint="h", system="s", machine="m", processor="p", cores=2, memory_bytes=1, python="3.11")
NOW = "2026-01-01T00:00:00+00:00"


def facts(**changes: object) -> EngineFacts:
    whole = EngineFacts(
        engine="scripted",
        architecture="A",
        model_type="a",
        parameters=10,
        dtype="float32",
        device="cpu",
        linear_modules=4,
        weights_digest="base",
        weights_digest_full=True,
    )
    return whole.model_copy(update=changes)


QUANTIZED = facts(quantized_modules=4, bits_per_weight=8.1, weights_digest="q", quantized_kinds={"Linear8bitLt": 4})


def identity_of(variant: str, task: str, *, plan: str | None = None, **changes: object) -> Identity:
    """Everything is as everywhere else but `changes`, and what makes two evaluations two."""
    usual = Identity(
        weights="w", quantization="", tokenizer="t", requests=plan or f"plan-{task}", engine="scripted", versions={},
        dtype="float32", device_type="cpu", batching=f"of {variant}",
    )  # fmt: skip
    return usual.model_copy(update=changes)


def key_of(variant: str, task: str, *, plan: str | None = None, **changes: object) -> str:
    return evaluation_key(identity_of(variant, task, plan=plan, **changes))


class Bench:
    """Writes evaluations and runs as `quantgate run` would."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.tasks: dict[str, TaskRun] = {}
        self.variants: dict[str, VariantRun] = {}
        self.keys: dict[tuple[str, str], str] = {}
        """(variant, task) to the key of its evaluation."""

    def plan(
        self, task: str, items: list[PlannedItem], kind: str = "choice", metrics: tuple[str, ...] = ("acc",)
    ) -> None:
        self.store.save_plan(f"plan-{task}", items)
        self.tasks[task] = TaskRun(
            task=task,
            plan=f"plan-{task}",
            kind=kind,
            items=len(items),
            tokens=0,
            too_long=sum(item.too_long is not None for item in items),
            metrics=metrics,
            source="test",
        )

    def evaluation(self, variant: str, task: str, records: list[ItemRecord], **identity: object) -> None:
        """`identity`: what is not as everywhere else."""
        plan = self.tasks[task].plan if task in self.tasks else None
        key = self.keys[variant, task] = key_of(variant, task, plan=plan, **identity)
        chunks = self.store.chunks(key)
        chunks.append(records)
        self.store.complete(
            EvaluationManifest(
                key=key,
                identity=identity_of(variant, task, plan=plan, **identity),
                variant=variant,
                task=task,
                items=len(records),
                chunks=1,
                digest=chunks.digest(),
                facts=facts(),
                host=HOST,
                started_at=NOW,
                elapsed_s=1.0,
            )
        )

    def forget(self, variant: str, task: str) -> None:
        """As if it had never been computed."""
        shutil.rmtree(self.store.evaluation_folder(self.key(variant, task)))

    def key(self, variant: str, task: str) -> str:
        """Of the evaluation that was written last, or that would be."""
        return self.keys.get((variant, task)) or key_of(variant, task)

    def variant(self, name: str, tasks: list[str], **changes: object) -> None:
        run = VariantRun(variant=name, evaluations={task: self.key(name, task) for task in tasks}, facts=facts())
        self.variants[name] = run.model_copy(update=changes)

    def suite(self, gates: list[dict[str, object]], **changes: object) -> Suite:
        """A suite with these variants and tasks; keywords replace whole sections."""
        variants: dict[str, object] = {name: {"baseline": name == "fp32"} for name in self.variants}
        tasks = {
            name: {"perplexity": {"data": "d"}}
            if task.kind == "perplexity"
            else {"choice": {"data": "d", "prompt": "p", "choices": ["a", "b"], "answer": "a"}}
            for name, task in self.tasks.items()
        }
        return Suite.model_validate(
            {
                "suite": "s",
                "model": "m",
                "variants": variants,
                "tasks": tasks,
                "gates": gates,
                **changes,
            }
        )

    def manifest(self, **changes: object) -> RunManifest:
        """The run of these variants; what it was promoted after stands in `accepted.jsonl` already."""
        accepted = self.store.accepted("s")
        run = RunManifest(
            run="r1", suite="s", suite_file="s.yaml", suite_hash="", suite_text="", baseline="fp32",
            variants=dict(self.variants), tasks=dict(self.tasks), host=HOST, quantgate="0", started_at=NOW,
            elapsed_s=1.0, reference=accepted[-1].run if accepted else None,
            reference_variant=accepted[-1].variant if accepted else None,
        )  # fmt: skip
        return run.model_copy(update=changes)

    def verdict(self, gates: list[dict[str, object]], **suite_changes: object) -> Verdict:
        return judge(self.suite(gates, **suite_changes), compare_run(self.store, self.manifest()), judged_at=NOW)


def items(count: int, **changes: object) -> list[PlannedItem]:
    return [
        PlannedItem(item=f"i{n}", index=n, prompt_hash=f"h{n}", prompt="p", slices={"half": "ab"[n % 2]}).model_copy(
            update=changes
        )
        for n in range(count)
    ]


def answers(values: list[float]) -> list[ItemRecord]:
    return [
        ItemRecord(item=f"i{n}", prompt_hash=f"h{n}", metrics={"acc": outcome(value)}) for n, value in enumerate(values)
    ]


def one(verdict: Verdict) -> CandidateVerdict:
    assert len(verdict.candidates) == 1
    return verdict.candidates[0]


def binary_bench(root: Path, n: int, b: int, c: int, **candidate: object) -> Bench:
    """A candidate with b items lost and c won among n."""
    bench = Bench(root)
    bench.plan("t", items(n))
    base = [1.0] * b + [0.0] * c + [1.0] * (n - b - c)
    cand = [0.0] * b + [1.0] * c + [1.0] * (n - b - c)
    bench.evaluation("fp32", "t", answers(base))
    bench.evaluation("q", "t", answers(cand))
    bench.variant("fp32", ["t"])
    bench.variant("q", ["t"], **{"facts": QUANTIZED, "must_be_quantized": True, **candidate})
    return bench


DROP = [{"task": "t", "metric": "acc", "max_drop": 0.02}]
