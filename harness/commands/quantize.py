"""`quantgate quantize`: make a suite's checkpoints without evaluating anything."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.errors import UsageError


def make_checkpoints(suite: Path, artifacts: Path, variants: tuple[str, ...]) -> int:
    """Print the path of every checkpoint; a variant that cannot be made stops the command with its reason."""
    from harness.runner.made_checkpoints import make_checkpoint
    from harness.suite.load import load_suite

    loaded = load_suite(suite)
    made = {name: spec for name, spec in loaded.suite.variants.items() if spec.quantize and spec.quantize.makes}
    for name in variants:
        if name not in made:
            raise UsageError(
                f"--variant {name}: expected one that a checkpoint is made for: {', '.join(made) or 'none'}"
            )
    if not made:
        print("no variant of this suite needs a checkpoint: all quantize while loading, or come as they are")
    for name in variants or tuple(made):
        found = make_checkpoint(loaded, name, artifacts, say=lambda text: print(text, file=sys.stderr, flush=True))
        print(f"{name}  {found.model}")
    return 0
