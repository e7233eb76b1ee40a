"""SGLang through its own /generate, which takes token ids and gives log-probs of the prompt.

Written against SGLang 0.5.23. Every log-prob comes with its token id, and the ids must be the ones asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from harness.engines.protocol import GenerateRequest, Generation
from harness.engines.served.decoding_rules import SGLANG, Ended, Piece, answer, check_rules, sglang_settings
from harness.engines.served.dialect import (
    PROBE_IDS,
    PROBE_TEXT,
    About,
    Options,
    TokenScore,
    likeliest,
    random_ids,
    said,
    tokenized,
)
from harness.engines.served.http import Http, Reply
from harness.engines.served.sampling import SGLANG as WORDS
from harness.engines.served.sampling import sampling
from harness.errors import EngineError

PATH = "/generate"


class SGLang:
    """See the module's text."""

    def __init__(self, http: Http, options: Options, model: str, listed: Reply | None) -> None:
        self._http, self._options, self._model, self._listed = http, options, model, listed
        self._told = http.find("/model_info") or http.find("/get_model_info")
        self._why: str | None = None
        try:
            probe = self.encode(PROBE_TEXT, add_special_tokens=False)
        except EngineError:
            probe = PROBE_IDS
        try:
            self._positions(probe, 1)
        except EngineError as error:
            self._why = f"this SGLang server gives no log-probs of a given text ({error})"

    def about(self) -> About:
        told, listed = self._told, self._listed
        named = None if told is None else told.get("architectures")
        return About(
            model=self._model,
            server="sglang",
            architecture="unknown" if named is None else named[0].text(),
            model_type=(told.optional_text("model_type") if told else None) or "unknown",
            context_length=None if listed is None else listed.optional_integer("max_model_len"),
            weights=said(told, "model_path", "weight_version"),
        )

    def notes(self) -> tuple[str, ...]:
        way = self._why or "scored with input_token_logprobs, checked at load to give one log-prob per prompt token"
        return ("prompts are sent as token ids", way)

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tokenized(self._http, self._model, text, add_special_tokens=add_special_tokens)

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        if self._why is not None:
            raise EngineError(f"{self._http.root}: {self._why}")
        return self._positions((*context, *continuation), len(context))

    def score_windows(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        if self._why is not None:
            raise EngineError(f"{self._http.root}: {self._why}")
        return tuple(each.log_prob for each in self._positions(tokens, scored_from))

    def generate(self, request: GenerateRequest) -> Generation:
        check_rules(request.decoding, SGLANG, "SGLang", self._http.root)
        settings = {
            **sampling(WORDS, request, self._http.root),
            "stop": [stop for stop in request.until if stop],
            **sglang_settings(request.decoding),
        }
        return answer(request, lambda prompt, count: self._generated(prompt, count, settings), self._http.root)

    def _generated(self, prompt: Sequence[int], count: int, settings: Mapping[str, object]) -> Piece:
        reply = self._ask(prompt, {**settings, "max_new_tokens": count})
        why = reply["meta_info"]["finish_reason"]
        kind = why["type"].text()
        if kind not in ("stop", "length"):
            raise why.wrong("stop or length", "the server broke the generation off")
        tokens = reply["output_ids"].integers()
        by_token = bool(tokens) and why.optional_integer("matched") == tokens[-1]
        ended: Ended = "length" if kind == "length" else "end" if by_token else "stop"
        return Piece(text=reply["text"].text(), tokens=tokens, ended=ended)

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        return random_ids(count, source, 0)

    def stream(self, prompt: Sequence[int], new_tokens: int) -> Iterator[tuple[float, int]]:
        settings = {"max_new_tokens": new_tokens, "temperature": 0, "ignore_eos": True}
        body = {"input_ids": list(prompt), "sampling_params": settings, "stream": True}
        for arrived, event in self._http.events(PATH, body):
            yield arrived, event["meta_info"]["completion_tokens"].integer()

    def _ask(self, prompt: Sequence[int], settings: Mapping[str, object], **more: object) -> Reply:
        reply = self._http.post(PATH, {"input_ids": list(prompt), "sampling_params": settings, **more})
        counted = reply["meta_info"]["prompt_tokens"]
        if counted.integer() != len(prompt):
            raise counted.wrong(f"{len(prompt)} prompt tokens", "the server changed the prompt")
        return reply

    def _positions(self, tokens: Sequence[int], scored_from: int) -> tuple[TokenScore, ...]:
        wanted = tokens[scored_from:]
        reply = self._ask(
            tokens,
            {"max_new_tokens": 1, "temperature": 0},
            return_logprob=True,
            logprob_start_len=scored_from - 1,
            top_logprobs_num=self._options.top_logprobs or 1,
        )
        given, tops = reply["meta_info"]["input_token_logprobs"], reply["meta_info"]["input_top_logprobs"]
        own, best = given.items()[-len(wanted) :], tops.items()[-len(wanted) :]
        if [each[1].integer() for each in own] != list(wanted) or len(best) != len(wanted):
            raise given.wrong(f"log-probs of the {len(wanted)} tokens asked for")
        found = []
        for entry, top in zip(own, best, strict=True):
            value = entry[0].log_prob()
            found.append(TokenScore(log_prob=value, top=likeliest(value, top[0][0].log_prob())))
        return tuple(found)
