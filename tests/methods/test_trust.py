"""Code that lies beside the weights runs in a tool only where the suite says so."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.methods import METHODS, filled
from harness.methods.base import Recipe
from harness.start import command
from tests.environments import Interpreter

CODE = """
import pathlib, transformers
pathlib.Path({mark!r}).touch()
class {name}(transformers.{base}):
    pass
"""
CASES: list[tuple[str, dict[str, Any]]] = [
    ("awq", {"tool": "autoawq"}),
    ("awq", {"tool": "auto-round"}),
    ("gptq", {"tool": "gptqmodel"}),
    ("compressed-tensors", {"scheme": "W8A16"}),
    ("gguf", {"type": "F16"}),
]


def with_code(folder: Path, mark: Path) -> None:
    """A folder whose configuration and tokenizer name classes of their own, in the place of Llama's. No weights."""
    folder.mkdir()
    for name, base in (("OwnConfig", "LlamaConfig"), ("OwnTokenizer", "PreTrainedTokenizerFast")):
        (folder / f"{name.lower()}.py").write_text(CODE.format(mark=str(mark), name=name, base=base))
    config = {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 64,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 32,
        "auto_map": {"AutoConfig": "ownconfig.OwnConfig"},
    }  # fmt: skip
    tokenizer = {
        "tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": [None, "owntokenizer.OwnTokenizer"]},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


@pytest.mark.slow
@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize(("method", "block"), CASES, ids=str)
@pytest.mark.fault("S11", "Python that comes with a model's configuration and tokenizer", "runs only when trusted")
def test_remote_code_runs_only_when_trusted(
    method: str, block: dict[str, Any], trust: bool, tmp_path: Path, interpreter: Interpreter
) -> None:
    """The tool reads configuration and tokenizer before it misses the weights: their code ran, or it did not."""
    whole = filled(method, block)
    tool = METHODS[method].tool(whole)
    assert tool is not None
    python = interpreter(tool.environment)
    mark, out = tmp_path / "ran", tmp_path / "out"
    with_code(tmp_path / "model", mark)
    out.mkdir()
    recipe = Recipe(
        source=str(tmp_path / "model"), out=str(out), block=whole, samples=((1, 2),), trust_remote_code=trust
    )
    (tmp_path / "job.json").write_text(json.dumps({"method": method, **asdict(recipe)}))
    variables = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command(python, "harness.quantization.make"), str(tmp_path / "job.json")],
        capture_output=True, text=True, cwd=tmp_path, env=variables, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode != 0
    assert mark.exists() is trust, done.stderr[-2000:]
    assert not (tmp_path / "made.json").exists()
