"""A commented starter suite for a model folder. Reads the folder's config.json and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Problem, SuiteError

EXAMPLE = (
    '{"text": "My card was charged twice.", "label": "billing", "language": "en"}\n'
    '{"text": "I want my money back.", "label": "refund", "language": "en"}\n'
    '{"text": "Wo ist meine Rechnung?", "label": "billing", "language": "de"}\n'
)
HELDOUT = '{"text": "Text as your model meets it. One document a line; at least 20 of them."}\n'


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """The facts read from a model's config.json."""

    model_type: str | None
    dtype: str | None
    context: int | None


def folder_facts(model: Path) -> FolderFacts:
    """Read config.json; everything None when it does not exist. Raises `SuiteError` for a file that is not JSON."""
    path = model / "config.json"
    if not path.is_file():
        return FolderFacts(model_type=None, dtype=None, context=None)
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise SuiteError((Problem(place=str(path), key="", message=f"not JSON: {error}"),)) from error
    dtype = config.get("dtype", config.get("torch_dtype"))
    return FolderFacts(
        model_type=config.get("model_type"),
        dtype=dtype if dtype in ("float32", "float16", "bfloat16") else None,
        context=config.get("max_position_embeddings"),
    )


def write_starter(model: str, out: Path) -> tuple[Path, ...]:
    """Write the suite and two example data files next to it; never overwrites an existing suite. Raises
    `SuiteError`."""
    if out.exists():
        raise SuiteError((Problem(place=str(out), key="", message="exists already; choose another with --out"),))
    folder = Path(model)
    if model.startswith((".", "/", "~")) and not folder.expanduser().is_dir():
        raise SuiteError((Problem(place=model, key="", message="no such model folder"),))
    shown = str(folder.expanduser().resolve()) if folder.expanduser().is_dir() else model
    text = starter_suite(shown, folder_facts(Path(shown)), name=_name(folder))
    written = [out]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    for name, content in (("intents.jsonl", EXAMPLE), ("heldout.jsonl", HELDOUT)):
        path = out.parent / "data" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            written.append(path)
    return tuple(written)


def _name(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).strip("-.") or "suite"


def starter_suite(model: str, facts: FolderFacts, *, name: str) -> str:
    """The suite's text."""
    dtype = facts.dtype or "bfloat16"
    window = min(1024, facts.context or 1024)
    return f"""\
# What is asked of every variant, and the limits a quantized one must hold.
#   quantgate check THIS_FILE     validates it and says what its items can certify
#   quantgate run THIS_FILE       runs what is missing, judges, writes the report
suite: {name}
model: {json.dumps(model)}   # folder, hub id (pin it with revision:), or PEFT adapter
# base: BEFORE_FINE_TUNING   # folder or hub id: shows how much of the fine-tuning gain each variant keeps

variants:
  full: {{baseline: true, dtype: {dtype}}}        # full precision: everything is compared with it
  int8: {{quantize: {{method: bitsandbytes, bits: 8}}}}
  nf4: {{quantize: {{method: bitsandbytes, bits: 4, type: nf4, double_quant: true}}}}

tasks:
  # Multiple choice over your own data: replace data/intents.jsonl. Some hundred items are needed to certify 2 points.
  intents:
    choice:
      data: data/intents.jsonl
      prompt: "{{{{text}}}}\\nIntent:"
      choices: [billing, refund, other]
      answer: "{{{{label}}}}"
    slice_by: [language]
  # Perplexity, and divergence from the baseline, over held-out text: one document a line.
  heldout:
    perplexity: {{data: data/heldout.jsonl, field: text, window: {window}}}
  # Any lm-eval task by name:
  # general: {{lm_eval: hellaswag, limit: 500}}

speed:
  workloads: [{{batch: 1, prompt_tokens: 128, new_tokens: 32}}]
  pairs: 10

gates:
  - {{task: intents, metric: acc, max_drop: 0.02}}               # 0.02 is 2 percentage points
  - {{task: heldout, metric: perplexity, max_increase: 2%}}
  - {{task: heldout, metric: kl_mean, max: 0.05, severity: warn}}  # shown, does not decide
  - {{metric: weight_bytes, max_ratio: 0.6}}
"""
