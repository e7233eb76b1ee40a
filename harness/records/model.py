"""Base of every stored model: frozen, no unknown field, finite numbers, no names with path traversal.

Names and keys that become parts of a path are refused here if they could point elsewhere.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 2
"""2: every record carries a checksum (`seal.py`)."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$")]
"""Of a suite, run, variant or task: as suites allow them, and a space for the `base model`. No path leads out of it."""
Key = Name
"""Of an evaluation, a plan or a timing: a hash, and part of a path too."""


class Model(BaseModel):
    """What every record shares. Finite numbers only: NaN and infinity are a `Failed`, never a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
