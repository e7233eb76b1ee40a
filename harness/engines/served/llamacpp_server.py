"""llama.cpp's own server through /completion, which takes token ids and shows log-probs of the whole softmax.

It ignores `echo` and `prompt_logprobs` without a word, so a given continuation is scored in one of two ways:
`forced`, where a grammar of token ids makes the server generate exactly the continuation and report each token's
log-prob before the grammar; and `stepwise`, one request per token that lists the likeliest tokens, more of them until
the wanted one is there. `forced` is used only where it agreed with `stepwise` at load. The log-probs do not see the
grammar, the temperature or any sampler setting.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from harness.engines.protocol import GenerateRequest, Generation
from harness.engines.served.decoding_rules import LLAMACPP, Ended, Piece, answer, check_rules, llamacpp_settings
from harness.engines.served.dialect import (
    PROBE_IDS,
    PROBE_TEXT,
    About,
    Options,
    TokenScore,
    random_ids,
    said,
)
from harness.engines.served.http import Http, Reply, ServerRefusedError
from harness.engines.served.sampling import LLAMACPP as WORDS
from harness.engines.served.sampling import sampling
from harness.errors import EngineError

Way = Literal["forced", "stepwise", "none"]
PATH = "/completion"
FIRST_LISTED = 64
GROWTH = 16
SPAN = 512
"""Tokens forced by one request; longer continuations are taken in pieces."""
BROKEN_GRAMMAR = 500
AGREE = 0.5
"""Nats by which the two ways may differ: quantized kernels round by the shape of a batch. A wrong way is far off."""


class LlamaCpp:
    """See the module's text."""

    def __init__(self, http: Http, options: Options, model: str, listed: Reply | None) -> None:
        self._http, self._options, self._model = http, options, model
        self._props = http.find("/props")
        self._meta = None if listed is None else listed.get("meta")
        self._vocabulary = 0 if self._meta is None else self._meta.optional_integer("n_vocab") or 0
        self._way, self._why = self._probe()

    def about(self) -> About:
        meta, props = self._meta, self._props
        settings = None if props is None else props.get("default_generation_settings")
        context = None if settings is None else settings.optional_integer("n_ctx")
        notes = []
        if props is not None:
            path = (props.optional_text("model_path") or "").replace("\\", "/").rpartition("/")[2]
            kind = props.optional_text("model_ftype")
            notes += [f"the server says it loaded {path}"] if path else []
            notes += [f"the server says its weights are {kind}"] if kind else []
            slots = props.optional_integer("total_slots")
            notes += [f"the server works on {slots} requests at once, more wait"] if slots else []
            notes += ["the server has a chat template"] if props.optional_text("chat_template") else []
            params = None if settings is None else settings.get("params")
            penalty = None if params is None else params.get("repeat_penalty")
            if penalty is not None and penalty.value != 1:
                notes.append(f"the server's own repeat_penalty {penalty.value} changes what is generated")
        return About(
            model=self._model,
            server="llama.cpp",
            version=None if props is None else props.optional_text("build_info"),
            parameters=0 if meta is None else meta.optional_integer("n_params") or 0,
            vocabulary=self._vocabulary,
            context_length=context,
            weights=said(props, "model_path", "model_ftype"),
            notes=tuple(notes),
        )

    def notes(self) -> tuple[str, ...]:
        ways: dict[Way, str] = {
            "forced": "scored by forcing each continuation with a grammar of token ids; log-probs are of the whole "
            "softmax, checked at load against listed ones",
            "stepwise": f"scored one request per token among the likeliest tokens, because {self._why}",
            "none": self._why,
        }
        return ("prompts are sent as token ids and computed again each time (cache_prompt off)", ways[self._way])

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        body = {"content": text, "add_special": add_special_tokens, "parse_special": True}
        return self._http.post("/tokenize", body)["tokens"].integers()

    def score(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        if self._way == "none":
            raise EngineError(f"{self._http.root}: {self._why}")
        return self._force(context, continuation) if self._way == "forced" else self._step(context, continuation)

    def score_windows(self, tokens: Sequence[int], scored_from: int) -> tuple[float, ...]:
        if self._way != "forced":
            raise EngineError(
                f"{self._http.root}: this llama.cpp server gives no log-probs of a prompt, and {self._why}; "
                "perplexity needs a newer llama.cpp, vLLM, SGLang or the llama.cpp engine on the file itself"
            )
        return tuple(each.log_prob for each in self._force(tokens[:scored_from], tokens[scored_from:]))

    def generate(self, request: GenerateRequest) -> Generation:
        check_rules(request.decoding, LLAMACPP, "llama.cpp's server", self._http.root)
        settings = {
            "stop": [stop for stop in request.until if stop],
            "return_tokens": True,
            **llamacpp_settings(request),
            **sampling(WORDS, request, self._http.root),
        }
        return answer(request, lambda prompt, count: self._generated(prompt, count, settings), self._http.root)

    def _generated(self, prompt: Sequence[int], count: int, settings: Mapping[str, object]) -> Piece:
        reply = self._ask(prompt, count, **settings)
        kind = reply["stop_type"].text()
        if kind not in ("eos", "word", "limit"):
            raise reply["stop_type"].wrong("eos, word or limit", "the server broke the generation off")
        tokens = reply["tokens"].integers()
        if reply["truncated"].value is not False:
            raise reply.wrong("a generation that fits the context", "raise the server's --ctx-size")
        ends: dict[str, Ended] = {"eos": "end", "word": "stop", "limit": "length"}
        return Piece(text=reply["content"].text(), tokens=tokens, ended=ends[kind])

    def filler(self, count: int, source: random.Random) -> tuple[int, ...]:
        return random_ids(count, source, self._vocabulary)

    def stream(self, prompt: Sequence[int], new_tokens: int) -> Iterator[tuple[float, int]]:
        body = self._body(prompt, new_tokens, temperature=0, ignore_eos=True, stream=True)
        for arrived, event in self._http.events(PATH, body):
            yield arrived, event["tokens_predicted"].integer()

    # -- scoring

    def _force(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        pieces = range(0, len(continuation), SPAN)
        return tuple(
            score
            for place in pieces
            for score in self._piece((*context, *continuation[:place]), continuation[place : place + SPAN])
        )

    def _piece(self, context: Sequence[int], piece: Sequence[int]) -> tuple[TokenScore, ...]:
        """One request, and halves of the piece where a token in it (an end of text) cannot stand in a grammar."""
        found = self._forced(context, piece)
        if len(found) == len(piece):
            return found
        if len(piece) == 1:
            return self._step(context, piece)
        half = len(piece) // 2
        return self._piece(context, piece[:half]) + self._piece((*context, *piece[:half]), piece[half:])

    def _forced(self, context: Sequence[int], piece: Sequence[int]) -> tuple[TokenScore, ...]:
        """Scores of the leading tokens of the piece that the server could be made to generate, in order."""
        grammar = "root ::= " + " ".join(f"<[{token}]>" for token in piece)
        try:
            reply = self._ask(context, len(piece), temperature=0, n_probs=1, grammar=grammar)
        except ServerRefusedError as error:
            if error.status != BROKEN_GRAMMAR:
                raise
            return ()
        found = []
        for token, entry in zip(piece, reply["completion_probabilities"].items(), strict=False):
            if entry["id"].integer() != token:
                break
            top = entry["top_logprobs"][0]["id"].integer()
            found.append(TokenScore(log_prob=entry["logprob"].log_prob(), top=top == token))
        return tuple(found)

    def _step(self, context: Sequence[int], continuation: Sequence[int]) -> tuple[TokenScore, ...]:
        return tuple(self._listed((*context, *continuation[:place]), token) for place, token in enumerate(continuation))

    def _listed(self, prompt: Sequence[int], token: int) -> TokenScore:
        """The token's log-prob from lists of growing length, at last the whole vocabulary."""
        count = self._options.top_logprobs or FIRST_LISTED
        while True:
            reply = self._ask(prompt, 1, temperature=0, n_probs=count)
            if reply.get("completion_probabilities") is None:
                raise reply.wrong("completion_probabilities", "the server gives no log-probs; use a newer llama.cpp")
            listed = reply["completion_probabilities"][0]["top_logprobs"].items()
            for place, entry in enumerate(listed):
                if entry["id"].integer() == token:
                    return TokenScore(log_prob=entry["logprob"].log_prob(), top=place == 0)
            if len(listed) < count or (self._vocabulary and count >= self._vocabulary):
                raise EngineError(
                    f"{self._http.root}{PATH}: expected token {token} among {count} listed, got {len(listed)} "
                    "without it; the server's vocabulary is another one or it cuts the list"
                )
            count = count * GROWTH if not self._vocabulary else min(count * GROWTH, self._vocabulary)

    def _probe(self) -> tuple[Way, str]:
        """Which way works here and why not a better one: the end of a text backwards, which nobody would say."""
        try:
            start = self.encode(PROBE_TEXT, add_special_tokens=False)
        except EngineError:
            start = PROBE_IDS
        context, wanted = start[:2], start[:1:-1]
        try:
            listed = self._step(context, wanted)
        except EngineError as error:
            return "none", f"the server gives no log-probs: {error}"
        try:
            forced = self._forced(context, wanted)
        except EngineError as error:
            return "stepwise", f"forcing a continuation failed: {error}"
        if len(forced) != len(wanted):
            return "stepwise", "the server does not keep to a grammar of token ids"
        if any(abs(a.log_prob - b.log_prob) > AGREE for a, b in zip(forced, listed, strict=True)):
            return "stepwise", "forced log-probs differ from listed ones"
        return "forced", ""

    def _ask(self, prompt: Sequence[int], new_tokens: int, **settings: object) -> Reply:
        # A generation that ends where its grammar does not is an error 500.
        final = frozenset({BROKEN_GRAMMAR} if "grammar" in settings else ())
        reply = self._http.post(PATH, self._body(prompt, new_tokens, **settings), final=final)
        seen = reply["tokens_evaluated"].integer()
        if seen != len(prompt):
            raise reply["tokens_evaluated"].wrong(f"{len(prompt)} prompt tokens", "the server changed the prompt")
        return reply

    def _body(self, prompt: Sequence[int], new_tokens: int, **settings: object) -> dict[str, object]:
        # A reused prompt changes the shape of the batch, and with it the rounding of quantized kernels.
        fixed = {"model": self._model, "prompt": list(prompt), "n_predict": new_tokens, "cache_prompt": False}
        return {**fixed, **settings}
