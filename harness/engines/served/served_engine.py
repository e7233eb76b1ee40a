"""A model behind an HTTP server (llama.cpp, vLLM, SGLang, TGI, other OpenAI-style): the engine object.

Owns how many requests run at once and how streams become timings. What is said to each kind of server stands in
`served_llamacpp`, `served_openai`, `served_sglang` and `served_tgi`. It refuses what a server cannot show: weights,
hidden states and whole distributions.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time as clock
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict
from importlib.metadata import version
from itertools import pairwise
from typing import TypeVar

from harness.engines.protocol import (
    ContinuationScore,
    Facts,
    GenerateRequest,
    Generation,
    LoadSpec,
    ScoreRequest,
    Timing,
    Window,
    WindowScore,
    Workload,
)
from harness.engines.served.dialect import About, Dialect, Options
from harness.engines.served.http import Http, libraries, shown
from harness.engines.served.identify import identify
from harness.errors import EngineError
from harness.masking import masked

Q = TypeVar("Q")
A = TypeVar("A")


def load(spec: LoadSpec) -> ServedEngine:
    """Find out what answers at `spec.path` and what it can do. Raises `EngineError`."""
    started = clock.perf_counter()
    options = Options.read(spec)
    http = Http(spec.path, key=options.key, timeout_s=options.timeout_s, retries=options.retries)
    try:
        dialect = identify(http, spec, options)
        return ServedEngine(http, options, dialect, clock.perf_counter() - started)
    except BaseException:
        http.close()
        raise


class ServedEngine:
    """One model of one server."""

    def __init__(self, http: Http, options: Options, dialect: Dialect, load_s: float) -> None:
        self._http, self._options, self._dialect = http, options, dialect
        self._facts = _facts(http, dialect, load_s)

    def facts(self) -> Facts:
        return self._facts

    def encode(self, texts: Sequence[str], *, add_special_tokens: bool) -> list[tuple[int, ...]]:
        def one(text: str) -> tuple[int, ...]:
            return self._dialect.encode(text, add_special_tokens=add_special_tokens)

        return self._each(one, texts)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[ContinuationScore, ...]]:
        def one(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> ContinuationScore:
            tokens = self._dialect.score(*pair)
            if len(tokens) != len(pair[1]):
                raise EngineError(f"{self._http.root}: {len(tokens)} scores for {len(pair[1])} tokens")
            return ContinuationScore(
                log_probs=tuple(each.log_prob for each in tokens), greedy=all(each.top for each in tokens)
            )

        pairs = [(each.context, continuation) for each in requests for continuation in each.continuations]
        found = iter(self._each(one, pairs))
        return [tuple(next(found) for _ in each.continuations) for each in requests]

    def score_windows(
        self, windows: Sequence[Window], *, states_out: str | None = None, states_in: str | None = None
    ) -> list[WindowScore]:
        if states_out is not None or states_in is not None:
            raise EngineError(
                f"{self._http.root}: a served model shows no hidden states and no whole distribution, so no "
                "divergence can be measured; leave out kl, top-1 agreement and delta_p for this variant"
            )

        def one(window: Window) -> WindowScore:
            values = self._dialect.score_windows(window.tokens, window.scored_from)
            wanted = len(window.tokens) - window.scored_from
            if len(values) != wanted:
                raise EngineError(f"{self._http.root}: {len(values)} scores for {wanted} tokens")
            return WindowScore(log_probs=values)

        return self._each(one, windows)

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        return self._each(self._dialect.generate, requests)

    def time(self, workload: Workload) -> Timing:
        """`batch` streams at once, each on its own connection. Network and the server's queue count.

        The prompts are new every time and the workload's seed is not used: from a prompt seen before a server would
        answer out of its cache.
        """
        source = random.SystemRandom()
        prompts = [self._dialect.filler(workload.prompt_tokens, source) for _ in range(workload.batch)]
        gate = threading.Barrier(workload.batch)

        def one(prompt: Sequence[int]) -> tuple[float, list[tuple[float, int]]]:
            gate.wait()
            return clock.perf_counter(), list(self._dialect.stream(prompt, workload.new_tokens))

        with ThreadPoolExecutor(workload.batch) as pool:
            running = [pool.submit(one, prompt) for prompt in prompts]
            streams = [each.result() for each in running]
        rows = [token_times(marks, workload.new_tokens, self._http.root) for _, marks in streams]
        return timing(rows, min(started for started, _ in streams))

    def device_peaks(self) -> tuple[int | None, int | None]:
        return None, None

    def reset_device_peaks(self) -> None:
        return None

    def close(self) -> None:
        self._http.close()

    def _each(self, ask: Callable[[Q], A], requests: Sequence[Q]) -> list[A]:
        """Answers in the order of the requests; the first failure stops what has not begun."""
        with ThreadPoolExecutor(self._options.concurrency) as pool:
            running = [pool.submit(ask, each) for each in requests]
            done, _ = wait(running, return_when=FIRST_EXCEPTION)
            if any(each.exception() for each in done):
                pool.shutdown(wait=False, cancel_futures=True)
                next(each for each in running if each in done and each.exception()).result()
            return [each.result() for each in running]


def token_times(marks: Sequence[tuple[float, int]], wanted: int, url: str) -> tuple[float, ...]:
    """The second of every token of one stream from (second, tokens so far).

    A piece of the stream may hold several tokens: the time since the piece before is shared out evenly. Tokens of
    the first piece share its second.
    """
    times: list[float] = []
    for arrived, count in marks:
        new = count - len(times)
        if new > 0:
            before = times[-1] if times else arrived
            times += [before + (arrived - before) * (place + 1) / new for place in range(new)]
    if len(times) != wanted:
        raise EngineError(
            f"{url}: expected a stream of exactly {wanted} tokens, got {len(times)}; the server must take ignore_eos "
            "and have room for prompt and new tokens in its context"
        )
    return tuple(times)


def timing(rows: Sequence[tuple[float, ...]], started: float) -> Timing:
    """A step is over when every stream has its token, as in a batch that moves in lockstep."""
    steps = [max(each) for each in zip(*rows, strict=True)]
    gaps = tuple(later - earlier for earlier, later in pairwise(steps))
    return Timing(ttft_s=steps[0] - started, end_to_end_s=steps[-1] - started, inter_token_s=gaps)


def _facts(http: Http, dialect: Dialect, load_s: float) -> Facts:
    about = dialect.about()
    libs = {library.__name__: version(library.__name__) for library in libraries()}
    # llama.cpp names a model by its file's whole path.
    name = about.model.rpartition("/")[2] if about.model.startswith("/") else about.model
    notes = (
        f"{about.server} at {http.root} serves {shown(name)}",
        "served: the weights cannot be inspected; nothing the server says of them was checked",
        *dialect.notes(),
        *about.notes,
        "a piece of a timed stream may hold several tokens: the time since the piece before is shared out evenly",
    )
    return Facts(
        engine="served",
        architecture=about.architecture,
        model_type=about.model_type,
        parameters=about.parameters,
        dtype="unknown",
        device="remote",
        vocabulary=about.vocabulary,
        context_length=about.context_length,
        versions={**libs, about.server: about.version or "unknown"},
        load_s=load_s,
        server_digest=_digest(about),
        notes=tuple(map(masked, notes)),
    )


def _digest(about: About) -> str:
    """Of all it says but the notes, which tell how busy it is set up to be."""
    said = {name: value for name, value in asdict(about).items() if name != "notes"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
