"""Calibration data: read, tokenised once, cut into samples of equal length, drawn with a seed."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass

from harness.datafiles.rows import problem, read_rows
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file
from harness.suite.quantize_block import Calibration


@dataclass(frozen=True, kw_only=True)
class CalibrationSet:
    """What a recipe is given, and the texts it was drawn from."""

    samples: tuple[tuple[int, ...], ...]
    """Token ids, [samples, length]."""
    texts: tuple[str, ...]
    """Every text of the file, for the comparison with the evaluation items."""
    spec: Calibration

    @property
    def hash(self) -> str:
        """SHA-256 of the token ids as they are used."""
        return hashlib.sha256(json.dumps(self.samples).encode()).hexdigest()


def read_texts(loaded: LoadedSuite, spec: Calibration, key: str) -> tuple[str, ...]:
    """Every text of the calibration file. Raises `SuiteError`."""
    rows = read_rows(resolve_file(loaded, spec.data), spec.data, f"{key}.data")
    texts = []
    for row in rows:
        text = row.fields.get(spec.field)
        if not isinstance(text, str):
            known = ", ".join(row.fields)
            raise problem(row.place, f"{key}.field", f"expected a string in field {spec.field!r}; the row has {known}")
        texts.append(text)
    return tuple(texts)


def draw(loaded: LoadedSuite, spec: Calibration, tokenizer: Tokenizer, key: str) -> CalibrationSet:
    """Texts one after the other, cut into samples of `length` tokens, of which `samples` are drawn.

    Raises `SuiteError` when the file holds too little, with how much is needed.
    """
    texts = read_texts(loaded, spec, key)
    stream: list[int] = []
    for text in texts:
        stream.extend(tokenizer.encode(text, add_special_tokens=False))
        if tokenizer.eos_text is not None:
            stream.extend(tokenizer.encode(tokenizer.eos_text, add_special_tokens=False))
    cut = [tuple(stream[at : at + spec.length]) for at in range(0, len(stream) - spec.length + 1, spec.length)]
    if len(cut) < spec.samples:
        message = (
            f"expected {spec.samples} samples of {spec.length} tokens, that is {spec.samples * spec.length:,} tokens; "
            f"{spec.data} has {len(stream):,}, enough for {len(cut)}. Add text, or ask for fewer or shorter samples"
        )
        raise problem(loaded.shown, key, message)
    drawn = random.Random(spec.seed).sample(cut, spec.samples)
    return CalibrationSet(samples=tuple(drawn), texts=texts, spec=spec)
