"""The real model and the real data, where they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.protocol import LoadSpec
from harness.worker.client import Worker

ROOT = Path(__file__).parents[2]
MODEL = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def model() -> Path:
    """SmolLM2-135M-Instruct in float32, made by `make model`."""
    if not (MODEL / "model.safetensors").is_file():
        pytest.skip(f"the demo model is not at {MODEL.relative_to(ROOT)}; make it with `make model`")
    return MODEL


@pytest.fixture(scope="session")
def data() -> Path:
    """Public benchmark samples that are not part of the project."""
    if not DATA.is_dir():
        pytest.skip("the benchmark samples are not beside this checkout")
    return DATA


@pytest.fixture(scope="session")
def documents(data: Path) -> list[str]:
    """Four short documents of WikiText-2 (validation), as its ` = Title = ` lines split it."""
    found: list[list[str]] = []
    for line in (data / "wikitext-2" / "valid.txt").read_text().splitlines():
        if line.startswith(" = ") and not line.startswith(" = ="):
            found.append([])
        if found:
            found[-1].append(line)
    texts = ["\n".join(lines) for lines in found]
    return sorted(texts, key=len)[2:6]


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def full(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with the float32 model."""
    with Worker("fp32", log=tmp_path_factory.mktemp("logs") / "fp32.log") as worker:
        worker.load(LoadSpec(variant="fp32", engine="transformers", path=str(model), dtype="float32"))
        yield worker
