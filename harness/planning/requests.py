"""Turns one lm-eval document into token ids: its instances, our requests, and which answer belongs to which instance.
Never truncates: what does not fit the model's context is reported as too long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.datafiles.rows import problem
from harness.engines.protocol import GenerateRequest, ScoreRequest
from harness.errors import EngineError, SuiteError
from harness.planning.around_tokenizer import Remembering
from harness.planning.lm_eval.lm_eval_tasks import first_cause, lm_evals_seeds
from harness.planning.prompts.short_forms import Docs
from harness.planning.task_plan import Request
from harness.planning.tokens import (
    Encoded,
    Split,
    Tokenizer,
    UnsplitError,
    adds_special_tokens,
    encode_alone,
    encode_options,
    encode_prompt,
    lm_evals_pair,
    lm_evals_prompt,
    unknown_in,
)

DEFAULT_NEW_TOKENS = 256
"""lm-eval's default, where a task does not say how many tokens to generate."""
SAMPLING = ("temperature", "top_p", "top_k", "min_p")
UNDERSTOOD = frozenset({"until", "max_gen_toks", "do_sample", *SAMPLING})
"""Generation settings that reach the engine; any other one is reported as ignored."""


@dataclass(frozen=True, kw_only=True)
class ItemRequests:
    """One document's lm-eval instances and how they map onto our requests."""

    doc: Mapping[str, Any]
    item: str
    instances: tuple[Any, ...]
    requests: tuple[Request, ...]
    where: tuple[tuple[int, int], ...]
    """Per instance: request, and position of its continuation in it."""
    texts: tuple[Encoded, ...]
    too_long: str | None
    ignored: tuple[str, ...] = ()
    """Generation settings of the task that are not followed."""
    moved: bool = False
    """A token spans the end of the prompt, so that its last characters are scored with the options."""
    differs: bool = False
    """lm-eval's `hf` model would produce other token ids for these texts."""
    unknown: bool = False
    """A prompt or an option holds text that the tokenizer does not know."""


@dataclass(frozen=True, kw_only=True)
class _Document:
    """One document as lm-eval would ask it, on its way into requests."""

    doc: Mapping[str, Any]
    item: str
    instances: tuple[Any, ...]
    tokenizer: Tokenizer
    context_length: int | None
    templated: bool


def ask_documents(
    name: str,
    docs: Docs,
    chosen: Sequence[int],
    tokenizer: Tokenizer,
    context_length: int | None,
    *,
    chat: bool,
    templated: bool,
) -> list[ItemRequests]:
    """Every chosen document, with the examples that it has in a full run.

    `chat`: lm-eval wraps prompt and examples in the chat template, the examples as turns of their own (its default).
    `templated`: the prompts are out of a chat template, by lm-eval or before.
    Raises `SuiteError` for a document without requests and for a prompt or an option without tokens.
    """
    wanted, asked = set(chosen), []
    for position in range(max(chosen, default=-1) + 1):
        if position not in wanted:
            _draw_past(docs, position)
            continue
        instances = lm_evals_instances(name, docs, position, tokenizer, chat=chat)
        given = _Document(
            doc=docs.docs[position],
            item=docs.ids[position],
            instances=instances,
            tokenizer=Remembering(tokenizer),
            context_length=context_length,
            templated=templated,
        )
        of_kind = _for_text if docs.task.OUTPUT_TYPE == "generate_until" else _for_options
        try:
            found = of_kind(given)
        except UnsplitError as error:
            raise problem(docs.places[position], f"tasks.{name}", f"item {given.item}: {error}") from error
        asked.append(found)
    return asked


def lm_evals_instances(name: str, docs: Docs, position: int, tokenizer: Tokenizer, *, chat: bool) -> tuple[Any, ...]:
    """The result of lm-eval's `build_all_requests` for one document, argument by argument. Where a task's code draws
    from the global generators, each document is drawn alike, whatever came before it.
    """
    doc, template = docs.docs[position], _template(tokenizer) if chat else None
    try:
        with lm_evals_seeds():
            context = docs.task.fewshot_context(
                doc,
                docs.num_few_shot,
                system_instruction=None,
                apply_chat_template=chat,
                fewshot_as_multiturn=chat,
                chat_template=template,
                gen_prefix=docs.task.doc_to_prefix(doc),
            )
            built = docs.task.construct_requests(
                doc=doc, ctx=context, metadata=(name, position, 1), apply_chat_template=chat, chat_template=template
            )
    except (SuiteError, EngineError):
        raise
    except Exception as error:  # a task is somebody's templates and Python
        message = f"lm-eval cannot build a request from this document: {first_cause(error)}"
        raise problem(docs.places[position], f"tasks.{name}", message) from error
    instances = tuple(built) if isinstance(built, list | tuple) else (built,)
    for text in _texts(instances):
        if not isinstance(text, str):
            raise problem(docs.places[position], f"tasks.{name}", f"expected a non-empty prompt, got {text!r:.60}")
    return instances


def _texts(instances: Sequence[Any]) -> Iterator[object]:
    """What is to be tokenised: prompt and option, or the prompt before generation settings."""
    for each in instances:
        yield each.args[0]
        if each.request_type == "loglikelihood":
            yield each.args[1]


def _template(tokenizer: Tokenizer) -> Callable[..., str]:
    """The chat template as lm-eval's `hf` model applies it: without the system turn where it takes none."""
    import jinja2

    def rendered(messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        try:
            return tokenizer.chat(messages, add_generation_prompt=add_generation_prompt)
        except jinja2.TemplateError:
            others = [message for message in messages if message["role"] != "system"]
            return tokenizer.chat(others, add_generation_prompt=add_generation_prompt)

    return rendered


def _draw_past(docs: Docs, position: int) -> None:
    """Draw the examples of a skipped document, so that the next one's are those of a full run."""
    if docs.num_few_shot == 0:
        return
    task, doc = docs.task, docs.docs[position]
    if hasattr(task, "sampler"):  # as `ConfigurableTask.fewshot_context` does
        own = task.fewshot_cfg.split == task.config.test_split
        task.sampler.sample(n=docs.num_few_shot, eval_doc=doc if own else None)
    else:
        task.fewshot_context(doc, docs.num_few_shot)


def _for_options(given: _Document) -> ItemRequests:
    instances, item, tokenizer, templated = given.instances, given.item, given.tokenizer, given.templated
    pairs: list[tuple[str, str]] = [(each.args[0], each.args[1]) for each in instances]
    ids, moved = _split(tokenizer, pairs, templated=templated)
    contexts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    where, texts = [], []
    for (before, after), (head, tail) in zip(pairs, ids, strict=True):
        known = contexts.setdefault(head, [])
        where.append((list(contexts).index(head), len(known)))
        known.append(tail)
        texts.append(_encoded(item, before + after, tokenizer, plain=templated or not before.strip()))
    # The last token is only predicted, so it needs no place in the context.
    longest = max(len(head) + len(tail) for head, tails in contexts.items() for tail in tails) - 1
    return ItemRequests(
        doc=given.doc,
        item=item,
        instances=instances,
        requests=tuple(ScoreRequest(context=head, continuations=tuple(tails)) for head, tails in contexts.items()),
        where=tuple(where),
        texts=tuple(texts),
        too_long=_too_long(longest, given.context_length),
        moved=moved,
        differs=ids != [lm_evals_pair(tokenizer, before, after) for before, after in pairs],
        unknown=any(unknown_in(tokenizer, before + after) for before, after in pairs),
    )


def _split(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], *, templated: bool
) -> tuple[list[tuple[tuple[int, ...], tuple[int, ...]]], bool]:
    """Context and continuation of each pair, with as much of the prompt in every continuation, and whether any is.

    Raises `UnsplitError`.
    """
    groups: dict[str, list[str]] = {}
    for before, after in pairs:
        groups.setdefault(before, []).append(after)
    splits = {
        before: encode_options(tokenizer, before, options, templated=templated) for before, options in groups.items()
    }
    ends = {split.moved for before, split in splits.items() if before.strip()}
    if len(ends) > 1:  # several prompts, and not the same text of each would be scored
        splits = {
            before: _at_the_end(tokenizer, before, options, templated=templated) for before, options in groups.items()
        }
    tails = {before: iter(split.continuations) for before, split in splits.items()}
    return [(splits[before].context, next(tails[before])) for before, _ in pairs], any(map(bool, ends))


def _at_the_end(tokenizer: Tokenizer, before: str, options: Sequence[str], *, templated: bool) -> Split:
    """The whole prompt as context, and every option as it follows other text. Raises `UnsplitError`."""
    if not before.strip():
        return encode_options(tokenizer, before, options, templated=templated)
    stripped = before.rstrip()
    spaces = before[len(stripped) :]
    return Split(
        context=encode_prompt(tokenizer, stripped, templated=templated),
        continuations=tuple(encode_alone(tokenizer, spaces + option) for option in options),
    )


def _encoded(item: str, text: str, tokenizer: Tokenizer, *, plain: bool) -> Encoded:
    """A text to check other tokenizers against, with added special tokens where they are part of the request."""
    special = not plain and not tokenizer.trailing and adds_special_tokens(tokenizer, text)
    ids = tokenizer.encode(text, add_special_tokens=special)
    return Encoded(item=item, text=text, ids=ids, add_special_tokens=special)


def _for_text(given: _Document) -> ItemRequests:
    from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

    instances, item, tokenizer, templated = given.instances, given.item, given.tokenizer, given.templated
    requests, texts, longest, differs = [], [], 0, False
    ignored: set[str] = set()
    for instance in instances:
        prompt, settings = instance.args[0], dict(normalize_gen_kwargs(instance.args[1], DEFAULT_NEW_TOKENS))
        ids, new = encode_prompt(tokenizer, prompt, templated=templated), int(settings["max_gen_toks"])
        requests.append(
            GenerateRequest(
                prompt=ids,
                max_new_tokens=new,
                until=tuple(handle_stop_sequences(settings.get("until"), eos=tokenizer.eos_text)),
                **_own_sampling(settings),
            )
        )
        texts.append(_encoded(item, prompt, tokenizer, plain=templated or not prompt))
        differs |= prompt != "" and ids != lm_evals_prompt(tokenizer, prompt)
        longest = max(longest, len(ids) + new)
        ignored |= settings.keys() - UNDERSTOOD
    return ItemRequests(
        doc=given.doc,
        item=item,
        instances=instances,
        requests=tuple(requests),
        where=tuple((index, 0) for index in range(len(requests))),
        texts=tuple(texts),
        too_long=_too_long(longest, given.context_length),
        ignored=tuple(sorted(ignored)),
        differs=differs,
        unknown=any(unknown_in(tokenizer, instance.args[0]) for instance in instances),
    )


def _own_sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How the task draws its answers; nothing where it takes the likeliest token. What it does not name leaves every
    token in."""
    if not settings.get("do_sample") or not settings.get("temperature"):
        return {}
    return {name: settings[name] for name in SAMPLING if settings.get(name) is not None}


def _too_long(tokens: int, context_length: int | None) -> str | None:
    if context_length is None or tokens <= context_length:
        return None
    return f"needs {tokens} tokens, the model's context is {context_length}"
