"""Loading with transformers: folders, hub ids, adapters, bitsandbytes; pickles and remote code only on request.

Architectures that cannot answer text tasks are refused in one sentence.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.checkpoints.resolve import Checkpoint, resolve
from harness.engines.load_reference import reference_of
from harness.engines.protocol import LoadSpec
from harness.engines.transformers.adapter import with_adapter
from harness.engines.transformers.checkpoint_keys import check_keys
from harness.engines.transformers.placement import check_places, is_moved, runs_on
from harness.engines.transformers.safetensors_files import Stored, check_claim, described, stored_tensors
from harness.errors import EngineError
from harness.methods import METHODS
from harness.methods.already_quantized import refuse_requantization
from harness.methods.base import Method, dtype_of
from harness.methods.bnb import quiet

FAST_GROUPS = (32, 64, 128, 256)
"""Group sizes of torch's packed 4-bit product on a CPU."""
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model in evaluation mode with its tokenizer."""

    model: Any
    tokenizer: Any
    checkpoint: Checkpoint
    quantized: bool
    """A quantization was asked for or stood in the checkpoint."""
    stored: tuple[Stored, ...] = ()
    """What the base's safetensors files hold."""
    gguf: Path | None = None
    """The .gguf file that was dequantised."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was put together."""


def load_model(spec: LoadSpec, scratch: str | None = None) -> Loaded:
    """Load weights and tokenizer as the spec says. Raises `EngineError` with what to do.

    `scratch`: folder for weights that a device map puts on disk, which outlives the model.
    """
    if spec.offline:
        os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(spec.seed)
    found = resolve(reference_of(spec))
    path, revision = found.base.path, found.base.revision
    local = not found.base.is_hub
    if local:
        _check_folder(Path(path), allow_pickle=spec.allow_pickle, gguf_file=spec.gguf_file)
    method = _method(spec)
    if method is not None and local:
        refuse_requantization(Path(path), method.name)
    check_places(spec)
    tensors = _stored(found) if spec.gguf_file is None else ()
    model, notes = _from_pretrained(path, _keywords(spec, path, revision, method, scratch), tensors)
    if method is not None and method.apply is not None:
        if is_moved(model):
            raise EngineError(
                f"{method.name} quantizes a model that lies on one device; leave device_map and max_memory out"
            )
        model = method.apply(model, spec.quantize or {}, spec.device)
    for place, adapter in enumerate(found.adapters):
        if place:  # what an adapter was trained on, with the adapters before it, is one model
            model = model.merge_and_unload()
        given = place == len(found.adapters) - 1 and spec.adapter is not None
        model, more = with_adapter(model, adapter, put_on=found.base if given else None)
        notes += more
    model.eval()
    if described(getattr(model.config, "quantization_config", None)).get("load_in_8bit"):
        quiet()
    quantized = method is not None or getattr(model.config, "quantization_config", None) is not None
    return Loaded(
        model=model,
        tokenizer=_tokenizer(spec, found),
        checkpoint=found,
        quantized=quantized,
        gguf=found.gguf if local else None,
        stored=tensors,
        notes=notes,
    )


@contextmanager
def loading_threads(spec: LoadSpec) -> Iterator[None]:
    """As many threads as the spec says, and while loading half of them where another model loads beside this one.

    They are set even where they stay: torch then also tells MKL not to choose for itself, and a model shall compute the
    same whatever it was loaded beside.
    """
    import torch

    threads = spec.threads or torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2) if spec.beside else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _keywords(
    spec: LoadSpec, path: str, revision: str | None, method: Method | None, scratch: str | None
) -> dict[str, Any]:
    """The arguments of `from_pretrained`."""
    old = int(version("transformers").partition(".")[0]) < 5
    local = Path(path).is_dir()
    keywords: dict[str, Any] = {
        "revision": None if local else revision,
        "trust_remote_code": spec.trust_remote_code,
        "use_safetensors": None if spec.allow_pickle else True,
        "torch_dtype" if old else "dtype": dtype_of(spec.dtype) if spec.dtype is not None else "auto",
    }
    config = method.config(spec.quantize or {}) if method is not None and method.config is not None else None
    if spec.gguf_file is not None:
        keywords.update(gguf_file=spec.gguf_file, use_safetensors=None)
    elif config is None and local and spec.device == "cpu":
        config = _cpu_kernel(Path(path))
    if config is not None:
        keywords["quantization_config"] = config
    if spec.device_map is not None:
        keywords["device_map"] = spec.device_map if isinstance(spec.device_map, str) else dict(spec.device_map)
    elif config is not None or spec.device != "cpu":
        keywords["device_map"] = {"": spec.device}
    if scratch is not None:
        keywords["offload_folder"] = scratch
    if spec.max_memory is not None:
        keywords["max_memory"] = {int(key) if key.isdigit() else key: value for key, value in spec.max_memory.items()}
    return keywords


def _cpu_kernel(folder: Path) -> Any:
    """For GPTQ groups that gptqmodel's fastest kernel for CPUs cannot take, the one that can; None for all else."""
    found = json.loads((folder / "config.json").read_text()).get("quantization_config") or {}
    if found.get("quant_method") != "gptq" or found.get("group_size") in FAST_GROUPS or is_old_gptq(str(folder)):
        return None
    import transformers

    return transformers.GPTQConfig(bits=int(found["bits"]), backend="torch")


def _stored(found: Checkpoint) -> tuple[Stored, ...]:
    """What the base's files hold, after it was held against what its configuration claims."""
    folder = found.base.folder
    if folder is None:
        return ()
    tensors = stored_tensors(each for each in found.weights if each.is_relative_to(folder))
    check_claim(found.base.path, folder, tensors)
    return tensors


def _from_pretrained(path: str, keywords: dict[str, Any], tensors: Sequence[Stored]) -> tuple[Any, tuple[str, ...]]:
    """Load the weights, and hold names of the checkpoint against the model's. Notes come with it."""
    if is_old_gptq(path):
        from harness.engines.transformers.auto_gptq import load_gptq

        return load_gptq(path, keywords), ()
    keywords = {**keywords, "ignore_mismatched_sizes": True}  # judged below, by name
    found: Any = model_class(path, keywords).from_pretrained(path, output_loading_info=True, **keywords)
    model, info = found
    return model, check_keys(path, model, info, tensors)


def _tokenizer(spec: LoadSpec, found: Checkpoint) -> Any:
    import transformers

    place = found.tokenizer
    keywords = {"gguf_file": spec.gguf_file} if found.gguf_tokenizer else {}
    try:
        return transformers.AutoTokenizer.from_pretrained(
            place.path, revision=place.revision, trust_remote_code=spec.trust_remote_code, **keywords
        )
    except ValueError:
        # transformers 5 saves a class that transformers 4 does not know; the tokenizer itself is in one file.
        if place.folder is None or not (place.folder / "tokenizer.json").is_file():
            raise
        return transformers.PreTrainedTokenizerFast.from_pretrained(str(place.folder))


def _check_folder(folder: Path, *, allow_pickle: bool, gguf_file: str | None) -> None:
    if gguf_file is not None and not (folder / gguf_file).is_file():
        raise EngineError(f"{folder}: no file {gguf_file} in this folder")
    if gguf_file is None and not (folder / "config.json").is_file():
        raise EngineError(f"{folder}: no config.json, so this is not a model folder that transformers can load")
    if any(folder.glob("*.safetensors")) or gguf_file is not None:
        return
    pickled = sorted(path.name for pattern in PICKLED for path in folder.glob(pattern))
    if pickled and not allow_pickle:
        raise EngineError(
            f"{folder}: its weights are pickled ({pickled[0]}), and loading a pickle runs code. Save them as "
            "safetensors, or set allow_pickle: true in the suite if you trust the file"
        )
    if not pickled:
        raise EngineError(f"{folder}: no *.safetensors weights in this folder")


def _method(spec: LoadSpec) -> Method | None:
    """The row of a method that quantizes here, while or after loading; None for everything that comes as it is."""
    if spec.quantize is None:
        return None
    method = METHODS.get(str(spec.quantize["method"]))
    if method is None or (method.config is None and method.apply is None):
        raise EngineError(f"the transformers engine cannot load with method {spec.quantize['method']!r}")
    missing = [name for name in method.packages if find_spec(name.partition(".")[0]) is None]
    if missing:
        how = f"pip install 'quantgate[{method.extra}]'" if method.extra else f"pip install {' '.join(missing)}"
        raise EngineError(f"{method.name} needs {', '.join(missing)}, not installed for this interpreter: {how}")
    return method


def is_old_gptq(path: str) -> bool:
    """A GPTQ checkpoint where only auto-gptq is there to read it."""
    described = Path(path) / "config.json"
    if not described.is_file() or find_spec("auto_gptq") is None or find_spec("gptqmodel") is not None:
        return False
    found = json.loads(described.read_text()).get("quantization_config") or {}
    return found.get("quant_method") == "gptq"


def core_of(model: Any) -> Any:
    """The causal language model itself, without an adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def input_device(model: Any) -> Any:
    """Where token ids have to be."""
    return runs_on(core_of(model).get_input_embeddings())


CAUSAL = "AutoModelForCausalLM"
WITH_IMAGES = "AutoModelForImageTextToText"


def model_class(path: str, keywords: dict[str, Any]) -> Any:
    """The auto class that loads it: a causal language model, or one with images that is asked text alone.

    `keywords`: of `from_pretrained`. Raises `EngineError` for encoder-decoders and for what is no language model.
    """
    import transformers

    if keywords.get("gguf_file") is not None:
        return transformers.AutoModelForCausalLM
    config = transformers.AutoConfig.from_pretrained(
        path, revision=keywords.get("revision"), trust_remote_code=keywords.get("trust_remote_code", False)
    )
    kind = str(config.model_type)
    if getattr(config, "is_encoder_decoder", False):
        raise EngineError(
            f"{path}: {kind} is an encoder-decoder, which reads a prompt whole and answers elsewhere; quantgate "
            "compares causal language models, which go on from a prompt"
        )
    remote = getattr(config, "auto_map", None) or {}
    for name in (CAUSAL, WITH_IMAGES):
        found: Any = getattr(transformers, name, None)
        if found is not None and (type(config) in found._model_mapping or name in remote):
            return found
    raise EngineError(
        f"{path}: {kind} is not a causal language model: transformers has no {CAUSAL} and no {WITH_IMAGES} for it"
    )
