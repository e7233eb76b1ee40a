"""Foreign exceptions become ours, in one place.

The whole text and the traceback stay in the worker's log; the message that a person reads gets the line that tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.engines.protocol import OutOfMemoryError
from harness.errors import EngineError, telling

NO_MEMORY = (
    *("can't allocate memory", "not enough memory"),
    *("could not create a primitive\n", "could not create a memory"),
)
"""What torch says where the processor's memory is used up. The last are oneDNN's, of a product that it can compute; of
one that it cannot, it says `primitive descriptor`."""
OURS = (EngineError, OutOfMemoryError)
FOREIGN = (RuntimeError, OSError, ValueError, ImportError, LookupError, AssertionError, AttributeError, TypeError)
"""What libraries raise for a model that they cannot load or compute; anything else is a fault of ours."""


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
