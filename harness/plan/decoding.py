"""The decoding rules of a suite's generation tasks, as part of what is asked.

Owns how the suite's `decoding:` block changes the baseline's rules, and how the rules enter requests and hashes. Rules
that are today's usual ones (the likeliest token, up to the tokenizer's own end token) add nothing to a hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.engines.decoding import Decoding
from harness.engines.seam import GenerateRequest
from harness.plan.requests import Asked
from harness.plan.rows import problem
from harness.plan.tokens import Tokenizer
from harness.spec.load import LoadedSuite
from harness.spec.models import DecodingRules


def suite_rules(loaded: LoadedSuite, own: Decoding | None, tokenizer: Tokenizer) -> Decoding | None:
    """The rules that hold for everybody: the baseline's `own`, changed as the suite says.

    None where neither says anything (the scripted engine): every engine then goes by its model's files. Raises
    `SuiteError` for a text that is not one token.
    """
    asked = loaded.suite.decoding
    if own is not None and not own.end_tokens:
        own = replace(own, end_tokens=_end_of_text(tokenizer))
    if asked is None:
        return own
    start = own or Decoding(end_tokens=_end_of_text(tokenizer))
    if not asked.inherit:
        start = Decoding(end_tokens=start.end_tokens)
    changes: dict[str, object] = {
        name: getattr(asked, name)
        for name in ("repetition_penalty", "no_repeat_ngram_size", "min_new_tokens")
        if getattr(asked, name) is not None
    }
    for name in ("end_tokens", "suppress_tokens"):
        if getattr(asked, name) is not None:
            changes[name] = _tokens(loaded, asked, name, tokenizer)
    return replace(start, **changes)  # type: ignore[arg-type]  # fields by their names


def _end_of_text(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The tokenizer's own end of text, where it has one that is a token."""
    if tokenizer.eos_text is None:
        return ()
    ids = tokenizer.encode(tokenizer.eos_text, add_special_tokens=False)
    return ids if len(ids) == 1 else ()


def _tokens(loaded: LoadedSuite, asked: DecodingRules, name: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    found: set[int] = set()
    for place, each in enumerate(getattr(asked, name)):
        ids = (each,) if isinstance(each, int) else tokenizer.encode(each, add_special_tokens=False)
        if len(ids) != 1 or ids[0] < 0:
            came = each if isinstance(each, int) else f"{each!r}, which is {len(ids)} tokens"
            key = f"decoding.{name}[{place}]"
            raise problem(loaded.shown, key, f"expected the id or the text of one token, got {came}")
        found |= set(ids)
    return tuple(sorted(found))


def under(asked: Asked, decoding: Decoding | None) -> Asked:
    """The document's requests with the rules that hold for their answers."""
    if decoding is None:
        return asked
    ruled = [replace(each, decoding=decoding) if isinstance(each, GenerateRequest) else each for each in asked.requests]
    return replace(asked, requests=tuple(ruled))


def rule_facts(requests: Sequence[object], tokenizer: Tokenizer) -> Mapping[str, object]:
    """What the rules add to the settings of a task; nothing for the usual ones."""
    for each in requests:
        if isinstance(each, GenerateRequest) and each.decoding is not None:
            usual = each.decoding.is_plain and each.decoding.end_tokens == _end_of_text(tokenizer)
            return {} if usual else {"decoding": each.decoding.as_json()}
    return {}
