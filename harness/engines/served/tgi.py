"""Text Generation Inference through /generate. It takes only text, which must be read as the planned tokens.

It always puts its tokenizer's start tokens in front, has no way to go on after the end of text, and shows no likeliest
prompt token: whether a continuation was the greedy one is found by generating greedily from the same context.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from harness.engines.protocol import GenerateRequest, Generation, LoadSpec
from harness.engines.served.decoding_rules import TGI as RULES
from harness.engines.served.decoding_rules import Ended, Piece, answer, check_rules
from harness.engines.served.dialect import PROBE_TEXT, About, Detokenizer, Options, TokenScore, said
from harness.engines.served.http import Http, Reply, ServerRefusedError
from harness.engines.served.sampling import TGI as WORDS
from harness.engines.served.sampling import sampling
from harness.errors import EngineError

PATH = "/generate"
MOST_STOPS = 4
"""What TGI takes unless started with more; the rest is cut on this side."""


class TGI:
    """See the module's text."""

    def __init__(self, http: Http, options: Options, model: str, spec: LoadSpec) -> None:
        self._http, self._options, self._model = http, options, model
        self._told = http.find("/info")
        self._local = Detokenizer(spec)
        self._start = self._split("")
        self._why: str | None = None
        try:
            ids = self._split(PROBE_TEXT)
            self._positions(ids, max(1, len(self._start)))
        except EngineError as error:
            self._why = f"this TGI server gives no log-probs of a given text ({error})"

    def about(self) -> About:
        told = self._told
        return About(
            model=self._model,
            server="tgi",
            version=None if told is None else told.optional_text("version"),
            context_length=None if told is None else told.optional_integer("max_total_tokens"),
            weights=said(told, "model_id", "model_sha"),
        )

    def notes(self) -> tuple[str, ...]:
        way = self._why or "scored with decoder_input_details, checked at load to give one log-prob per prompt token"
        sent = f"prompts are sent as text after the server's own start tokens {list(self._start)}, each checked"
        return (sent, way, "the server takes no ignore_eos: a timed stream may end early and is an error")

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        ids = self._split(text)
        if ids[: len(self._start)] != self._start:
            raise EngineError(f"{self._http.root}/tokenize: expected {list(self._start)} first, got {ids[:4]}")
        return ids if add_special_tokens else ids[len(self._start) :]

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        scores = self._scored((*context, *continuation), len(context))
        greedy = self._tokens(self._ask(context, len(continuation)))[: len(continuation)]
        same = 0
        while same < min(len(greedy), len(continuation)) and greedy[same] == continuation[same]:
            same += 1
        # After the first token that is not the likeliest the rest is unknown; one is enough to settle `greedy`.
        return tuple(TokenScore(log_prob=value, top=place < same) for place, value in enumerate(scores))

    def score_windows(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        return self._scored(tokens, scored_from)

    def generate(self, request: GenerateRequest) -> Generation:
        check_rules(request.decoding, RULES, "TGI", self._http.root)
        more: dict[str, object] = {"stop": [stop for stop in request.until if stop][:MOST_STOPS]}
        more |= sampling(WORDS, request, self._http.root)
        if request.decoding is not None:
            more["repetition_penalty"] = request.decoding.repetition_penalty
        return answer(request, lambda prompt, count: self._generated(prompt, count, more), self._http.root)

    def _generated(self, prompt: Sequence[int], count: int, more: Mapping[str, object]) -> Piece:
        reply = self._ask(prompt, count, **more)
        reason = reply["details"]["finish_reason"].text()
        ends: dict[str, Ended] = {"eos_token": "end", "length": "length"}
        return Piece(text=reply["generated_text"].text(), tokens=self._tokens(reply), ended=ends.get(reason, "stop"))

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        return (*self._start, *self._local.filler(max(count - len(self._start), 0), source))

    def stream(self, prompt: Sequence[int], new_tokens: int) -> Iterator[tuple[float, int]]:
        body = {"inputs": self._text(prompt), "parameters": {"max_new_tokens": new_tokens, "do_sample": False}}
        for count, (arrived, event) in enumerate(self._http.events("/generate_stream", body), start=1):
            event["token"]["id"].integer()
            yield arrived, count

    def _split(self, text: str) -> tuple[int, ...]:
        try:
            return tuple(each["id"].integer() for each in self._http.post("/tokenize", {"inputs": text}).items())
        except ServerRefusedError as error:
            raise EngineError(f"{self._http.root}: this server has no /tokenize ({error})") from error

    def _text(self, prompt: Sequence[int]) -> str:
        """The text that the server reads as exactly these tokens."""
        if tuple(prompt[: len(self._start)]) != self._start:
            raise EngineError(
                f"{self._http.root}: the server puts {list(self._start)} before every text, and a planned prompt "
                "does not start with it; use a server that takes token ids (llama.cpp, vLLM or SGLang)"
            )
        text = self._local.text(prompt[len(self._start) :])
        if self._split(text) != tuple(prompt):
            raise EngineError(
                f"{self._http.root}: the server reads a planned prompt as other tokens than planned; "
                "its tokenizer is not the baseline's"
            )
        return text

    def _ask(self, prompt: Sequence[int], new_tokens: int, **more: object) -> Reply:
        return self._send(self._text(prompt), new_tokens, **more)

    def _send(self, text: str, new_tokens: int, **more: object) -> Reply:
        settings = {"max_new_tokens": new_tokens, "do_sample": False, "details": True, **more}
        return self._http.post(PATH, {"inputs": text, "parameters": settings})

    def _tokens(self, reply: Reply) -> tuple[int, ...]:
        return tuple(each["id"].integer() for each in reply["details"]["tokens"].items())

    def _scored(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        if self._why is not None:
            raise EngineError(f"{self._http.root}: {self._why}")
        return self._positions(tokens, scored_from)

    def _positions(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        reply = self._send(self._text(tokens), 1, decoder_input_details=True)
        listed = reply["details"]["prefill"]
        entries = listed.items()
        if tuple(each["id"].integer() for each in entries) != tuple(tokens):
            raise listed.wrong(f"the {len(tokens)} tokens of the prompt")
        return tuple(each["logprob"].log_prob() for each in entries[scored_from:])
