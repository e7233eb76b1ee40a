"""/v1/completions as vLLM and other OpenAI-style servers answer it.

Log-probs of a given text come from vLLM's `prompt_logprobs` or from `echo` with `logprobs`. Some servers take either
field and ignore it, so a way counts only when a probe at load returned one entry per token. A server that takes no
token ids gets text, and every answer's `usage.prompt_tokens` must show that it read the planned number of tokens.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from harness.engines.decoding import VLLM, until_end, vllm_settings
from harness.engines.protocol import GenerateRequest, Generation, LoadSpec
from harness.engines.served.decoding_rules import NONE, check_rules
from harness.engines.served.dialect import (
    PROBE_IDS,
    PROBE_TEXT,
    About,
    Detokenizer,
    Options,
    TokenScore,
    cut,
    finished,
    likeliest,
    random_ids,
    said,
    tokenized,
)
from harness.engines.served.http import Http, Reply, ServerRefusedError
from harness.engines.served.sampling import OPENAI, sampling
from harness.engines.served.sampling import VLLM as VLLM_WORDS
from harness.errors import EngineError

PATH = "/v1/completions"
MOST_STOPS = 4
"""Stop strings that OpenAI's interface takes; more are cut on this side."""


class OpenAIStyle:
    """See the module's text."""

    def __init__(
        self, http: Http, options: Options, model: str, listed: Reply | None, spec: LoadSpec, name: str
    ) -> None:
        self._http, self._options, self._model, self._listed, self._name = http, options, model, listed, name
        self._vllm = name == "vllm"
        self._local = Detokenizer(spec)
        self._version = http.find("/version") if self._vllm else None
        self._start: tuple[int, ...] = ()
        self._extra: dict[str, object] = {}
        self._probe_ids = self._pieces()
        self._ids = self._choose_prompt()
        self._read, self._way = self._choose_scores()

    def about(self) -> About:
        listed = self._listed
        return About(
            model=self._model,
            server=self._name,
            version=None if self._version is None else self._version.optional_text("version"),
            context_length=None if listed is None else listed.optional_integer("max_model_len"),
            weights=said(listed, "root"),
        )

    def notes(self) -> tuple[str, ...]:
        sent = (
            "prompts are sent as token ids" if self._ids else "prompts are sent as text; the server counts their tokens"
        )
        early = () if self._extra else ("the server takes no ignore_eos: a timed stream may end early and is an error",)
        own = () if self._vllm else ("its answers end where the server's own files say: it takes no end tokens",)
        return (sent, self._way, *early, *own)

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tokenized(self._http, self._model, text, add_special_tokens=add_special_tokens)

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        return self._positions((*context, *continuation), len(context))

    def score_windows(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        return tuple(each.log_prob for each in self._positions(tokens, scored_from))

    def generate(self, request: GenerateRequest) -> Generation:
        able, words = (VLLM, VLLM_WORDS) if self._vllm else (NONE, OPENAI)
        check_rules(request.decoding, able, words.server, self._http.root)
        until = [stop for stop in request.until if stop]
        settings = sampling(words, request, self._http.root)
        body: dict[str, object] = {"max_tokens": request.max_new_tokens, **settings}
        if until:
            body["stop"] = until if self._vllm else until[:MOST_STOPS]
        if self._vllm:
            body |= {"return_token_ids": True, **vllm_settings(request.decoding)}
        choice = self._ask(request.prompt, body)["choices"][0]
        whole = choice["text"].text()
        reason = choice["finish_reason"].text()
        if reason not in ("stop", "length"):
            raise choice["finish_reason"].wrong("stop or length", "the server broke the generation off")
        given = choice.get("token_ids")
        tokens = () if given is None else given.integers()
        if tokens and reason == "stop" and choice.optional_text("stop_reason") is None:
            tokens = tokens[:-1]  # the end-of-text token
        if request.decoding is not None:
            tokens = tokens[: until_end(tokens, request.decoding)]
        return finished(text=cut(whole, until), whole=whole, tokens=tokens, by_length=reason == "length")

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        if self._ids:
            return random_ids(count, source, 0)
        return (*self._start, *self._local.filler(max(count - len(self._start), 0), source))

    def stream(self, prompt: Sequence[int], new_tokens: int) -> Iterator[tuple[float, int]]:
        options: dict[str, object] = {"include_usage": True}
        if self._vllm:
            options["continuous_usage_stats"] = True
        settings = {"max_tokens": new_tokens, "temperature": 0, "stream": True, "stream_options": options}
        pieces, told = 0, None
        for arrived, event in self._http.events(PATH, self._body(prompt, {**settings, **self._extra})):
            usage = event.get("usage")
            told = told if usage is None else usage["completion_tokens"].integer()
            if self._vllm:
                yield arrived, event["usage"]["completion_tokens"].integer()
            elif (choice := event["choices"].get(0)) is not None and choice.optional_text("text") is not None:
                pieces += 1
                yield arrived, pieces
        if told is None:
            raise EngineError(f"{self._http.root}{PATH}: expected usage at the end of the stream, got none")
        if not self._vllm and told != pieces:
            raise EngineError(
                f"{self._http.root}{PATH}: {told} tokens came in {pieces} pieces and the server does not say how "
                "many each holds, so it cannot be timed exactly; vLLM, SGLang, TGI and llama.cpp say it"
            )

    # -- prompts

    def _body(self, prompt: Sequence[int], settings: dict[str, object]) -> dict[str, object]:
        sent: object = list(prompt)
        if not self._ids:
            if tuple(prompt[: len(self._start)]) != self._start:
                raise EngineError(
                    f"{self._http.root}: the server puts {list(self._start)} before every text, and a planned "
                    "prompt does not start with it; use a server that takes token ids"
                )
            sent = self._local.text(prompt[len(self._start) :])
        return {"model": self._model, "prompt": sent, **settings}

    def _ask(self, prompt: Sequence[int], settings: dict[str, object]) -> Reply:
        reply = self._http.post(PATH, self._body(prompt, settings))
        usage = reply.get("usage")
        counted = None if usage is None else usage.get("prompt_tokens")
        if counted is None and not self._ids:
            raise reply.wrong("usage.prompt_tokens", "without it nobody knows what the server read")
        if counted is not None and counted.integer() != len(prompt):
            raise counted.wrong(f"{len(prompt)} prompt tokens", "the server reads the prompt as other tokens")
        return reply

    def _pieces(self) -> tuple[int, ...]:
        try:
            return self.encode(PROBE_TEXT, add_special_tokens=False)
        except EngineError:
            pass
        try:
            return self._local.encode(PROBE_TEXT, add_special_tokens=False)
        except EngineError:
            return PROBE_IDS

    def _choose_prompt(self) -> bool:
        """Whether the server takes token ids. Also finds out whether it takes `ignore_eos`."""
        try:
            read = self._prompt_tokens(list(self._probe_ids))
        except ServerRefusedError as error:
            refused: EngineError | None = error
        else:
            if read == len(self._probe_ids):
                return True
            refused = None
        came = f"refused them ({refused})" if refused else "read them as other tokens"
        try:
            ids = self._local.encode(PROBE_TEXT, add_special_tokens=False)
            marked = self._local.encode(PROBE_TEXT, add_special_tokens=True)
        except EngineError as error:
            raise EngineError(f"{self._http.root}{PATH}: token ids were sent and the server {came}; {error}") from error
        read = self._prompt_tokens(PROBE_TEXT)
        if read == len(marked) and marked[len(marked) - len(ids) :] == ids:
            self._start = marked[: len(marked) - len(ids)]
        elif read != len(ids):
            raise EngineError(
                f"{self._http.root}{PATH}: expected {len(ids)} tokens in {PROBE_TEXT!r}, the server read {read}; "
                "it has another tokenizer than the baseline"
            )
        return False

    def _prompt_tokens(self, prompt: object) -> int:
        body: dict[str, object] = {"model": self._model, "prompt": prompt, "max_tokens": 1, "temperature": 0}
        try:
            reply = self._http.post(PATH, {**body, "ignore_eos": True})
            self._extra = {"ignore_eos": True}
        except ServerRefusedError:
            self._extra = {}
            reply = self._http.post(PATH, body)
        return reply["usage"]["prompt_tokens"].integer()

    # -- scores

    def _positions(self, tokens: Sequence[int], scored_from: int) -> tuple[TokenScore, ...]:
        if self._read is None:
            raise EngineError(f"{self._http.root}: {self._way}; likelihoods need vLLM, SGLang or llama.cpp")
        return self._read(tokens, scored_from)

    def _choose_scores(self) -> tuple[Callable[[Sequence[int], int], tuple[TokenScore, ...]] | None, str]:
        """The first way that a probe shows to work, and a note that names it with its reason."""
        ways = {"prompt_logprobs": self._by_prompt_logprobs, "echo": self._by_echo}
        failed = []
        for name, way in ways.items():
            try:
                way(self._probe_ids, 1)
            except EngineError as error:
                failed.append(f"{name}: {error}")
                continue
            return way, f"scored with {name}, checked at load to give one log-prob per prompt token"
        return None, "the server gives no log-probs of a given text (" + "; ".join(failed) + ")"

    def _by_prompt_logprobs(self, tokens: Sequence[int], scored_from: int) -> tuple[TokenScore, ...]:
        settings: dict[str, object] = {"max_tokens": 1, "temperature": 0}
        reply = self._ask(tokens, {**settings, "prompt_logprobs": self._options.top_logprobs or 1})
        listed = reply["choices"][0]["prompt_logprobs"]
        entries = listed.items()
        if len(entries) != len(tokens) or entries[0].value is not None:
            raise listed.wrong(f"{len(tokens)} entries, the first null")
        found = []
        for token, entry in zip(tokens[scored_from:], entries[scored_from:], strict=True):
            own = entry[str(token)]["logprob"].log_prob()
            top = max(each["logprob"].log_prob() for each in entry.fields().values())
            found.append(TokenScore(log_prob=own, top=likeliest(own, top)))
        return tuple(found)

    def _by_echo(self, tokens: Sequence[int], scored_from: int) -> tuple[TokenScore, ...]:
        settings: dict[str, object] = {"max_tokens": 1, "temperature": 0, "echo": True}
        reply = self._ask(tokens, {**settings, "logprobs": self._options.top_logprobs or 1})
        listed = reply["choices"][0]["logprobs"]
        own, tops = listed["token_logprobs"].items(), listed["top_logprobs"].items()
        # A server that ends the text right behind the prompt may show no token of an answer.
        if len(own) not in (len(tokens), len(tokens) + 1) or len(tops) != len(own) or own[0].value is not None:
            raise listed.wrong(f"{len(tokens)} entries of the prompt, the first null, and at most one of the answer")
        found = []
        for place in range(scored_from, len(tokens)):
            value = own[place].log_prob()
            top = max([each.log_prob() for each in tops[place].fields().values()], default=None)
            if top is None:
                raise tops[place].wrong("the likeliest token")
            found.append(TokenScore(log_prob=value, top=likeliest(value, top)))
        return tuple(found)
