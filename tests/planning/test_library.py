"""Requests over lm-eval's own task library: ours are its `build_all_requests`', byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AS_BUILT = {"multiple_choice": 105, "generate_until": 80, "loglikelihood": 5, "loglikelihood_rolling": 5}
"""How many tasks of each type could be built over made-up rows with lm-eval 0.4.13, rounded down a little."""
WITH_PREFIX = ("ruler/", "mbpp/", "humaneval/", "llama3/", "arc/arc_challenge_chat", "discrim_eval/")


@pytest.mark.slow
@pytest.mark.fault("T10", "every task of lm-eval's library that can be built without its data, with and without prefix")
def test_requests_are_those_of_lm_evals_own_library(tmp_path: Path) -> None:
    """A task of every folder, with and without the chat template, with no and with two examples: type, texts, settings,
    document and place of each instance. In a process of its own, since tasks bring code that may do anything."""
    out = tmp_path / "library.jsonl"
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.planning.library", str(out)],
        cwd=ROOT, env={**os.environ, **quiet}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in out.read_text().splitlines()]
    built = [each for each in told if "unbuilt" not in each]
    assert [(each["path"], says) for each in built for says in each["equal"] if isinstance(says, str)] == []
    types = Counter(each["type"] for each in built)
    assert {name: min(types[name], least) for name, least in AS_BUILT.items()} == AS_BUILT
    for family in WITH_PREFIX:
        assert any(each["prefix"] and each["path"].startswith(family) for each in built), family
    assert sum(number or 0 for each in built for number in each["equal"]) > 6_000
