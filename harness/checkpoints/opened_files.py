"""Which files of a folder a loader opens: by its index and its configuration, never by what else is in it.

The order is that of transformers 5.23 (`modeling_utils._get_resolved_checkpoint_files`) and peft 0.21
(`load_peft_weights`): one whole safetensors file, then an index of shards, then the same as pickles.

Also where the local hub cache holds a model: it queries no hub and downloads nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import EngineError

CONFIG, GENERATION, ADAPTER = "config.json", "generation_config.json", "adapter_config.json"
WHOLE = (("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json"))
"""A whole file and the index that replaces it; the first pair that exists."""
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
SETTINGS = (
    CONFIG,
    *("quantize_config.json", "quant_config.json", "quantization_config.json", "hf_quant_config.json"),
    "*.py",
)
"""What decides how weights are read: the configuration, what quantizers leave beside it, code of the model's own."""
ANY_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
"""For a folder with neither a whole file nor an index: some libraries have names of their own."""
VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken", "*.spm")
"""A folder with one of them has a tokenizer of its own."""
TOKENIZER = (
    *VOCABULARIES,
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt", "normalizer.json"),
    *("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja", "*.py"),
)
_PART = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$")


def read_json(file: Path) -> Mapping[str, object]:
    """A JSON mapping. Raises `EngineError` naming the file."""
    try:
        found = json.loads(file.read_bytes())
    except OSError as error:
        raise EngineError(f"{file}: could not be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{file}: expected valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise EngineError(f"{file}: expected a JSON mapping, got {type(found).__name__}")
    return found


def matching(folder: Path, patterns: Iterable[str]) -> tuple[Path, ...]:
    """Files of a folder, sorted, each once."""
    return tuple(sorted({each for pattern in patterns for each in folder.glob(pattern) if each.is_file()}))


def has_tokenizer(folder: Path) -> bool:
    return bool(matching(folder, VOCABULARIES))


def weight_files(folder: Path) -> tuple[tuple[Path, ...], Path | None]:
    """The weight files of a model's folder that are opened, and the index that names them, if one does.

    A file that an index names and that is not there is among them. Raises `EngineError` for an index that is none.
    """
    named = _named_by_config(folder)
    for whole, index in ((named, named),) if named is not None else WHOLE:
        if (folder / whole).is_file() and not whole.endswith(".index.json"):
            return (folder / whole,), None
        if (folder / index).is_file():
            return _shards(folder / index), folder / index
    return matching(folder, ANY_WEIGHTS), None


def adapter_files(folder: Path) -> tuple[Path, ...]:
    """The weights of an adapter's folder."""
    found = [folder / name for name in ADAPTER_WEIGHTS if (folder / name).is_file()]
    return tuple(found[:1]) or matching(folder, ANY_WEIGHTS)


def gguf_parts(file: Path) -> tuple[Path, ...]:
    """A .gguf file, or every file of the split model that it is the first of."""
    part = _PART.match(file.name)
    if part is None:
        return (file,)
    count = int(part["count"])
    names = (f"{part['stem']}-{number:05d}-of-{part['count']}.gguf" for number in range(1, count + 1))
    return tuple(file.with_name(name) for name in names) if 0 < count <= 1024 else (file,)


def _named_by_config(folder: Path) -> str | None:
    """The file that a configuration names itself; it must be in the folder."""
    try:
        named = read_json(folder / CONFIG).get("transformers_weights")
    except EngineError:  # the loader reports it
        return None
    return named if isinstance(named, str) and (folder / named).resolve().is_relative_to(folder.resolve()) else None


def _shards(index: Path) -> tuple[Path, ...]:
    """The files that an index names, sorted."""
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        raise EngineError(f"{index}: weight_map: expected a mapping of tensor names to file names")
    return tuple(index.parent / name for name in sorted(set(table.values())))


COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def hub_cache() -> Path:
    """The folder of huggingface_hub's cache, by its own variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if own := os.environ.get(name):
            return Path(own).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "huggingface"
    return Path(os.environ.get("HF_HOME", str(cache))).expanduser() / "hub"


def is_commit(revision: str | None) -> bool:
    return revision is not None and COMMIT.fullmatch(revision) is not None


def commit_of(repository: str, revision: str | None) -> str | None:
    """The commit that a branch or tag was when it was downloaded last; None where it never was."""
    wanted = revision or "main"
    if COMMIT.fullmatch(wanted):
        return wanted
    try:
        found = (_folder(repository) / "refs" / wanted).read_text().strip()
    except (OSError, ValueError):
        return None
    return found if COMMIT.fullmatch(found) else None


def snapshot_of(repository: str, revision: str | None) -> Path | None:
    """The folder with what was downloaded of a revision; None where nothing was."""
    commit = commit_of(repository, revision)
    found = _folder(repository) / "snapshots" / commit if commit is not None else None
    return found if found is not None and found.is_dir() else None


def named_hash(file: Path) -> str | None:
    """The hash by which the cache names the content of a file: 64 digits are its SHA-256, 40 git's SHA-1 of it. None
    for a file that is no link into the cache."""
    if not file.is_symlink():
        return None
    blob = file.resolve()
    return blob.name if blob.parent.name == "blobs" and _HASH.fullmatch(blob.name) else None


def _folder(repository: str) -> Path:
    return hub_cache() / f"models--{repository.replace('/', '--')}"
