"""The rules of greedy decoding that hold for every variant of a suite: a name for things, like the protocol.

Owns which of a model's generation settings change a greedy answer, and what a rule is called. The planner reads them
once, from the baseline; every engine follows them or refuses them by name (`unable`). Sampling settings are no part
of it: a greedy choice does not see them. Needs the standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

NEUTRAL: Mapping[str, object] = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "sequence_bias": None,
    "guidance_scale": 1.0,
    "token_healing": False,
    "stop_strings": None,
    "watermarking_config": None,
    "penalty_alpha": None,
    "dola_layers": None,
    "constraints": None,
    "force_words_ids": None,
}
"""The generation settings of transformers that change a greedy answer, with the value that changes nothing."""
TRANSFORMERS = {"bad_words": "bad_words_ids"}
"""What transformers calls a rule, where that is another name."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """What decides a greedy answer beside the logits. Equal objects are equal rules."""

    end_tokens: tuple[int, ...] = ()
    """Tokens that end an answer, in rising order."""
    repetition_penalty: float = 1.0
    """Divides the positive logits of every token of prompt and answer so far, multiplies the negative ones."""
    no_repeat_ngram_size: int = 0
    min_new_tokens: int = 0
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    bad_words: tuple[tuple[int, ...], ...] = ()
    """Sequences of tokens that are never generated."""
    others: tuple[tuple[str, str], ...] = ()
    """Any other setting of transformers that changes a greedy answer: its name and its value as JSON."""

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is always taken."""
        return not self.rules()

    def rules(self) -> dict[str, object]:
        """What is set beside the end tokens, by name."""
        usual = Decoding()
        names = [each.name for each in fields(self) if each.name not in ("end_tokens", "others")]
        found = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(usual, name)}
        return {**found, **{name: json.loads(value) for name, value in self.others}}

    def as_json(self) -> dict[str, object]:
        """For hashes and for people: the end tokens and what is set."""
        return {"end_tokens": self.end_tokens, **self.rules()}


def unable(decoding: Decoding, able: Collection[str]) -> tuple[str, ...]:
    """The rules in force that an engine which follows only `able` cannot follow."""
    return tuple(f"{name} {value}" for name, value in decoding.rules().items() if name not in able)


def refusal(names: Collection[str], runtime: str) -> str:
    """Why an engine cannot answer, in words that follow the model's name."""
    return (
        f"the suite's decoding rules set {', '.join(names)}, which {runtime} cannot follow, so its answers would be "
        "answers to another question; use another engine, or say otherwise in the suite's decoding: block"
    )


VLLM = frozenset({"repetition_penalty", "min_new_tokens"})
"""The rules that vLLM follows as transformers does."""


def vllm_settings(decoding: Decoding | None) -> dict[str, object]:
    """The rules as vLLM takes them, in its library and over HTTP. What a server would otherwise take from the model's
    own file is said outright. `stop_token_ids` with `ignore_eos`: these end an answer and no others."""
    if decoding is None:
        return {}
    return {
        "repetition_penalty": decoding.repetition_penalty,
        "min_tokens": decoding.min_new_tokens,
        "stop_token_ids": list(decoding.end_tokens),
        "ignore_eos": True,
    }


def until_end(tokens: Sequence[int], decoding: Decoding) -> int:
    """Tokens before the first end token."""
    return next((place for place, token in enumerate(tokens) if token in decoding.end_tokens), len(tokens))


def sent(decoding: Decoding | None) -> Mapping[str, object] | None:
    """As it crosses the worker's pipe."""
    return None if decoding is None else vars(decoding)


def received(given: Mapping[str, object] | None) -> Decoding | None:
    """The other end of `sent`."""
    return None if given is None else Decoding(**{name: _tuples(value) for name, value in given.items()})  # type: ignore[arg-type]  # JSON of the same class


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def read_settings(given: Mapping[str, object]) -> Decoding:
    """The rules in a model's generation settings (`generation_config.json`, or what `config.json` holds of them).

    Raises `ValueError` that names the setting for a value that none can have.
    """
    set_ = {name: given[name] for name in NEUTRAL if given.get(name) not in (None, NEUTRAL[name], [], {})}
    known = {
        "repetition_penalty": _number(set_, "repetition_penalty", 1.0),
        "no_repeat_ngram_size": int(_number(set_, "no_repeat_ngram_size", 0)),
        "min_new_tokens": int(_number(set_, "min_new_tokens", 0)),
    }
    lists = {name: tuple(dict.fromkeys(_ids(set_, name))) for name in ("suppress_tokens", "begin_suppress_tokens")}
    words = set_.pop("bad_words_ids", ())
    if not isinstance(words, list | tuple):
        raise ValueError(f"bad_words_ids: expected a list of lists of token ids, got {words!r}")
    return Decoding(
        end_tokens=tuple(sorted(set(_ids({"eos_token_id": given.get("eos_token_id")}, "eos_token_id")))),
        repetition_penalty=known["repetition_penalty"],
        no_repeat_ngram_size=int(known["no_repeat_ngram_size"]),
        min_new_tokens=int(known["min_new_tokens"]),
        **lists,
        bad_words=tuple(_ids({"bad_words_ids": word}, "bad_words_ids") for word in words),
        others=tuple((name, json.dumps(value, sort_keys=True)) for name, value in sorted(set_.items())),
    )


def _number(given: dict[str, object], name: str, neutral: float) -> float:
    value = given.pop(name, neutral)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    return float(value)


def _ids(given: dict[str, object], name: str) -> tuple[int, ...]:
    """One token id or a list of them."""
    value = given.pop(name, None)
    ids = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if any(isinstance(each, bool) or not isinstance(each, int) for each in ids):
        raise ValueError(f"{name}: expected token ids, got {value!r}")
    return tuple(ids)
