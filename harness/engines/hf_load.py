"""Loading with transformers: folders, hub ids, adapters, bitsandbytes; pickles and remote code only on request."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engines.seam import LoadSpec, OutOfMemoryError
from harness.errors import EngineError

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in evaluation mode with its tokenizer."""

    model: Any
    tokenizer: Any
    weights_path: str
    quantized: bool
    """A quantization was asked for or stood in the checkpoint."""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Foreign exceptions become ours, in this one place."""
    import torch

    try:
        yield
    except (EngineError, OutOfMemoryError):
        raise
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemoryError(str(error).splitlines()[0]) from error
    except MemoryError as error:
        raise OutOfMemoryError("the machine's memory is used up") from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text or "not enough memory" in text:
            raise OutOfMemoryError(text.splitlines()[0]) from error
        raise EngineError(f"{path}: {text.splitlines()[0]}") from error
    except (OSError, ValueError, ImportError, KeyError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"{path}: {first}") from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise EngineError(
                f"{path}: a weights file is damaged or cut off ({error}); download or export it again"
            ) from error
        raise


def load_model(spec: LoadSpec) -> Loaded:
    """Load weights and tokenizer as the spec says. Raises `EngineError` with what to do."""
    if spec.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    if spec.threads is not None:
        torch.set_num_threads(spec.threads)
    torch.manual_seed(spec.seed)
    path, adapter = _base_and_adapter(spec)
    local = Path(path).is_dir()
    if local:
        _check_folder(Path(path), allow_pickle=spec.allow_pickle)
    config = _quantization(spec)
    keywords: dict[str, Any] = {
        "revision": None if local else spec.revision,
        "trust_remote_code": spec.trust_remote_code,
        "use_safetensors": None if spec.allow_pickle else True,
        "dtype": getattr(torch, spec.dtype) if spec.dtype is not None else "auto",
    }
    if config is not None:
        keywords["quantization_config"] = config
    if spec.device_map is not None:
        keywords["device_map"] = spec.device_map if isinstance(spec.device_map, str) else dict(spec.device_map)
    elif config is not None or spec.device != "cpu":
        keywords["device_map"] = {"": spec.device}
    if spec.max_memory is not None:
        keywords["max_memory"] = {int(key) if key.isdigit() else key: value for key, value in spec.max_memory.items()}
    model = transformers.AutoModelForCausalLM.from_pretrained(path, **keywords)
    if adapter is not None:
        model = _with_adapter(model, adapter)
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        spec.tokenizer or path,
        revision=None if local or spec.tokenizer else spec.revision,
        trust_remote_code=spec.trust_remote_code,
    )
    quantized = getattr(model.config, "quantization_config", None) is not None
    return Loaded(model=model, tokenizer=tokenizer, weights_path=path, quantized=quantized)


def _base_and_adapter(spec: LoadSpec) -> tuple[str, str | None]:
    """The weights' place and the adapter's. A path that is itself an adapter names its base."""
    described = Path(spec.path) / "adapter_config.json"
    if not described.is_file():
        return spec.path, spec.adapter
    if spec.adapter is not None:
        raise EngineError(f"{spec.path} is an adapter itself; it cannot take another adapter")
    base = json.loads(described.read_text()).get("base_model_name_or_path")
    if not base:
        raise EngineError(f"{described}: base_model_name_or_path is missing; give the base as path and this as adapter")
    beside = Path(spec.path) / base
    return (str(beside.resolve()) if beside.is_dir() else str(base)), spec.path


def _check_folder(folder: Path, *, allow_pickle: bool) -> None:
    if not (folder / "config.json").is_file():
        raise EngineError(f"{folder}: no config.json, so this is no model folder that transformers can load")
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled and not allow_pickle:
        raise EngineError(
            f"{folder}: its weights are pickled ({pickled[0]}), and loading a pickle runs code. Save them as "
            "safetensors, or set allow_pickle: true in the suite if you trust the file"
        )
    if not pickled:
        raise EngineError(f"{folder}: no *.safetensors weights in this folder")


def _quantization(spec: LoadSpec) -> Any:
    """transformers' quantization config for the spec's `quantize` block; None without one."""
    if spec.quantize is None:
        return None
    method = spec.quantize["method"]
    if method == "bitsandbytes":
        return _bitsandbytes(spec.quantize)
    raise EngineError(f"the transformers engine knows no quantization method {method!r}")


def _bitsandbytes(block: Mapping[str, Any]) -> Any:
    import torch
    import transformers

    try:
        import bitsandbytes  # noqa: F401  # transformers' own message for a missing package is a riddle
    except ImportError as error:
        raise EngineError("bitsandbytes is not installed: pip install 'quantgate[bitsandbytes]'") from error
    if block["bits"] == 8:
        # It tells at every layer of every pass that it casts to float16. That is how the method works.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        threshold = block.get("threshold")
        return transformers.BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=6.0 if threshold is None else float(threshold)
        )
    compute = block.get("compute_dtype")
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=block.get("type") or "nf4",
        bnb_4bit_use_double_quant=bool(block.get("double_quant")),
        bnb_4bit_compute_dtype=getattr(torch, compute) if compute else None,
    )


def _with_adapter(model: Any, adapter: str) -> Any:
    try:
        import peft
    except ImportError as error:
        raise EngineError("peft is not installed: pip install 'quantgate[peft]'") from error
    return peft.PeftModel.from_pretrained(model, adapter, is_trainable=False)


def core_of(model: Any) -> Any:
    """The causal language model itself, without an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def input_device(model: Any) -> Any:
    """Where token ids have to be."""
    return core_of(model).get_input_embeddings().weight.device
