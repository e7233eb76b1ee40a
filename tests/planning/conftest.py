"""A tokenizer trained in the test, a tiny random model, and suites over real files. Nothing comes from a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Hugging Face libraries read these when they are imported.
os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

from harness.planning.tokens import HfTokenizer
from harness.suite.load import LoadedSuite, load_suite

TEXT = [
    "The quick brown fox jumps over the lazy dog. Where does the river end? It ends in the sea.",
    "Question: What is the capital of France?\nAnswer: Paris",
    "A man is seen speaking to the camera while holding a ball. He throws the ball and another man catches it.",
    "yes no maybe red green blue 0 1 2 3 4 5 6 7 8 9 user assistant system",
]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
LoadSuite = Callable[..., LoadedSuite]
WriteRows = Callable[[str, Sequence[Mapping[str, object]]], str]


def train_tokenizer(folder: Path, *, adds_bos: bool, bos: bool = True) -> Path:
    """A byte-level BPE tokenizer of 400 tokens, saved as a model's folder has it."""
    import tokenizers
    import transformers

    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"] if bos else ["</s>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator(TEXT, trainer)
    if adds_bos:
        built.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    special = {"eos_token": "</s>", **({"bos_token": "<s>"} if bos else {})}
    loaded = transformers.PreTrainedTokenizerFast(tokenizer_object=built, chat_template=CHAT, **special)
    loaded.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that adds nothing of its own, as SmolLM2's."""
    return train_tokenizer(tmp_path_factory.mktemp("plain"), adds_bos=False)


@pytest.fixture(scope="session")
def bos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that puts BOS before every text, as Llama's."""
    return train_tokenizer(tmp_path_factory.mktemp("bos"), adds_bos=True)


@pytest.fixture(scope="session")
def no_bos_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer that has EOS only, as GPT-2's."""
    return train_tokenizer(tmp_path_factory.mktemp("eos"), adds_bos=False, bos=False)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> HfTokenizer:
    return HfTokenizer(str(tokenizer_folder))


@pytest.fixture(scope="session")
def bos_tokenizer(bos_folder: Path) -> HfTokenizer:
    return HfTokenizer(str(bos_folder))


@pytest.fixture
def write_rows(tmp_path: Path) -> WriteRows:
    """Writes a JSONL file beside the suite; returns its name."""

    def write(name: str, rows: Sequence[Mapping[str, object]]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return name

    return write


@pytest.fixture
def suite_of(tmp_path: Path) -> LoadSuite:
    """A loaded suite with these tasks; JSON is YAML."""

    def load(tasks: Mapping[str, Any], *, gates: Sequence[Mapping[str, Any]] = (), **changes: object) -> LoadedSuite:
        suite = {
            "suite": "planned",
            "model": "none",
            "variants": {
                "full": {"engine": "scripted", "baseline": True},
                "int8": {"quantize": {"method": "bitsandbytes", "bits": 8}},
            },
            "tasks": tasks,
            "gates": list(gates),
            **changes,
        }
        path = tmp_path / "suite.yaml"
        path.write_text(json.dumps(suite))
        return load_suite(path)

    return load
