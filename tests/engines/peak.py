"""A process of its own that scores or answers on a model and prints how far its memory rose meanwhile, in bytes.

`python -m tests.engines.peak FOLDER BUDGET WHAT`
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from harness.engines.protocol import GenerateRequest, LoadSpec, ScoreRequest, Window
from harness.engines.transformers.transformers_engine import load
from harness.worker.meters import process_peak_bytes, reset_process_peak

SHARED = 600


def main(folder: str, budget: int, what: str) -> None:
    import psutil

    spec = LoadSpec(
        variant="v", engine="transformers", path=folder, dtype="float32", offline=True, memory_budget=budget, threads=1
    )
    engine, source = load(spec), random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, 200) for _ in range(count))

    heads = [ids(SHARED) for _ in range(4)]
    after = [(*heads[number // 10], *ids(20)) for number in range(40)]
    options = tuple(ids(4) for _ in range(4))
    work: dict[str, Callable[[], object]] = {
        "head": lambda: engine.score(
            [ScoreRequest(context=(*heads[0], *ids(20)), continuations=options, shared=SHARED) for _ in range(40)]
        ),
        "heads": lambda: engine.score(
            [ScoreRequest(context=each, continuations=options, shared=SHARED) for each in after]
        ),
        "alone": lambda: engine.score([ScoreRequest(context=ids(60), continuations=options) for _ in range(40)]),
        "roll": lambda: engine.score_windows([Window(tokens=ids(256), scored_from=1) for _ in range(16)]),
        "generate": lambda: engine.generate(
            [GenerateRequest(prompt=each, max_new_tokens=3, shared=SHARED) for each in after]
        ),
    }
    # Code and kernels that the first call of each kind brings in are not its data.
    engine.score([ScoreRequest(context=ids(30), continuations=options)])
    engine.score_windows([Window(tokens=ids(30), scored_from=1)])
    engine.generate([GenerateRequest(prompt=ids(30), max_new_tokens=3)])
    rest = psutil.Process().memory_info().rss
    reset_process_peak()
    work[what]()
    sys.stdout.write(str((process_peak_bytes() or 0) - rest))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
