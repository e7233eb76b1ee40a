"""Answers: our own decoder where it is right for the model, transformers' `generate` for everything else. Sampled
tokens are drawn by `harness.engines.sampler` in both."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.engines.decoding import TRANSFORMERS, Decoding
from harness.engines.protocol import GenerateRequest, Generation
from harness.engines.sampler import choose_each
from harness.engines.transformers.decoder import Decoder
from harness.engines.transformers.lm_head import LmHead
from harness.engines.transformers.loading import core_of, input_device
from harness.engines.transformers.score import Scorer

LOOK_BACK = 16
"""Tokens decoded after every step to look for a stop string, beyond the longest stop string's characters."""
TRIAL = (4, 3, 7, 5)
"""Tokens of the trial's shared prefix, and of what follows in each of its prompts."""
TRIAL_TOKENS = 4
UNDERSTOOD = frozenset(
    (
        *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "max_length", "max_new_tokens"),
        *("do_sample", "num_beams", "num_return_sequences", "temperature", "top_p", "top_k", "min_p"),
        *("use_cache", "cache_implementation", "transformers_version", "_from_model_config"),
        *("output_attentions", "output_hidden_states", "output_scores", "return_dict_in_generate"),
    )
)
"""Generation settings that leave a greedy choice the most likely token. A model with any other one set is generated
with by transformers."""


class Generator:
    """Answers requests on one model, in the way that a trial found to be right for it."""

    def __init__(self, model: Any, tokenizer: Any, head: LmHead, scorer: Scorer) -> None:
        self._model, self._tokenizer, self._head = model, tokenizer, head
        self._budget, self._tolerance, self._limits = scorer.budget, scorer.tolerance, scorer.limits
        self._prefixes = scorer.prefixes
        self._decoder: Decoder | None = None
        self.reason = self._choose()
        """Why transformers' own loop is used; empty where ours is."""

    def generate(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """One answer per request, in order."""
        groups: dict[tuple[bool, tuple[object, ...]], list[int]] = {}
        for index, request in enumerate(requests):
            ours = self._is_ours(request)
            head = request.prompt[: request.shared] if ours else ()
            # Rules that look at the tokens so far would also see padding: such prompts go with others of their length.
            alike = 0 if request.decoding is None or request.decoding.is_plain else len(request.prompt)
            asked = (request.max_new_tokens, request.until, request.decoding)
            settings = (*asked, alike, head, request.root_prefix)
            groups.setdefault((ours, settings), []).append(index)
        answers: dict[int, Generation] = {}
        for (ours, _), indices in groups.items():
            for part in self._batches(requests, indices):
                found = (self._own if ours else self._library)([requests[index] for index in part])
                answers.update(zip(part, found, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _is_ours(self, request: GenerateRequest) -> bool:
        if self._decoder is None:
            return False
        if request.decoding is not None and not request.decoding.is_plain:
            return False
        return self._limits.within(len(request.prompt) + request.max_new_tokens)

    def _batches(self, requests: Sequence[GenerateRequest], indices: Sequence[int]) -> list[list[int]]:
        """Requests, longest first, in batches whose states fit beside those of their shared prefix.

        One by one where frequencies change on the way.
        """
        sizes = {index: len(requests[index].prompt) + requests[index].max_new_tokens for index in indices}
        free = self._budget.cache_tokens - requests[indices[0]].shared
        order = sorted(indices, key=lambda index: (-sizes[index], index))
        batches, start = [], 0
        while start < len(order):
            longest = sizes[order[start]]
            width = 1 if self._limits.rope_group(longest) else max(1, free // longest)
            batches.append(order[start : start + width])
            start += width
        return batches

    def _choose(self) -> str:
        """Try our decoder on random prompts: every token has to be the most likely one of a plain pass."""
        import torch

        core = core_of(self._model)
        if self._head.trunk is None:
            return self._head.why_not or ""
        try:
            config = _config(self._model, self._tokenizer, GenerateRequest(prompt=(0,), max_new_tokens=1))
        except (TypeError, ValueError) as error:  # scores need none of them
            return f"its generation settings cannot be read ({error})"
        if others := sorted(config.to_diff_dict().keys() - UNDERSTOOD):
            return f"its generation settings name {', '.join(others)}"
        drawn = torch.randint(
            0, int(core.config.get_text_config().vocab_size), (sum(TRIAL),), generator=torch.Generator().manual_seed(2)
        ).tolist()
        head, rest, prompts = drawn[: TRIAL[0]], drawn[TRIAL[0] :], []
        for size in TRIAL[1:]:
            prompts.append((*head, *rest[:size]))
            del rest[:size]
        decoder = Decoder(self._model, self._head, self._budget, self._prefixes)
        asked = [
            GenerateRequest(prompt=each, max_new_tokens=TRIAL_TOKENS, shared=len(head), root_prefix=1)
            for each in prompts
        ]
        try:
            answers = decoder.decode(asked, frozenset(), lambda rows: [False] * len(rows))
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, ImportError) as error:
            return f"not possible ({(str(error).splitlines() or [type(error).__name__])[0][:120]})"
        loss = max(self._loss(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True))
        if not loss <= self._tolerance:
            return f"a token is {loss:.2g} nats from the most likely one"
        self._decoder = decoder
        return ""

    def _loss(self, prompt: Sequence[int], answer: Sequence[int]) -> float:
        """How far, in nats, the answer's tokens are at most from the most likely ones of a plain pass."""
        import torch

        ids = torch.tensor([[*prompt, *answer[:-1]]], device=input_device(self._model))
        with torch.no_grad():
            logits = self._model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :].float()
        picked = logits.gather(-1, torch.tensor(answer, device=logits.device)[:, None])[:, 0]
        loss = float((logits.amax(-1) - picked).max())
        return loss if loss == loss else float("inf")

    def _own(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        assert self._decoder is not None
        self._limits.fresh()
        first = requests[0]
        ends = _ends(_config(self._model, self._tokenizer, first).eos_token_id)
        stops = StopStrings(self._tokenizer, first.until)
        found = self._decoder.decode(requests, ends, stops.stopped)
        return [_answer(self._tokenizer, tokens, first, ends) for tokens in found]

    def _library(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """A left-padded batch in transformers' own loop."""
        import torch
        import transformers

        first = requests[0]
        longest = max(len(request.prompt) for request in requests)
        config = _config(self._model, self._tokenizer, first)
        ids = torch.full((len(requests), longest), int(config.pad_token_id), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(requests):
            ids[row, longest - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, longest - len(request.prompt) :] = 1
        device = input_device(self._model)
        ends_too = config.stop_strings or ()  # looked for here: transformers' own search asks for more of a tokenizer
        config.stop_strings = None
        stops = StopStrings(self._tokenizer, (*first.until, *([ends_too] if isinstance(ends_too, str) else ends_too)))

        def criterion(input_ids: Any, scores: Any, **_: Any) -> Any:
            del scores
            return torch.tensor(stops.stopped(input_ids[:, longest:].tolist()), device=input_ids.device)

        def drawn(input_ids: Any, scores: Any) -> Any:
            """After all the rules: nothing is left but the token that is drawn for each row."""
            places = [input_ids.shape[1] - longest] * len(requests)
            chosen = torch.tensor(choose_each(scores.float().cpu().numpy(), requests, places), device=scores.device)
            return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)

        samples = [drawn] if any(each.temperature > 0 for each in requests) else []
        self._limits.fresh()
        with torch.no_grad(), _instead_of_its_own(self._model, config):
            output = self._model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                stopping_criteria=transformers.StoppingCriteriaList([criterion]),
                logits_processor=transformers.LogitsProcessorList(samples),
            )
        ends = _ends(config.eos_token_id)
        return [_answer(self._tokenizer, row[longest:], first, ends) for row in output.tolist()]


def _ends(eos: Any) -> frozenset[int]:
    if eos is None:
        return frozenset()
    return frozenset(eos) if isinstance(eos, list) else frozenset([int(eos)])


def _config(model: Any, tokenizer: Any, request: GenerateRequest) -> Any:
    """The request's rules, or the model's own generation settings (such as a repetition penalty), with sampling
    switched off: it is not transformers' own that samples here."""
    import transformers

    own = core_of(model).generation_config or transformers.GenerationConfig()
    config = copy.deepcopy(own) if request.decoding is None else _ruled(own, request.decoding)
    config.max_length = None
    config.max_new_tokens = request.max_new_tokens
    config.do_sample = False
    config.num_beams = 1
    config.num_return_sequences = 1
    config.temperature, config.top_p, config.top_k = 1.0, 1.0, 50
    config.min_p = None
    if config.eos_token_id is None and request.decoding is None:
        config.eos_token_id = tokenizer.eos_token_id
    if config.pad_token_id is None:
        ends = sorted(_ends(config.eos_token_id))
        config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0]
    return config


def _ruled(own: Any, decoding: Decoding) -> Any:
    """The rules as transformers takes them; how the model computes (its cache, its padding) stays its own."""
    import transformers

    rules = {TRANSFORMERS.get(name, name): _listed(value) for name, value in decoding.rules().items()}
    kept = {name: getattr(own, name, None) for name in ("bos_token_id", "pad_token_id", "cache_implementation")}
    return transformers.GenerationConfig(**kept, eos_token_id=list(decoding.end_tokens) or None, **rules)


def _listed(value: object) -> object:
    return [_listed(each) for each in value] if isinstance(value, tuple) else value


@contextmanager
def _instead_of_its_own(model: Any, config: Any) -> Iterator[None]:
    """`generate` fills what a configuration leaves open from the model's own, which must not count here."""
    core = core_of(model)
    own = core.generation_config
    core.generation_config = config
    try:
        yield
    finally:
        core.generation_config = own


class StopStrings:
    """A row is done once a stop string stands in its newest text."""

    def __init__(self, tokenizer: Any, until: Sequence[str]) -> None:
        self._tokenizer, self._until = tokenizer, [text for text in until if text]
        self._back = LOOK_BACK + max((len(text) for text in self._until), default=0)

    def stopped(self, rows: Sequence[Sequence[int]]) -> list[bool]:
        """Per row of new tokens."""
        if not self._until:
            return [False] * len(rows)
        texts = self._tokenizer.batch_decode([row[-self._back :] for row in rows], skip_special_tokens=False)
        return [any(stop in text for stop in self._until) for text in texts]


def _answer(tokenizer: Any, generated: Sequence[int], request: GenerateRequest, ends: frozenset[int]) -> Generation:
    """Tokens up to the end of text, and the text up to the first stop string (as lm-eval cuts it)."""
    cut = next((place for place, token in enumerate(generated) if token in ends), len(generated))
    tokens = tuple(generated[:cut])
    text = whole = str(tokenizer.decode(tokens, skip_special_tokens=True))
    for stop in request.until:
        if stop:
            text = text.split(stop)[0]
    stopped = cut < len(generated) or text != whole or len(tokens) < request.max_new_tokens
    return Generation(tokens=tokens, text=text, finish="stop" if stopped else "length")
