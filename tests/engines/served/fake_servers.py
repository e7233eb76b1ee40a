"""A fake model behind servers of every kind, each answering as its own source writes answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from harness.engines.protocol import ContinuationScore
from harness.engines.served.fake import ABSENT, Answer, FakeServer, Pages

Serve = Callable[[Pages], FakeServer]
"""What the fixture `serve` gives: starts a server, which is stopped after the test."""

VOCABULARY = 1000
END = 7
"""The fake model's end of text."""
CONTEXT = (400, 401, 402)


def log_prob(prompt: tuple[int, ...], token: int) -> float:
    """The fake model: a geometric distribution over a permutation of the vocabulary that the prompt's sum picks."""
    return math.log(0.01 / (1 - 0.99**VOCABULARY)) + rank(prompt, token) * math.log(0.99)


def rank(prompt: tuple[int, ...], token: int) -> int:
    return (token * 7 + sum(prompt) * 13) % VOCABULARY


def best(prompt: tuple[int, ...]) -> int:
    return -sum(prompt) * 13 * 143 % VOCABULARY  # 143 * 7 = 1 modulo the vocabulary


def expected(context: tuple[int, ...], continuation: tuple[int, ...]) -> ContinuationScore:
    before = [(*context, *continuation[:place]) for place in range(len(continuation))]
    return ContinuationScore(
        log_probs=tuple(log_prob(prompt, token) for prompt, token in zip(before, continuation, strict=True)),
        greedy=all(best(prompt) == token for prompt, token in zip(before, continuation, strict=True)),
    )


def greedy(prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    for _ in range(count):
        prompt = (*prompt, best(prompt))
    return prompt[len(prompt) - count :]


def words(tokens: tuple[int, ...]) -> str:
    return "".join(f" w{token}" for token in tokens)


def models(owner: str, *names: str) -> Answer:
    return Answer({"data": [{"id": name, "owned_by": owner, "max_model_len": 2048} for name in names or ("tiny",)]})


def vllm(path: str, body: dict[str, Any]) -> Answer:
    """vLLM as its own source writes answers."""
    if path == "/v1/models":
        return models("vllm", "tiny", "tiny-lora")
    if path == "/version":
        return Answer({"version": "0.33.0"})
    if path == "/tokenize":
        return Answer({"tokens": [300 + ord(each) for each in body["prompt"]], "count": len(body["prompt"])})
    if path != "/v1/completions":
        return ABSENT
    prompt, count = tuple(body["prompt"]), body["max_tokens"]
    tokens = greedy(prompt, count)
    usage = {"prompt_tokens": len(prompt), "completion_tokens": count}
    if body.get("stream"):
        assert body["ignore_eos"]
        steps = sorted({1, *range(2, count, 2), count})
        events: list[Any] = [
            {"choices": [{"text": "x", "index": 0}], "usage": {"completion_tokens": step}} for step in steps
        ]
        return Answer(events=[*events, {"choices": [], "usage": usage}])
    choice: dict[str, Any] = {"index": 0, "text": words(tokens), "finish_reason": "length", "stop_reason": None}
    if body.get("return_token_ids"):
        choice["token_ids"] = tokens
    if "prompt_logprobs" in body:
        choice["prompt_logprobs"] = [None] + [
            {
                str(each): {"logprob": log_prob(prompt[:place], each), "rank": rank(prompt[:place], each) + 1}
                for each in {prompt[place], best(prompt[:place])}
            }
            for place in range(1, len(prompt))
        ]
    return Answer({"choices": [choice], "usage": usage})


def plain(*, echo: bool, split: bool = False) -> Pages:
    """An OpenAI-style server that ignores what it does not know, `echo` too unless told otherwise."""

    def pages(path: str, body: dict[str, Any]) -> Answer:
        if path == "/v1/models":
            return models("somebody")
        if path != "/v1/completions":
            return ABSENT
        prompt = tuple(body["prompt"])
        tokens = greedy(prompt, body["max_tokens"])
        usage = {"prompt_tokens": len(prompt) + int(split), "completion_tokens": len(tokens)}
        if body.get("stream"):
            events = [{"choices": [{"text": words((each,)), "index": 0}]} for each in tokens]
            return Answer(events=[*events, {"choices": [], "usage": usage}])
        choice: dict[str, Any] = {"index": 0, "text": words(tokens), "finish_reason": "stop"}
        if body.get("logprobs"):
            whole = (*prompt, *tokens)
            places = range(1, len(whole)) if echo else range(len(prompt), len(whole))
            first = [None] if echo else []
            choice["logprobs"] = {
                "token_logprobs": [*first, *(log_prob(whole[:place], whole[place]) for place in places)],
                "top_logprobs": [
                    *first,
                    *({"?": log_prob(whole[:place], best(whole[:place]))} for place in places),
                ],
            }
        return Answer({"choices": [choice], "usage": usage})

    return pages


def llamacpp(*, grammar: bool) -> Pages:
    """llama.cpp's server; an old one ignores a grammar of token ids."""

    def pages(path: str, body: dict[str, Any]) -> Answer:
        if path == "/v1/models":
            meta = {"n_vocab": VOCABULARY, "n_params": 12345}
            return Answer({"data": [{"id": "tiny.gguf", "owned_by": "llamacpp", "meta": meta}]})
        if path == "/props":
            return Answer({"default_generation_settings": {"n_ctx": 512}, "model_ftype": "Q4_1"})
        if path == "/tokenize":
            return Answer({"tokens": [300 + ord(each) for each in body["content"]]})
        if path != "/completion":
            return ABSENT
        prompt = tuple(body["prompt"])
        tokens = greedy(prompt, body["n_predict"])
        if grammar and "grammar" in body:
            forced = [int(each.strip("<[]>")) for each in body["grammar"].removeprefix("root ::= ").split()]
            if END in forced:
                return Answer({"error": "Unexpected empty grammar stack"}, status=500)
            tokens = tuple(forced)
        listed = []
        for place, token in enumerate(tokens):
            before = (*prompt, *tokens[:place])
            order = sorted(range(VOCABULARY), key=lambda each: rank(before, each))[: body.get("n_probs", 0)]
            top = [{"id": each, "logprob": log_prob(before, each)} for each in order]
            listed.append({"id": token, "logprob": log_prob(before, token), "top_logprobs": top})
        answer = {"content": words(tokens), "tokens": tokens, "stop_type": "limit", "truncated": False}
        if body.get("n_probs"):
            answer["completion_probabilities"] = listed
        return Answer({**answer, "tokens_evaluated": len(prompt)})

    return pages


def sglang(path: str, body: dict[str, Any]) -> Answer:
    """SGLang as its own source writes answers."""
    if path == "/v1/models":
        return models("sglang")
    if path == "/model_info":
        return Answer({"model_path": "tiny", "model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    if path != "/generate":
        return ABSENT
    prompt, settings = tuple(body["input_ids"]), body["sampling_params"]
    tokens = (*greedy(prompt, settings["max_new_tokens"] - 1), END)
    if body.get("stream"):
        events = [{"text": "", "meta_info": {"completion_tokens": place + 1}} for place in range(len(tokens))]
        return Answer(events=events)
    meta: dict[str, Any] = {"prompt_tokens": len(prompt), "finish_reason": {"type": "stop", "matched": END}}
    if body.get("return_logprob"):
        places = range(body["logprob_start_len"] + 1, len(prompt))
        first = prompt[body["logprob_start_len"]]
        meta["input_token_logprobs"] = [[None, first, None]] + [
            [log_prob(prompt[:place], prompt[place]), prompt[place], None] for place in places
        ]
        meta["input_top_logprobs"] = [None] + [
            [[log_prob(prompt[:place], best(prompt[:place])), best(prompt[:place]), None]] for place in places
        ]
    return Answer({"text": words(tokens[:-1]), "output_ids": tokens, "meta_info": meta})


def tgi(path: str, body: dict[str, Any]) -> Answer:
    """TGI: text in, one start token in front. Token ids are those of `byte_tokenizer`."""
    if path == "/v1/models":
        return models("somebody")
    if path == "/info":
        return Answer({"model_id": "tiny", "max_total_tokens": 1024, "version": "3.3"})
    prompt = (1, *(each + 3 for each in body.get("inputs", "").encode()))
    if path == "/tokenize":
        return Answer([{"id": each, "text": "?"} for each in prompt])
    count = body.get("parameters", {}).get("max_new_tokens", 0)
    tokens = greedy(prompt, count)
    if path == "/generate_stream":
        return Answer(events=[{"index": place, "token": {"id": each}} for place, each in enumerate(tokens)])
    if path != "/generate":
        return ABSENT
    details: dict[str, Any] = {"finish_reason": "length", "tokens": [{"id": each} for each in tokens]}
    if body["parameters"].get("decoder_input_details"):
        details["prefill"] = [{"id": 1, "logprob": None}] + [
            {"id": prompt[place], "logprob": log_prob(prompt[:place], prompt[place])} for place in range(1, len(prompt))
        ]
    return Answer({"generated_text": words(tokens), "details": details})
