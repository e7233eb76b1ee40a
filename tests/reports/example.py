"""A verdict as a run would give it, with every decision in it and a model that writes hostile text."""

from __future__ import annotations

from typing import Literal

from harness.records.evaluation_manifest import EngineFacts, Host
from harness.records.findings import Check, Decision, Finding
from harness.records.measures import DivergentToken, DivergentTokens, Flip, Histogram, Measure, SliceMeasure, SpeedRow
from harness.records.timings import MemoryFigures
from harness.records.verdict import CandidateVerdict, TaskFacts, Verdict

HOSTILE = (
    "<script>alert('owned')</script>\n::error title=x::injected\n##[group]x | a | `b` @everyone "
    "<img src=x onerror=alert(1)> \u202eesrever\x1b[31m\x00\x07\r\n"
    "::add-mask::hunter2 http://evil.example/x.js ]]>"
)
LONG = "na " * 35_000
GIB = 1024**3


def example(*, run: str = "20260301-101500-a1b2", shift: float = 0.0) -> Verdict:
    """PASS bf16, INCONCLUSIVE int8, FAIL nf4, INVALID fake. `shift` moves every drop (a later run)."""
    return Verdict(
        suite="support-bot",
        run=run,
        decision="INVALID",
        sentence="INVALID: bf16 can be deployed; int8 cannot be decided with these items; nf4 must not be "
        "deployed; fake could not be compared soundly.",
        baseline="fp32",
        baseline_facts=facts("float32", 0, 32.0, 538_000_000),
        baseline_memory=memory(538_000_000, 1_310_000_000),
        baseline_checks=(Check(name="counts", held=True, blocks=True, says="1,062 of 1,062 items answered."),),
        baseline_findings=(
            finding("fp32", "PASS", metric="acc", form="min", limit=0.5, value=0.612, lower=0.591, upper=0.633),
        ),
        baseline_measures={"intents/acc": 0.612, "replies/exact_match": 0.45, "heldout/perplexity": 15.31},
        candidates=(
            candidate("bf16", "PASS", drop=0.0 + shift, kl=0.0004, speed=1.31, size=269_000_000),
            candidate("int8", "INCONCLUSIVE", drop=0.011 + shift, kl=0.012, speed=0.74, size=163_500_000),
            candidate("nf4", "FAIL", drop=0.046 + shift, kl=0.094, speed=0.58, size=112_300_000),
            invalid(),
        ),
        tasks=(
            TaskFacts(
                task="intents",
                kind="choice",
                items=900,
                tokens=61_200,
                too_long=0,
                metrics=("acc",),
                source="data/intents.jsonl",
            ),
            TaskFacts(
                task="replies",
                kind="generate",
                items=120,
                tokens=14_500,
                too_long=2,
                metrics=("exact_match",),
                source="data/replies.jsonl",
            ),
            TaskFacts(
                task="heldout",
                kind="perplexity",
                items=42,
                tokens=61_000,
                too_long=0,
                metrics=("perplexity",),
                source="data/heldout.jsonl",
            ),
        ),
        host=Host(
            fingerprint="c0ffee12",
            system="Linux 6.8",
            machine="x86_64",
            processor="AMD EPYC 9354",
            cores=8,
            memory_bytes=32 * GIB,
            accelerators=(),
            python="3.11.9",
        ),
        quantgate="0.1.0",
        alpha=0.05,
        started_at="2026-03-01T10:15:00+00:00",
        judged_at="2026-03-01T10:21:09+00:00",
        elapsed_s=369.0,
        reference="int8@20260215-090000-77aa",
        method=(
            "Every answer of a candidate is paired with the baseline's answer to the same token ids.",
            "PASS only where the upper one-sided 95 % bound of the loss lies below the limit; FAIL where the "
            "lower bound lies above it; otherwise INCONCLUSIVE.",
            "Binary metrics: Tango's score bound. Perplexity and KL: the document is the unit.",
        ),
    )


def facts(dtype: str, quantized: int, bits: float, weights: int) -> EngineFacts:
    return EngineFacts(
        engine="transformers",
        architecture="LlamaForCausalLM",
        model_type="llama",
        parameters=134_515_008,
        dtype=dtype,
        device="cpu",
        linear_modules=211,
        quantized_modules=quantized,
        quantized_kinds={"Linear4bit": quantized} if quantized else {},
        bits_per_weight=bits,
        weight_bytes=weights,
        kernels=("sdpa",),
        vocabulary=49_152,
        context_length=8192,
        versions={"torch": "2.13.0", "transformers": "5.23.0", "bitsandbytes": "0.49.2"},
        pass_tokens=2048,
        cache_tokens=46_603,
        memory_budget=2**32,
        load_s=2.4,
    )


def memory(weights: int, peak: int) -> MemoryFigures:
    return MemoryFigures(
        weight_bytes=weights,
        process_peak_load_bytes=peak - 90_000_000,
        process_peak_inference_bytes=peak,
        workload="1x256+64",
    )


def finding(
    variant: str,
    decision: Decision,
    *,
    metric: str,
    form: str,
    limit: float,
    value: float | None,
    lower: float | None = None,
    upper: float | None = None,
    task: str | None = "intents",
    unit: str = "fraction",
    gate: str = "gates[0]",
    severity: Literal["block", "warn"] = "block",
    reason: str | None = None,
    more: int | None = None,
    cut: str | None = None,
    workload: str | None = None,
) -> Finding:
    return Finding(
        gate=gate,
        variant=variant,
        task=task,
        metric=metric,
        slice=cut,
        workload=workload,
        form=form,
        limit=limit,
        value=value,
        lower=lower,
        upper=upper,
        alpha=0.05,
        n=900,
        unit=unit,
        decision=decision,
        severity=severity,
        against="fp32",
        more_items=more,
        reason=reason or f"{metric} is {value or 0:.4g}, limit {form} {limit:g}",
    )


def candidate(variant: str, decision: Decision, *, drop: float, kl: float, speed: float, size: int) -> CandidateVerdict:
    worse, better = round(30 + 900 * drop), 30
    rise = 1.4 * kl
    return CandidateVerdict(
        variant=variant,
        decision=decision,
        sentence={
            "PASS": "holds all 5 blocking limits",
            "INCONCLUSIVE": "intents acc: down 1.10 pp, at 95% confidence between -0.60 pp and 2.90 pp; "
            "limit 2.00 pp, not decided; about 2,410 more items would decide",
            "FAIL": "intents acc: down 4.60 pp, at 95% confidence between 2.90 pp and 6.40 pp; "
            "limit 2.00 pp, exceeded (and 2 more)",
        }[decision],
        findings=_findings(variant, decision, drop, rise, kl, speed, size),
        checks=(
            Check(name="quantized", held=True, blocks=True, says="211 of 211 linear modules are quantized."),
            Check(name="counts", held=True, blocks=True, says="1,062 of 1,062 items answered."),
            Check(name="calibration", held=False, blocks=False, says="No calibration data is named."),
        ),
        measures=_measures(drop, rise, kl, worse, better),
        reference_measures=_measures(drop - 0.004, rise, kl, worse - 3, better)[:1],
        flips=_flips(variant),
        flips_total={"intents": worse + better, "replies": 9},
        histograms=(_histogram(kl),),
        divergent=_divergent(variant),
        speed=_speed(speed),
        memory=memory(size, size + 700_000_000),
        facts=facts("bfloat16", 0 if variant == "bf16" else 211, 16.0 if variant == "bf16" else 8.3, size),
        quantization={"bf16": "bfloat16", "int8": "bitsandbytes 8-bit"}.get(
            variant, "bitsandbytes 4-bit nf4, double quantization"
        ),
        seconds=82.0,
        log=f"results/support-bot/logs/{variant}.log",
    )


def _findings(
    variant: str, decision: Decision, drop: float, rise: float, kl: float, speed: float, size: int
) -> tuple[Finding, ...]:
    fast: Decision = "PASS" if speed >= 1.2 else "FAIL"
    return (
        finding(
            variant,
            decision,
            metric="acc",
            form="max_drop",
            limit=0.02,
            value=drop,
            lower=drop - 0.017,
            upper=drop + 0.018,
            more=2410 if decision == "INCONCLUSIVE" else None,
            reason=f"down {100 * drop:.2f} pp, at 95% confidence between {100 * drop - 1.7:.2f} pp and "
            f"{100 * drop + 1.8:.2f} pp; limit 2.00 pp"
            + ("; about 2,410 more items would decide" if decision == "INCONCLUSIVE" else ""),
        ),
        finding(
            variant,
            "FAIL" if decision == "FAIL" else "PASS",
            metric="acc",
            form="max_drop",
            limit=0.05,
            value=drop + 0.02,
            lower=drop - 0.01,
            upper=drop + 0.05,
            gate="gates[1] language=de",
            cut="language=de",
        ),
        finding(
            variant,
            "FAIL" if rise > 0.1 else "PASS",
            metric="perplexity",
            form="max_increase",
            limit=0.02,
            value=rise,
            lower=rise * 0.9,
            upper=rise * 1.1,
            task="heldout",
            unit="",
            gate="gates[2]",
        ),
        finding(
            variant,
            "FAIL" if kl > 0.05 else "PASS",
            metric="kl_mean",
            form="max",
            limit=0.02,
            value=kl,
            lower=kl * 0.93,
            upper=kl * 1.07,
            task="heldout",
            unit="nats",
            gate="gates[3]",
            severity="warn",
        ),
        finding(
            variant,
            fast,
            metric="decode_tokens_per_s",
            form="min_ratio",
            limit=1.2,
            value=speed,
            lower=speed * 0.97,
            upper=speed * 1.03,
            task=None,
            unit="tok/s",
            gate="gates[4]",
            severity="warn",
            workload="1x256+64",
        ),
        finding(
            variant,
            "PASS",
            metric="weight_bytes",
            form="max_ratio",
            limit=0.55,
            value=size / 538_000_000,
            task=None,
            unit="B",
            gate="gates[5]",
        ),
    )


def _measures(drop: float, rise: float, kl: float, worse: int, better: int) -> tuple[Measure, ...]:
    slices = tuple(
        SliceMeasure(
            slice=name,
            n=n,
            baseline=level,
            candidate=level - drop - extra,
            change=drop + extra,
            lower=drop + extra - 0.03,
            upper=drop + extra + 0.03,
        )
        for name, n, level, extra in (
            ("language=de", 210, 0.55, 0.02),
            ("language=en", 480, 0.66, -0.006),
            ("language=fr", 210, 0.57, 0.0),
        )
    )
    return (
        Measure(
            task="intents",
            metric="acc",
            kind="binary",
            unit="fraction",
            higher_is_better=True,
            n=900,
            baseline=0.612,
            candidate=0.612 - drop,
            change=drop,
            lower=drop - 0.017,
            upper=drop + 0.018,
            right_to_wrong=worse,
            wrong_to_right=better,
            mcnemar_midp=0.21,
            slices=slices,
        ),
        Measure(
            task="replies",
            metric="exact_match",
            kind="binary",
            unit="fraction",
            higher_is_better=True,
            n=118,
            baseline=0.45,
            candidate=0.45 - drop / 2,
            change=drop / 2,
            lower=drop / 2 - 0.035,
            upper=drop / 2 + 0.041,
            right_to_wrong=6,
            wrong_to_right=3,
            mcnemar_midp=0.5,
            failed=1,
        ),
        Measure(
            task="heldout",
            metric="perplexity",
            kind="perplexity",
            unit="",
            higher_is_better=False,
            n=42,
            baseline=15.31,
            candidate=15.31 * (1 + rise),
            change=rise,
            lower=rise * 0.9,
            upper=rise * 1.1,
        ),
        Measure(
            task="heldout",
            metric="kl_mean",
            kind="divergence",
            unit="nats",
            higher_is_better=False,
            n=42,
            baseline=None,
            candidate=kl,
            change=kl,
            lower=kl * 0.93,
            upper=kl * 1.07,
        ),
        Measure(
            task="heldout",
            metric="kl_p99",
            kind="divergence",
            unit="nats",
            higher_is_better=False,
            n=42,
            baseline=None,
            candidate=kl * 9,
            change=kl * 9,
            lower=kl * 8,
            upper=kl * 10,
        ),
        Measure(
            task="heldout",
            metric="top1_agreement",
            kind="divergence",
            unit="fraction",
            higher_is_better=True,
            n=42,
            baseline=None,
            candidate=1 - kl,
            change=1 - kl,
            lower=0.98 - kl,
            upper=1.0 - kl / 2,
        ),
    )


def _flips(variant: str) -> tuple[Flip, ...]:
    first = Flip(
        task="intents",
        metric="acc",
        item="intents-0042",
        direction="right_to_wrong",
        slices={"language": "de"},
        prompt="Meine Karte wurde zweimal belastet.\nIntent:",
        expected="billing",
        baseline_answer="billing",
        candidate_answer="refund",
        baseline_margin=1.42,
        candidate_margin=-0.31,
    )
    hostile = first.model_copy(
        update={
            "item": "intents-<b>0043",
            "candidate_answer": HOSTILE,
            "prompt": HOSTILE,
            "baseline_margin": None,
        }
    )
    many = tuple(
        first.model_copy(update={"item": f"intents-{index:04d}", "baseline_margin": 1.0}) for index in range(100, 140)
    )
    answer = first.model_copy(
        update={
            "task": "replies",
            "metric": "exact_match",
            "item": "replies-0007",
            "direction": "wrong_to_right",
            "prompt": "Customer: When will my parcel arrive?",
            "expected": "Within three days.",
            "baseline_answer": "It will arrive in three days or so.",
            "candidate_answer": "Within three days.",
            "slices": {},
            "baseline_margin": None,
            "candidate_margin": None,
        }
    )
    long = answer.model_copy(update={"item": "replies-0011", "candidate_answer": LONG, "direction": "right_to_wrong"})
    return (first, hostile, *many, answer, long) if variant != "bf16" else (first,)


def _divergent(variant: str) -> tuple[DivergentTokens, ...]:
    """Of nf4 one token that carries half of the mean, and hostile ones; of int8 what an earlier version stored."""
    token = DivergentToken(
        item="heldout-0007", place=311, kl=6.2, share=0.48, delta_p=-0.93,
        before="The capital of France is the city of", text=" Paris", baseline_top=" Paris", top=" Lyon",
    )  # fmt: skip
    hostile = token.model_copy(
        update={"item": "heldout-<b>", "before": HOSTILE[-40:], "text": HOSTILE, "top": "\n|", "kl": 2.5, "share": 0.01}
    )
    half = token.model_copy(
        update={"before": "日\u202e本\x1b[31m", "text": "⟨token 1234⟩", "top": "\ufffd", "kl": 1.25, "share": 0.005}
    )
    bare = DivergentToken(item="heldout-0003", place=1, kl=0.75, share=0.0021)
    known = {"nf4": (token, hostile, half), "int8": (bare,)}.get(variant, ())
    few, carried = (1, 0.48) if variant == "nf4" else (None, None)
    return tuple(DivergentTokens(task="heldout", tokens=4096, few=few, carried=carried, most=known) for _ in known[:1])


def _histogram(kl: float) -> Histogram:
    edges = tuple(10 ** (-7 + index / 4) for index in range(33))
    centre = 18 + round(4 * (kl > 0.001)) + round(4 * (kl > 0.05))
    counts = tuple(max(0, 9000 - 190 * (index - centre) ** 2) for index in range(32))
    return Histogram(task="heldout", edges=edges, counts=counts, below=1200, above=3)


def _speed(ratio: float) -> tuple[SpeedRow, ...]:
    return (
        SpeedRow(
            workload="1x256+64",
            metric="prefill_tokens_per_s",
            unit="tok/s",
            higher_is_better=True,
            baseline=812.0,
            candidate=812 * ratio * 0.9,
            ratio=ratio * 0.9,
            lower=ratio * 0.87,
            upper=ratio * 0.93,
            pairs=10,
        ),
        SpeedRow(
            workload="1x256+64",
            metric="decode_tokens_per_s",
            unit="tok/s",
            higher_is_better=True,
            baseline=31.2,
            candidate=31.2 * ratio,
            ratio=ratio,
            lower=ratio * 0.97,
            upper=ratio * 1.03,
            pairs=10,
        ),
        SpeedRow(
            workload="1x256+64",
            metric="ttft_s",
            unit="s",
            higher_is_better=False,
            baseline=0.315,
            candidate=0.315 / ratio,
            ratio=1 / ratio,
            lower=None,
            upper=None,
            pairs=3,
            note="too few pairs for an interval",
        ),
    )


def invalid() -> CandidateVerdict:
    return CandidateVerdict(
        variant="fake",
        decision="INVALID",
        sentence="It says 4-bit and holds no quantized module.",
        findings=(),
        checks=(
            Check(
                name="quantized",
                held=False,
                blocks=True,
                says="0 of 211 linear modules are quantized, though the suite asks for bitsandbytes 4-bit.",
            ),
            Check(
                name="tokens",
                held=False,
                blocks=True,
                says=f"intents item 3 is tokenised differently: {HOSTILE}",
            ),
        ),
        measures=(),
        flips=(),
        flips_total={},
        histograms=(),
        speed=(),
        memory=None,
        facts=facts("float32", 0, 32.0, 538_000_000),
        quantization="bitsandbytes 4-bit nf4",
        seconds=4.0,
    )
