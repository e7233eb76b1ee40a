"""The plan against lm-eval's own `hf` model: the requests it sends to the network are ours, token by token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import GenerateRequest, ScoreRequest, Window
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer
from harness.suite.load import load_suite

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
DEMO_MODEL = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
CONTEXT = 256
Pair = tuple[tuple[int, ...], tuple[int, ...]]


def recording(folder: Path) -> Any:
    """lm-eval's `hf` model around a tiny random Llama; it keeps what it would have computed."""
    import transformers
    from lm_eval.models.huggingface import HFLM

    class Recording(HFLM):  # type: ignore[misc]  # lm-eval has no types
        kept: list[Pair]

        def _loglikelihood_tokens(self, requests: Sequence[Any], **_: object) -> list[tuple[float, bool]]:
            self.kept += [(tuple(before), tuple(after)) for _, before, after in requests]
            return [(-1.0, False)] * len(requests)

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=CONTEXT,
    )
    model = transformers.LlamaForCausalLM(config)
    found = Recording(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=1)
    found.kept = []
    return found


def scored_pairs(plan: TaskPlan) -> list[list[Pair]]:
    """Per item the (context, continuation) ids in option order."""
    found = []
    for requests in plan.requests:
        scores = [each for each in requests if isinstance(each, ScoreRequest)]
        found.append([(each.context, tail) for each in scores for tail in each.continuations])
    return found


def instances_of(rows: Sequence[tuple[str, Sequence[str]]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt, f" {option}"), idx=index)
        for prompt, options in rows
        for index, option in enumerate(options)
    ]


def write_choice_suite(folder: Path, rows: Sequence[dict[str, object]], prompt: str, options: str) -> Path:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    choice = {"data": "rows.jsonl", "prompt": prompt, "choices": options, "answer": "{{expected_index}}"}
    suite = {
        "suite": "equal",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}},
        "tasks": {"ask": {"choice": choice}},
    }
    (folder / "suite.yaml").write_text(json.dumps(suite))
    return folder / "suite.yaml"


ROWS = [
    ("A man is seen speaking. he", ["throws the ball.", "ends  in the sea."], 0),
    ("Question: Where?\nAnswer: ", ["yes", "no", "maybe not"], 2),
    ("Trailing newline\n", ["red", "green"], 1),
    ("", ["The quick brown fox", "the lazy dog"], 1),
]


@pytest.mark.parametrize("kind", ["tokenizer_folder", "bos_folder"])
def test_choice_requests_are_lm_evals(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Trailing spaces, newlines, an empty context; with a tokenizer that adds BOS and one that does not."""
    folder: Path = request.getfixturevalue(kind)
    rows = [{"p": prompt, "o": options, "expected_index": answer} for prompt, options, answer in ROWS]
    loaded = load_suite(write_choice_suite(tmp_path, rows, "{{p}}", "{{o}}"))
    (plan,) = plan_suite(loaded, HfTokenizer(str(folder)), context_length=CONTEXT)
    model = recording(folder)
    model.loglikelihood(instances_of([(prompt, options) for prompt, options, _ in ROWS]), disable_tqdm=True)
    assert [pair for item in scored_pairs(plan) for pair in item] == model.kept


@pytest.mark.parametrize("kind", ["tokenizer_folder", "bos_folder"])
def test_generation_prompts_are_lm_evals(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A prompt, and one that already holds BOS, as `generate_until` would encode them alone in a batch."""
    folder: Path = request.getfixturevalue(kind)
    prompts = ["Question: Where?\nAnswer:", "<s><user>red\n<assistant>"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"p": each, "a": "x"}) + "\n" for each in prompts))
    suite = {
        "suite": "equal",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}},
        "tasks": {"say": {"generate": {"data": "rows.jsonl", "prompt": "{{p}}", "answer": "{{a}}", "until": ["\n"]}}},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    (plan,) = plan_suite(load_suite(tmp_path / "suite.yaml"), HfTokenizer(str(folder)), context_length=CONTEXT)
    model = recording(folder)
    for (ours,), prompt in zip(plan.requests, prompts, strict=True):
        assert isinstance(ours, GenerateRequest)
        assert list(ours.prompt) == model.tok_batch_encode([prompt])[0][0].tolist()
        assert ours.until == ("\n", "</s>")
        assert (ours.max_new_tokens, ours.temperature) == (64, 0.0)


def test_perplexity_windows_are_lm_evals(tokenizer_folder: Path, tmp_path: Path) -> None:
    """Stride = window = context: the same windows as `loglikelihood_rolling`, over a text of several."""
    from lm_eval.api.instance import Instance

    text = "The quick brown fox jumps over the lazy dog. " * 60
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": text}) + "\n")
    suite = {
        "suite": "equal",
        "model": "none",
        "variants": {"full": {"engine": "scripted", "baseline": True}},
        "tasks": {"read": {"perplexity": {"data": "rows.jsonl", "window": CONTEXT}}},
    }
    (tmp_path / "suite.yaml").write_text(json.dumps(suite))
    tokenizer = HfTokenizer(str(tokenizer_folder))
    (plan,) = plan_suite(load_suite(tmp_path / "suite.yaml"), tokenizer, context_length=CONTEXT)
    model = recording(tokenizer_folder)
    instance = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    model.loglikelihood_rolling([instance], disable_tqdm=True)
    ours = [each for each in plan.requests[0] if isinstance(each, Window)]
    assert len(ours) > 2
    # lm-eval hands over the input without its overlap with what is predicted.
    assert [(each.tokens[: each.scored_from], each.tokens[each.scored_from :]) for each in ours] == model.kept


SETS = [
    ("hellaswag", "{{ctx}}", "{{endings}}", "ctx", "endings"),
    ("truthfulqa_mc1", "Q: {{question}}\nA:", "{{choices}}", "question", "choices"),
]


@pytest.mark.model
@pytest.mark.parametrize(("name", "prompt", "options", "field", "choices"), SETS)
def test_real_rows_are_asked_as_lm_eval_asks_them(
    name: str, prompt: str, options: str, field: str, choices: str, tmp_path: Path
) -> None:
    """All 100 rows with SmolLM2's tokenizer: every option of every item has lm-eval's own token ids."""
    path = SHARED / name / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"no {name} in ../shared/data")
    if not DEMO_MODEL.is_dir():
        pytest.skip("no demo model; `make model` makes it")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    loaded = load_suite(write_choice_suite(tmp_path, rows, prompt, options))
    (plan,) = plan_suite(loaded, HfTokenizer(str(DEMO_MODEL)), context_length=CONTEXT * 4)
    written = [prompt.replace(f"{{{{{field}}}}}", row[field]) for row in rows]
    model = recording(DEMO_MODEL)
    model.loglikelihood(
        instances_of([(text, row[choices]) for text, row in zip(written, rows, strict=True)]), disable_tqdm=True
    )
    assert len(plan.items) == 100
    assert [pair for item in scored_pairs(plan) for pair in item] == model.kept
