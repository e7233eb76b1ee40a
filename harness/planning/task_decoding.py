"""The decoding rules of a suite's generation tasks, as part of the requests.

Owns how an lm-eval task's own settings and the suite's `decoding:` block change the baseline's rules (the suite has the
last word), and how the rules enter requests and hashes. Default rules (greedy decoding up to the tokenizer's own end
token) add nothing to a hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.datafiles.rows import problem
from harness.engines.decoding import Decoding, read_settings
from harness.engines.protocol import GenerateRequest
from harness.planning.requests import ItemRequests
from harness.planning.task_plan import Request
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite
from harness.suite.models import DecodingRules

NUMBERS = ("repetition_penalty", "no_repeat_ngram_size", "min_new_tokens")
"""Rules of one number, which a suite and a task's `generation_kwargs` may set."""


def suite_rules(loaded: LoadedSuite, own: Decoding | None, tokenizer: Tokenizer) -> Decoding | None:
    """The rules for all variants: the baseline's `own`, changed as the suite says.

    None where neither says anything (the scripted engine): every engine then uses its model's files. Raises
    `SuiteError` for a string that is not one token.
    """
    asked = loaded.suite.decoding
    if own is not None and not own.end_tokens:
        own = replace(own, end_tokens=_end_of_text(tokenizer))
    if asked is None:
        return own
    start = own or Decoding(end_tokens=_end_of_text(tokenizer))
    if not asked.inherit:
        start = Decoding(end_tokens=start.end_tokens)
    changes: dict[str, object] = {name: getattr(asked, name) for name in NUMBERS if getattr(asked, name) is not None}
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


def under(loaded: LoadedSuite, name: str, asked: ItemRequests, decoding: Decoding | None) -> ItemRequests:
    """The document's requests with the rules that hold for their answers: the task's own where it sets any and the
    suite does not. Raises `SuiteError` for a setting of the task that none can have."""
    if decoding is None:
        return asked
    suite = loaded.suite.decoding
    free = [rule for rule in NUMBERS if suite is None or getattr(suite, rule) is None]
    ruled: list[Request] = []
    for place, request in enumerate(asked.requests):
        if not isinstance(request, GenerateRequest):
            return asked
        settings = asked.instances[place].args[1]  # an answer to generate is one request an instance
        own = {rule: settings[rule] for rule in free if settings.get(rule) is not None}
        ruled.append(replace(request, decoding=_of_task(loaded, name, decoding, own)))
    return replace(asked, requests=tuple(ruled), ignored=tuple(each for each in asked.ignored if each not in NUMBERS))


def _of_task(loaded: LoadedSuite, name: str, decoding: Decoding, own: Mapping[str, object]) -> Decoding:
    try:
        found = read_settings(own)
    except ValueError as error:
        raise problem(loaded.shown, f"tasks.{name}.lm_eval", f"generation_kwargs: {error}") from error
    return replace(decoding, **{rule: getattr(found, rule) for rule in own})


def rule_facts(requests: Sequence[object], tokenizer: Tokenizer) -> Mapping[str, object]:
    """What the rules add to the settings of a task; nothing for the usual ones."""
    for each in requests:
        if isinstance(each, GenerateRequest) and each.decoding is not None:
            usual = each.decoding.is_plain and each.decoding.end_tokens == _end_of_text(tokenizer)
            return {} if usual else {"decoding": each.decoding.as_json()}
    return {}
