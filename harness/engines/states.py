"""Files of a baseline's final hidden states and its output layer, which variants measure their divergence from.

`NNNNNN.npy`: states of one chunk, [scored positions, d_model], float16, or bfloat16 as its bits in uint16. Beside
them, once: `head.npy` [vocabulary, d_model], `head_bias.npy`, and `head.json`, which is written last. numpy only: every
engine reads and writes them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.engines.seam import Window
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


def has_head(folder: Path) -> bool:
    """Whether an output layer is kept there."""
    return (folder / "head.json").exists()


def save_head_files(folder: Path, weight: Any, bias: Any, *, softcap: float | None, multiply: float) -> None:
    """Keep an output layer: arrays as numpy has them, `bias` None or float32."""
    save_array(folder / "head.npy", weight)
    if bias is not None:
        save_array(folder / "head_bias.npy", bias)
    with _whole(folder / "head.json") as stream:
        stream.write(json.dumps({"softcap": softcap, "multiply": multiply, "bias": bias is not None}).encode())


def read_head_files(folder: Path) -> tuple[Any, Any, float | None, float]:
    """Weight, bias, soft cap and multiplier. Raises `EngineError`."""
    try:
        facts = json.loads((folder / "head.json").read_text())
        bias = np.load(folder / "head_bias.npy") if facts["bias"] else None
        return np.load(folder / "head.npy"), bias, facts["softcap"], facts["multiply"]
    except (OSError, ValueError, KeyError) as error:
        raise EngineError(
            f"{folder}: the baseline's output layer cannot be read ({error}); run the baseline again with --fresh"
        ) from error


def read_states(states_in: str, windows: Sequence[Window]) -> Any:
    """The baseline's states for these windows. Raises `EngineError` when they are damaged or of others."""
    try:
        states = np.load(states_in)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{states_in}: the baseline's stored states cannot be read ({error}); run the baseline again with --fresh"
        ) from error
    expected = sum(len(window.tokens) - window.scored_from for window in windows)
    if len(states) != expected:
        raise EngineError(f"{states_in}: holds {len(states)} positions, {expected} were asked")
    return states
