"""What both sides are asked: the same items from the same files, as a quantgate task and as an lm-eval task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = 5
NEW_TOKENS = 64
WINDOW = 512
PERPLEXITY_CHARACTERS = 100_000
"""About 24,000 tokens of WikiText-2."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One task in both shapes."""

    name: str
    title: str
    items: int
    ours: dict[str, Any]
    """The task's block in a suite."""
    theirs: dict[str, Any]
    """lm-eval's task configuration, without its data."""
    file: str
    batches: tuple[int, ...] = (1, 8, 16, 32)
    """Batch sizes of which lm-eval's best is taken."""
    trial: int = 16
    """Items on which that is found out."""
    max_length: int | None = None


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def choice(name: str, title: str, rows: list[dict[str, Any]], folder: Path) -> Workload:
    """Four options behind one prompt."""
    file = write(folder / f"{name}.jsonl", rows)
    metrics = [{"metric": each, "aggregation": "mean", "higher_is_better": True} for each in ("acc", "acc_norm")]
    return Workload(
        name=name,
        title=title,
        items=len(rows),
        file=file,
        ours={"choice": {"data": file, "prompt": "{{prompt}}", "choices": "{{endings}}", "answer": "{{answer}}"}},
        theirs={
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "endings",
            "doc_to_target": "answer",
            "metric_list": metrics,
        },
    )


def hellaswag(data: Path, folder: Path, items: int, examples: int) -> Workload:
    """HellaSwag, with some rows as shared examples in front of all others' prompts.

    Items and examples are spread over the file: its first half has short captions only, its second half long articles.
    """
    rows = read(data / "hellaswag" / "hellaswag.jsonl")
    asked = [f"{row['activity_label']}: {row['ctx']}" for row in rows]
    first = spread(range(len(rows)), examples)
    shown = "".join(f"{asked[place]} {rows[place]['endings'][rows[place]['expected_index']]}\n\n" for place in first)
    made = [
        {"prompt": shown + asked[place], "endings": rows[place]["endings"], "answer": rows[place]["expected_index"]}
        for place in spread([place for place in range(len(rows)) if place not in first], items)
    ]
    if examples:
        return choice("examples", f"the same with {examples} shared examples", made, folder)
    return choice("choice", "4-choice log-likelihood, HellaSwag", made, folder)


def spread(places: Sequence[int], number: int) -> list[int]:
    """`number` of the places, at equal distances."""
    number = min(number, len(places))
    return [places[(2 * step + 1) * len(places) // (2 * number)] for step in range(number)]


def gsm8k(data: Path, folder: Path, items: int) -> Workload:
    """Word problems of mixed lengths, greedy, at most 64 new tokens."""
    rows = read(data / "gsm8k" / "gsm8k.jsonl")[:items]
    file = write(folder / "generate.jsonl", [{"prompt": row["prompt"], "answer": row["expected"]} for row in rows])
    prompt = "Question: {{prompt}}\nAnswer:"
    return Workload(
        name="generate",
        title=f"generation, GSM8K, {NEW_TOKENS} new tokens, greedy",
        items=len(rows),
        file=file,
        ours={
            "generate": {
                "data": file,
                "prompt": prompt,
                "answer": "{{answer}}",
                "max_new_tokens": NEW_TOKENS,
                "until": ["Question:"],
            }
        },
        theirs={
            "output_type": "generate_until",
            "doc_to_text": prompt,
            "doc_to_target": "{{answer}}",
            "generation_kwargs": {"until": ["Question:"], "max_gen_toks": NEW_TOKENS, "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        },
        trial=32,
    )


def wikitext(data: Path, folder: Path, characters: int) -> Workload:
    """The first documents of WikiText-2 (validation), in windows of 512 tokens that do not overlap."""
    documents: list[list[str]] = []
    for line in (data / "wikitext-2" / "valid.txt").read_text().splitlines():
        if line.startswith(" = ") and not line.startswith(" = ="):
            documents.append([])
        if documents:
            documents[-1].append(line)
    rows: list[dict[str, Any]] = []
    for lines in documents:
        text = "\n".join(lines)
        if characters <= 0:
            break
        rows.append({"text": text[:characters]})
        characters -= len(text)
    file = write(folder / "perplexity.jsonl", rows)
    return Workload(
        name="perplexity",
        title=f"perplexity of WikiText-2, window {WINDOW}",
        items=len(rows),
        file=file,
        ours={"perplexity": {"data": file, "field": "text", "window": WINDOW}},
        theirs={
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "word_perplexity"}],
        },
        batches=(1, 8, 16),
        trial=1,
        max_length=WINDOW,
    )


def workloads(data: Path, folder: Path, share: float = 1.0) -> dict[str, Workload]:
    """Every workload by name. `share`: of the items, for a quick look."""
    made = (
        hellaswag(data, folder, max(8, round(100 * share)), 0),
        hellaswag(data, folder, max(8, round(95 * share)), EXAMPLES),
        gsm8k(data, folder, max(8, round(40 * share))),
        wikitext(data, folder, max(4000, round(PERPLEXITY_CHARACTERS * share))),
    )
    return {each.name: each for each in made}
