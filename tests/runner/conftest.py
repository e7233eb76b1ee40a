"""Scripted suites: the whole way through real worker processes, without a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


def rows(count: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"q{n}",
            "question": f"Question {n}?",
            "topic": "ab"[n % 2],
            "options": ["yes", "no", "maybe"],
            "answer": n % 3,
        }
        for n in range(count)
    ]


@pytest.fixture
def write_suite(tmp_path: Path) -> Write:
    """Writes a scripted suite with its data; keywords replace whole sections."""

    def write(*, items: int = 90, variants: object = None, gates: object = None, **changes: object) -> Path:
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        lines = [json.dumps(row) for row in rows(items)]
        (data / "choice.jsonl").write_text("\n".join(lines) + "\n")
        texts = [json.dumps({"id": f"d{n}", "text": f"Document {n}. " * 20}) for n in range(24)]
        (data / "texts.jsonl").write_text("\n".join(texts) + "\n")
        suite: dict[str, object] = {
            "suite": "scripted",
            "model": "none",
            "variants": variants
            or {
                "full": {"engine": "scripted", "baseline": True, "script": {}},
                "small": {
                    "engine": "scripted",
                    "quantized": True,
                    "script": {"quantized_modules": 12, "noise": 0.05, "shift": 0.01},
                },
            },
            "tasks": {
                "ask": {
                    "choice": {
                        "data": "data/choice.jsonl",
                        "prompt": "{{question}}",
                        "choices": "{{options}}",
                        "answer": "{{answer}}",
                    },
                    "id": "id",
                    "slice_by": ["topic"],
                },
                "say": {
                    "generate": {
                        "data": "data/choice.jsonl",
                        "prompt": "{{question}}",
                        "answer": "{{options[answer]}}",
                        "max_new_tokens": 4,
                    },
                    "id": "id",
                },
                "read": {"perplexity": {"data": "data/texts.jsonl", "window": 64}, "id": "id"},
            },
            "gates": gates
            or [
                {"task": "ask", "metric": "acc", "max_drop": 0.02},
                {"task": "read", "metric": "perplexity", "max_increase": "5%"},
            ],
            **changes,
        }
        path = tmp_path / "suite.yaml"
        path.write_text(json.dumps(suite, indent=1))  # JSON is YAML
        return path

    return write
