"""Files of a baseline's final hidden states and its output layer, which variants measure their divergence from.

`NNNNNN.npy`: states of one chunk, [scored positions, d_model], float16, or bfloat16 as its bits in uint16. Beside
them, once: `head.npy` [vocabulary, d_model], `head_bias.npy`, and `head.json`, which is written last. numpy only: every
engine reads and writes them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.engines.protocol import Window, WindowScore
from harness.errors import EngineError, unwritable


def save_array(path: Path, array: Any) -> None:
    """An `.npy` file, whole or not at all. Raises `EngineError` when the disk is full."""
    with _whole(path) as stream:
        np.save(stream, array)


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that is renamed to `path` once it is written."""
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # This wrapper also keeps numpy from writing past Python, where a full disk has no error number.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            yield stream
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise EngineError(unwritable(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def has_lm_head(folder: Path) -> bool:
    """Whether an output layer is kept there."""
    return (folder / "head.json").exists()


def save_lm_head_files(
    folder: Path, weight: Any, bias: Any, *, softcap: float | None, multiply: float, known: int | None = None
) -> None:
    """Keep an output layer: arrays as numpy has them, `bias` None or float32.

    `known`: ids below this one are tokens of the model's tokenizer, those from it on are padding.
    """
    save_array(folder / "head.npy", weight)
    if bias is not None:
        save_array(folder / "head_bias.npy", bias)
    facts = {"softcap": softcap, "multiply": multiply, "bias": bias is not None, "known": known}
    with _whole(folder / "head.json") as stream:
        stream.write(json.dumps(facts).encode())


def read_lm_head_files(folder: Path) -> tuple[Any, Any, float | None, float]:
    """Weight, bias, soft cap and multiplier. Raises `EngineError`."""
    facts = _head_facts(folder)
    try:
        bias = np.load(folder / "head_bias.npy") if facts["bias"] else None
        return np.load(folder / "head.npy"), bias, facts["softcap"], facts["multiply"]
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable_head(folder, error) from error


def _head_facts(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "head.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable_head(folder, error) from error


def _unreadable_head(folder: Path, error: Exception) -> EngineError:
    return EngineError(
        f"{folder}: the baseline's output layer cannot be read ({error}); run the baseline again with --fresh"
    )


def check_vocabularies(path: str, folder: Path, *, base: int, own: int, known: int, windows: Sequence[Window]) -> None:
    """Raises `EngineError` where a divergence between two output layers would mean nothing.

    It runs over the ids that both have. `base`, `own`: tokens of the output layers; `known`: ids below it are tokens of
    the variant's tokenizer. Where the widths differ, what only one has must be padding: no token of a tokenizer that a
    text is made of, and in no window.
    """
    if base == own:
        return
    common, most = min(base, own), max(known, _head_facts(folder).get("known") or 0)
    asked = max((token for window in windows for token in window.tokens), default=0)
    if most <= common and asked < common:
        return
    raise EngineError(
        f"{path}: its output has {own} tokens, the baseline's {base}, and token {max(most - 1, asked)} of their texts "
        "is not among those that both have; divergence needs equal vocabularies, padding apart: set divergence: false"
    )


def read_states(states_in: str, windows: Sequence[Window]) -> Any:
    """The baseline's states for these windows. Raises `EngineError` when they are damaged or of others."""
    try:
        states = np.load(states_in)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{states_in}: the baseline's stored states cannot be read ({error}); run the baseline again with --fresh"
        ) from error
    expected = _positions(windows)
    if len(states) != expected:
        raise EngineError(f"{states_in}: holds {len(states)} positions, {expected} were asked")
    return states


class Chunk:
    """One chunk of windows, asked whole or in parts: an engine reads and writes a file for each part, and the files of
    the chunk are as if it had been asked whole. A context; what parts leave behind is removed at its end."""

    def __init__(self, windows: Sequence[Window], states_out: str | None, states_in: str | None) -> None:
        self._windows, self._out, self._in = windows, states_out, states_in
        self._asked = 0
        self._written: list[Path] = []
        self._scratch: list[Path] = []

    def ask(self, part: Sequence[Window], score_windows: Callable[..., list[WindowScore]]) -> list[WindowScore]:
        """What `score_windows` says to the next windows of the chunk. Nothing is moved on when it raises."""
        if len(part) == len(self._windows):
            return score_windows(part, states_out=self._out, states_in=self._in)
        ours = None if self._out is None else self._beside(self._out)
        scores = score_windows(
            part,
            states_out=None if ours is None else str(ours),
            states_in=None if self._in is None else str(self._slice(self._in, part)),
        )
        self._asked += len(part)
        if ours is not None:
            self._written.append(ours)
        return scores

    def _beside(self, name: str) -> Path:
        """A hidden file in the folder of `name`, where the output layer lies."""
        path = Path(name)
        self._scratch.append(path.with_name(f".{path.stem}.{len(self._scratch)}.npy"))
        return self._scratch[-1]

    def _slice(self, states_in: str, part: Sequence[Window]) -> Path:
        """The baseline's states for the next windows, in a file of their own."""
        first = _positions(self._windows[: self._asked])
        path = self._beside(states_in)
        save_array(path, read_states(states_in, self._windows)[first : first + _positions(part)])
        return path

    def __enter__(self) -> Chunk:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        try:
            if kind is None and self._written and self._out is not None:
                save_array(Path(self._out), joined_states([np.load(path) for path in self._written]))
        finally:
            for path in self._scratch:
                path.unlink(missing_ok=True)


def _positions(windows: Sequence[Window]) -> int:
    """Scored positions."""
    return sum(len(window.tokens) - window.scored_from for window in windows)


def joined_states(parts: Sequence[Any]) -> Any:
    """States of several parts in one array: bfloat16 where any of them needs its range."""
    if len({part.dtype for part in parts}) > 1:
        parts = [part if part.dtype == np.uint16 else bfloat16_bits(part.astype(np.float32)) for part in parts]
    return np.concatenate(parts)


def bfloat16_bits(values: Any) -> Any:
    """float32 rounded to bfloat16, to even where two are as near, as its bits in uint16."""
    bits = values.view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (np.where(np.isfinite(values), rounded, bits) >> 16).astype(np.uint16)
