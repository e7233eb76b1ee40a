"""One lm-eval document into token ids: its instances, our requests, and which answer belongs to which instance.

Refuses to cut: what does not fit the model's context is said to be too long, never shortened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.engines.seam import GenerateRequest, ScoreRequest
from harness.plan.build import Request
from harness.plan.rows import problem
from harness.plan.shortforms import Docs
from harness.plan.tokens import (
    Encoded,
    Remembering,
    Tokenizer,
    adds_special_tokens,
    encode_pair,
    encode_prompt,
)

DEFAULT_NEW_TOKENS = 256
"""Where a task does not say how many tokens to generate: lm-eval's own default."""
UNDERSTOOD = frozenset({"until", "max_gen_toks", "do_sample", "temperature"})
"""Generation settings that reach the engine; any other one is reported as ignored."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One document's lm-eval instances and how they map onto our requests."""

    doc: Mapping[str, Any]
    instances: tuple[Any, ...]
    requests: tuple[Request, ...]
    where: tuple[tuple[int, int], ...]
    """Per instance: request, and position of its continuation in it."""
    texts: tuple[Encoded, ...]
    too_long: str | None
    ignored: tuple[str, ...] = ()
    """Generation settings of the task that are not followed."""


def ask_document(
    name: str, docs: Docs, position: int, tokenizer: Tokenizer, context_length: int | None, *, chat: bool
) -> Asked:
    """lm-eval's instances of document `position`, tokenised. Equal contexts become one request.

    `chat`: lm-eval wraps prompt and examples in the chat template, the examples as turns of their own (its default).
    Raises `SuiteError` when an option adds no token to its prompt.
    """
    doc, once = docs.docs[position], Remembering(tokenizer)
    template = tokenizer.chat if chat else None
    context = docs.task.fewshot_context(
        doc, docs.num_few_shot, apply_chat_template=chat, fewshot_as_multiturn=chat, chat_template=template
    )
    built = docs.task.construct_requests(
        doc=doc, ctx=context, metadata=(name, position, 1), apply_chat_template=chat, chat_template=template
    )
    instances = tuple(built) if isinstance(built, list | tuple) else (built,)
    if docs.task.OUTPUT_TYPE == "generate_until":
        return _for_text(doc, instances, docs.ids[position], once, context_length)
    return _for_options(name, doc, instances, docs.ids[position], once, context_length)


def _for_options(
    name: str,
    doc: Mapping[str, Any],
    instances: tuple[Any, ...],
    item: str,
    tokenizer: Tokenizer,
    context_length: int | None,
) -> Asked:
    contexts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    where, texts = [], []
    for instance in instances:
        before, after = instance.args[0], instance.args[1]
        head, tail = encode_pair(tokenizer, before, after)
        if not tail:
            raise problem(f"tasks.{name}", item, f"the option {after!r:.60} adds no token to its prompt")
        known = contexts.setdefault(head, [])
        where.append((list(contexts).index(head), len(known)))
        known.append(tail)
        text = before + after
        special = before.strip() != "" and adds_special_tokens(tokenizer, text)
        ids = tokenizer.encode(text, add_special_tokens=special)
        texts.append(Encoded(item=item, text=text, ids=ids, add_special_tokens=special))
    # The last token is only predicted, so it needs no place in the context.
    longest = max(len(head) + len(tail) for head, tails in contexts.items() for tail in tails) - 1
    return Asked(
        doc=doc,
        instances=instances,
        requests=tuple(ScoreRequest(context=head, continuations=tuple(tails)) for head, tails in contexts.items()),
        where=tuple(where),
        texts=tuple(texts),
        too_long=_too_long(longest, context_length),
    )


def _for_text(
    doc: Mapping[str, Any],
    instances: tuple[Any, ...],
    item: str,
    tokenizer: Tokenizer,
    context_length: int | None,
) -> Asked:
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    requests, texts, longest = [], [], 0
    ignored: set[str] = set()
    for instance in instances:
        prompt, settings = instance.args[0], dict(normalize_gen_kwargs(instance.args[1], DEFAULT_NEW_TOKENS))
        ids, new = encode_prompt(tokenizer, prompt), int(settings["max_gen_toks"])
        requests.append(
            GenerateRequest(
                prompt=ids,
                max_new_tokens=new,
                until=tuple(handle_stop_sequences(settings.get("until"), eos=tokenizer.eos_text)),
                temperature=float(settings.get("temperature", 0.0)) if settings.get("do_sample") else 0.0,
            )
        )
        special = adds_special_tokens(tokenizer, prompt)
        texts.append(Encoded(item=item, text=prompt, ids=ids, add_special_tokens=special))
        longest = max(longest, len(ids) + new)
        ignored |= settings.keys() - UNDERSTOOD
    return Asked(
        doc=doc,
        instances=instances,
        requests=tuple(requests),
        where=tuple((index, 0) for index in range(len(requests))),
        texts=tuple(texts),
        too_long=_too_long(longest, context_length),
        ignored=tuple(sorted(ignored)),
    )


def _too_long(tokens: int, context_length: int | None) -> str | None:
    if context_length is None or tokens <= context_length:
        return None
    return f"needs {tokens} tokens, the model's context is {context_length}"
