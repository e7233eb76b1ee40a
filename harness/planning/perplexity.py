"""Perplexity over documents: windows, and likelihoods and divergence into a document's record."""

from __future__ import annotations

import base64
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.datafiles.rows import field_of, file_hash, item_ids, problem, read_table
from harness.engines.protocol import Window, WindowScore
from harness.planning.batching import BATCHING_WHOLE
from harness.planning.labels import Labels, labels_of
from harness.planning.task_input import TaskInput
from harness.planning.task_plan import Answer, TaskPlan, prompt_hash, sample
from harness.planning.token_texts import TokenTexts
from harness.planning.tokens import Encoded, windows
from harness.records.items import DocumentScore, ItemRecord, PlannedItem
from harness.suite.locations import resolve_file

BEGINNING = 400
"""Characters of a document kept for people."""
MOST_DIVERGENT = 8
"""Tokens of a document whose most likely tokens are kept: those with the highest KL."""
TOPS = ("baseline_top", "top")
KL_FORMAT, DELTA_P_FORMAT, TOPS_FORMAT = "f", "e", "I"
"""As `struct` names float32, float16 and uint32."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text to score, with what is known about it."""

    item: str
    text: str
    fields: Mapping[str, object]
    place: str
    bytes: int
    """What bits per byte counts: of this text, or what the task's own code counts."""
    words: int
    """The same of words."""


def count_words(text: str) -> int:
    """As lm-eval counts: the parts between runs of whitespace, an empty one at either end included."""
    return len(re.split(r"\s+", text))


def plan_perplexity(given: TaskInput) -> TaskPlan:
    """Plan a perplexity task. Raises `SuiteError` for missing or empty text or a window beyond the context."""
    loaded, name, task = given.loaded, given.name, given.task
    spec = task.perplexity
    assert spec is not None
    key = f"tasks.{name}.perplexity"
    path = resolve_file(loaded, spec.data)
    table = read_table(path, spec.data, f"{key}.data")
    if given.context_length is not None and spec.window > given.context_length:
        raise problem(
            loaded.shown,
            f"{key}.window",
            f"expected at most the model's context of {given.context_length}, got {spec.window}",
        )
    documents = []
    for row, item in zip(table.rows, item_ids(table.rows, task.id, f"tasks.{name}.id"), strict=True):
        text = field_of(row, spec.field, f"{key}.field")
        if not isinstance(text, str) or not text.strip():
            raise problem(row.place, f"{key}.field", f"expected a string in {spec.field!r}, got {text!r:.60}")
        size = len(text.encode())
        documents.append(
            Document(item=item, text=text, fields=row.fields, place=row.place, bytes=size, words=count_words(text))
        )
    plan = plan_documents(
        given,
        documents,
        window=spec.window,
        stride=spec.stride or spec.window,
        source=f"{spec.data}, field {spec.field}",
        divergence=spec.divergence,
    )
    return replace(
        plan, data_file=spec.data, data_hash=file_hash(path), said=(f"{spec.data}: {table.said}", *plan.said)
    )


def plan_documents(
    given: TaskInput, documents: Sequence[Document], *, window: int, stride: int, source: str, divergence: bool
) -> TaskPlan:
    """Documents in windows, each token of them scored once."""
    tokenizer = given.tokenizer
    items, requests, texts, words = [], [], [], []
    labels = labels_of(given.name, given.task, [each.fields for each in documents], [each.place for each in documents])
    for index, position in enumerate(sample(len(documents), given.limit, given.loaded.suite.seed, given.name)):
        document = documents[position]
        encoded = tokenizer.encode(document.text, add_special_tokens=False)
        if not encoded:
            raise problem(document.place, f"tasks.{given.name}", "the text has no tokens")
        asked = tuple(windows(encoded, tokenizer.prefix_token, window=window, stride=stride))
        requests.append(asked)
        words.append(document.words)
        texts.append(Encoded(item=document.item, text=document.text, ids=encoded, add_special_tokens=False))
        items.append(_item(labels, position, document, index, asked, len(encoded)))

    def score(index: int, answers: Sequence[Answer]) -> ItemRecord:
        return document_record(items[index], [each for each in answers if isinstance(each, WindowScore)])

    settings = {"window": window, "stride": stride, "start": tokenizer.prefix_token, "kind": "perplexity"}
    return TaskPlan(
        name=given.name,
        kind="perplexity",
        items=tuple(items),
        requests=tuple(requests),
        texts=tuple(texts),
        metrics=(),
        lower_is_better=(),
        scorer=score,
        source=f"{source}, window {window}, stride {stride}, from {tokenizer.prefix_text!r}",
        settings=json.dumps(settings, sort_keys=True),
        divergence=divergence,
        words=tuple(words),
        notes=labels.notes,
        said=(f"{len(items):,} of {len(documents):,} items are asked",) if len(items) < len(documents) else (),
        batching=BATCHING_WHOLE,
        token_texts=TokenTexts(tokenizer, texts) if divergence else None,
    )


def _item(
    labels: Labels, position: int, document: Document, index: int, asked: Sequence[Window], tokens: int
) -> PlannedItem:
    return PlannedItem(
        item=document.item,
        index=index,
        prompt_hash=prompt_hash(asked),
        prompt=document.text[:BEGINNING],
        slices=labels.slices_of(position),
        cluster=labels.clusters[position],
        tokens=tokens,
        bytes=document.bytes,
    )


def document_record(item: PlannedItem, scores: Sequence[WindowScore]) -> ItemRecord:
    """One document's sums over its windows. A value that is not finite makes the whole document a failure (None)."""
    log_probs = [value for score in scores for value in score.log_probs]
    nll: float | None = -math.fsum(log_probs)
    if not math.isfinite(nll or 0.0):
        nll = None
    found: dict[str, int | float | str] = {}
    if nll is not None and scores and all(score.kl is not None for score in scores):
        measured = _divergence(scores)
        nll, found = (None, found) if measured is None else (nll, measured)
    document = DocumentScore.model_validate({"nll": nll, "tokens": len(log_probs), **found})
    return ItemRecord(item=item.item, prompt_hash=item.prompt_hash, document=document, metrics={})


def _divergence(scores: Sequence[WindowScore]) -> dict[str, int | float | str] | None:
    """Fields of `DocumentScore` over all windows; None where a value is not finite."""
    kl, delta, ear = (joined(scores, name) for name in ("kl", "delta_p", "ear"))
    agree, tops = joined(scores, "top1_agree"), list(zip(*(joined(scores, each) for each in TOPS), strict=True))
    if not all(math.isfinite(value) for values in (kl, delta, ear) for value in values):
        return None
    found: dict[str, int | float | str] = {
        "kl": math.fsum(kl),
        "top1_agree": int(sum(agree)),
        "delta_p": math.fsum(delta),
        "delta_p_squared": math.fsum(value * value for value in delta),
        "kl_values": packed(KL_FORMAT, kl),
    }
    if ear:
        found["ear"] = math.fsum(ear)
    if len(delta) == len(kl):
        found["delta_p_values"] = packed(DELTA_P_FORMAT, delta)
    if tops:
        first = sorted(range(len(kl)), key=lambda place: (-kl[place], place))[:MOST_DIVERGENT]
        found["tops"] = packed(TOPS_FORMAT, [number for place in first for number in (place, *map(int, tops[place]))])
    return found


def joined(scores: Sequence[WindowScore], name: str) -> list[float]:
    """A divergence field over all windows; empty where an engine gives none."""
    return [value for score in scores for value in getattr(score, name) or ()]


def packed(kind: str, values: Sequence[float]) -> str:
    """In base64: little-endian numbers of one kind of `struct`'s."""
    return base64.b64encode(struct.pack(f"<{len(values)}{kind}", *values)).decode()
