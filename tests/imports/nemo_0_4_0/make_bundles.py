"""Makes the bundles beside it with NeMo Evaluator 0.4.0's own `build_artifact_bundle`, `headline_score_metrics` and
`write_all`: `python make_bundles.py SOURCE FOLDER`, SOURCE being its `src` folder.

The package itself needs Python 3.12 and a served model; the results given to its writer are made here, with the fields
that `engine/eval_loop.py` gives them. `base` and `quantized`: `letters` with two repeats, two scorers and a problem
that could not be asked once, `numbers` with fractional rewards, each in a folder of its own.
"""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

SOURCE, FOLDER = Path(sys.argv[1]), Path(sys.argv[2])


def module(name: str) -> Any:
    """A module of the package without the packages' `__init__`, which import all of it."""
    sys.path.insert(0, str(SOURCE))
    for package in (
        "nemo_evaluator",
        "nemo_evaluator.engine",
        "nemo_evaluator.metrics",
        "nemo_evaluator.observability",
    ):
        made = types.ModuleType(package)
        made.__path__ = [str(SOURCE / package.replace(".", "/"))]
        made.__version__ = "0.4.0"  # type: ignore[attr-defined]
        sys.modules.setdefault(package, made)
    return importlib.import_module(name)


def line(idx: int, repeat: int, reward: float, **changes: object) -> dict[str, object]:
    return {
        "problem_idx": idx,
        "repeat": repeat,
        "reward": reward,
        "scorer_rewards": {"scorer:strict": float(reward == 1.0)},
        "prompt": f"Which letter comes at place {idx + 1}?",
        "model_response": "ABC"[idx % 3] if reward else "?",
        "extracted_answer": "ABC"[idx % 3] if reward else None,
        "expected_answer": "ABC"[idx % 3],
        "scoring_details": {"method": "exact_match", "scorer:strict": {"correct": reward == 1.0, "reward": reward}},
        "metadata": {"category": "xy"[idx % 2], "source": "letters"},
        "tokens": 13,
        "latency_ms": 1.5,
        **changes,
    }


def letters(model: str) -> list[dict[str, object]]:
    """In the order in which they ended, as the evaluator writes them."""
    right = 5 if model == "base" else 3
    found = [line(idx, repeat, float(idx < right)) for repeat in range(2) for idx in reversed(range(6))]
    failed = {"error": "connection reset", "error_category": "infra_error", "method": "infra_error"}
    place = next(place for place, each in enumerate(found) if (each["problem_idx"], each["repeat"]) == (5, 1))
    found[place] = line(5, 1, 0.0, model_response="", scoring_details=failed, scorer_rewards={})
    return found


def numbers(model: str) -> list[dict[str, object]]:
    step = 0.25 if model == "base" else 0.125
    return [line(idx, 0, 0.5 + step * (idx % 3), scorer_rewards={}, metadata={}) for idx in range(4)]


def write(model: str, benchmark: str, results: list[dict[str, Any]], repeats: int) -> None:
    rewards: dict[int, list[float]] = {}
    for each in results:
        rewards.setdefault(each["problem_idx"], []).append(each["reward"])
    config = {
        "benchmark": benchmark,
        "model": f"org/{model}",
        "base_url": f"http://localhost/{model}",
        "repeats": repeats,
        "max_problems": None,
        "scorers": ["strict"] if benchmark == "letters" else None,
        "shuffle_seed": None,
        "shuffle": {
            "seed": None,
            "applied": False,
            "ds_full_size": len(rewards),
            "ds_effective_size": len(rewards),
        },
    }
    scores = module("nemo_evaluator.metrics.headline").headline_score_metrics(rewards, repeats)
    artifacts = module("nemo_evaluator.engine.artifacts")
    bundle = artifacts.build_artifact_bundle(benchmark, results, scores, config)
    artifacts.write_all({**bundle, "_results": results}, FOLDER / model / benchmark)


for side in ("base", "quantized"):
    write(side, "letters", letters(side), 2)
    write(side, "numbers", numbers(side), 1)
