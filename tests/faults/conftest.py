"""Two suites that are disturbed: one on the scripted engine, slowed down, and one on a tiny real model."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.drivers import Calm, undisturbed
from tests.faults.faults import Disk

Write = Callable[..., Path]
ITEMS, DOCUMENTS = 200, 60
SKIPPED = {
    "tmpfs": "a tmpfs can be mounted: nothing has to stand in for a full disk",
    "file size limit": "no right to mount a tmpfs: not a full disk, only files that may not grow were tested",
}
"""Why the other kind of full disk is left out, by the kind that can be had."""
SPEED = {"workloads": [{"batch": 1, "prompt_tokens": 4, "new_tokens": 3}], "pairs": 6}


def tasks() -> dict[str, object]:
    ask = {"data": "ask.jsonl", "prompt": "{{q}}", "choices": ["{{a}}", "{{b}}"], "answer": "{{a}}"}
    say = {"data": "ask.jsonl", "prompt": "{{q}}", "answer": "{{a}}", "metric": "contains", "max_new_tokens": 4}
    return {
        "ask": {"choice": ask},
        "say": {"generate": say},
        "read": {"perplexity": {"data": "read.jsonl", "window": 32}},
    }


def write_data(folder: Path) -> None:
    """Words that both tokenizers know."""
    source = random.Random(0)

    def words(count: int) -> str:
        return " ".join(f"w{source.randrange(7, 200)}" for _ in range(count))

    asked = [{"q": words(source.randrange(12, 40)), "a": words(1), "b": words(2)} for _ in range(ITEMS)]
    read = [{"text": words(source.randrange(20, 60))} for _ in range(DOCUMENTS)]
    for name, rows in (("ask", asked), ("read", read)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_suite(folder: Path, model: str, variants: dict[str, object], **more: object) -> Path:
    path = folder / "suite.yaml"
    path.write_text(json.dumps({"suite": "faults", "model": model, "variants": variants, "tasks": tasks(), **more}))
    return path


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a scripted suite of a few seconds; keywords go into the candidate's script."""

    def write(**script: object) -> Path:
        folder = tmp_path_factory.mktemp("scripted")
        write_data(folder)
        small = {"quantized_modules": 12, "noise": 0.05, "shift": 0.01, "delay": 0.03, **script}
        variants: dict[str, object] = {
            "full": {"engine": "scripted", "baseline": True, "script": {"delay": 0.03}},
            "small": {"engine": "scripted", "quantized": True, "script": small},
        }
        return write_suite(folder, "none", variants, speed=SPEED)

    return write


@pytest.fixture(scope="session")
def calm(scripted: Write, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The scripted suite, undisturbed."""
    return undisturbed(scripted(), tmp_path_factory.mktemp("calm"))


@pytest.fixture(scope="session")
def calm_real(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """A tiny random Llama in float32 and bfloat16, undisturbed."""
    import torch
    import transformers

    from tests.engines.tiny import save_tokenizer, tiny_config

    folder = tmp_path_factory.mktemp("real")
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(tiny_config("llama"))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(str(folder / "model"))
    save_tokenizer(folder / "model")
    write_data(folder)
    variants: dict[str, object] = {
        "fp32": {"baseline": True, "dtype": "float32"},
        "bf16": {"dtype": "bfloat16"},
    }
    return undisturbed(write_suite(folder, "./model", variants), tmp_path_factory.mktemp("calm_real"))


@pytest.fixture(params=["tmpfs", "file size limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk that is really full, where a tmpfs can be mounted, and else files that may not grow. One of the two is
    skipped and says why, so that a report shows which one was meant."""
    found = Disk(tmp_path / "disk")
    wanted = "tmpfs" if found.mounted else "file size limit"
    if request.param != wanted:
        found.close()
        pytest.skip(SKIPPED[wanted])
    yield found
    found.close()
