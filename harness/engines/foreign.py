"""Foreign exceptions become ours, in one place: which line of theirs tells, and what kind of failure it is.

The whole text and the traceback stay in the worker's log; the message that a person reads gets the telling line.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.engines.seam import OutOfMemoryError
from harness.errors import EngineError

NO_MEMORY = (
    *("can't allocate memory", "not enough memory"),
    *("could not create a primitive\n", "could not create a memory"),
)
"""What torch says where the processor's memory is used up. The last are oneDNN's, of a product that it can compute; of
one that it cannot, it says `primitive descriptor`."""
TELLS = re.compile(
    r"size mismatch|shape mismatch|[A-Za-z]+Error: |missing key|unexpected key|not supported|no such file",
    re.IGNORECASE,
)
"""What the line that tells has in it, where the first is only a title."""
TITLE = re.compile(r"(error\(s\)|one of|following|for details)[^.]*$|[:;]$", re.IGNORECASE)
"""A first line that announces what follows it."""
MOST = 400
"""Letters of a telling line."""
OURS = (EngineError, OutOfMemoryError)
FOREIGN = (RuntimeError, OSError, ValueError, ImportError, LookupError, AssertionError, AttributeError, TypeError)
"""What libraries raise for a model that they cannot load or compute; anything else is a fault of ours."""


def telling(error: BaseException) -> str:
    """The line of an exception's text that says what is wrong, never empty.

    A first line that only announces (`Error(s) in loading state_dict for X:`) is joined with the line that tells. An
    exception without a text is named by its type and the place that raised it.
    """
    lines = [line for line in (" ".join(line.split()) for line in _text(error).splitlines()) if line]
    if not lines:
        return f"{type(error).__name__} without a text, {_place(error)}"
    first, rest = lines[0], lines[1:]
    if rest and TITLE.search(first):
        best = next((line for line in rest if TELLS.search(line)), None)
        first = f"{first} {best}" if best is not None else " ".join(lines)
    if isinstance(error, KeyError | AssertionError | AttributeError | TypeError | IndexError):
        first = f"{type(error).__name__}: {first}"
    return first if len(first) <= MOST else f"{first[: MOST - 2]} …"


def named(error: BaseException) -> str:
    """The telling line behind the exception's type."""
    said, kind = telling(error), type(error).__name__
    return said if said.startswith(kind) else f"{kind}: {said}"


def _text(error: BaseException) -> str:
    """What it says; a KeyError's is the bare key, not its repr with line breaks escaped."""
    if isinstance(error, KeyError) and len(error.args) == 1:
        return str(error.args[0])
    text = str(error)
    return text if re.search(r"\w", text) else ""


def _place(error: BaseException) -> str:
    """Function, file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "raised by no code that can be named"
    last = frames[-1]
    return f"raised by {last.name} ({Path(last.filename).name}:{last.lineno})"


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Foreign exceptions become `EngineError` or `OutOfMemoryError`, `from` the original."""
    import torch

    try:
        yield
    except OURS:
        raise
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise OutOfMemoryError(telling(error)) from error
    except MemoryError as error:
        raise OutOfMemoryError("the machine's memory is used up") from error
    except RuntimeError as error:
        if any(each in f"{error}\n" for each in NO_MEMORY):
            raise OutOfMemoryError(telling(error)) from error
        raise EngineError(f"{path}: {telling(error)}") from error
    except FOREIGN as error:
        raise EngineError(f"{path}: {telling(error)}") from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise EngineError(
                f"{path}: a weights file is damaged or cut off ({error}); download or export it again"
            ) from error
        raise
