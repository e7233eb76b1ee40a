"""Item records and plans into columns with Arrow's JSON reader: on every core, without an object for each number.

Owns the Arrow schemas, and that records which do not fit are refused as the pydantic models refuse them. Needs
the memory of the columns and of a batch, not that of prompts and answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as default
from hashlib import blake2b
from typing import Any, BinaryIO, Literal

import numpy as np

from harness.errors import RecordError
from harness.records.arrow import Texts, codes, field, flags, in_memory, lengths, present
from harness.records.chunks import Chunks
from harness.records.columns import (
    NO_TEXT,
    NONE,
    Answers,
    Floats,
    Indices,
    ItemColumns,
    Labels,
    Mask,
    Objects,
    PlanColumns,
    Repeats,
)
from harness.records.items import PACKED, DocumentScore, PlannedItem

BATCH_BYTES = 8_000_000
"""JSON that is parsed at once; it takes about four times that in memory."""
BLOCK_BYTES = 1 << 20
"""JSON that one thread parses at a time."""
MOST_TEXTS = 1000
"""Different texts of options that get a number: labels have few, and contents are no labels."""
OPENING = b'{"records":'
"""Arrow reads objects; a chunk is a list."""


def read_items(chunks: Chunks, metrics: Sequence[str], parts: Sequence[str] = ()) -> ItemColumns:
    """The columns of an evaluation, with the values of `metrics`, and what items add to the sums of the metrics of the
    whole in `parts`. Raises `RecordError` as `Chunks.load`."""
    try:
        return _item_columns(chunks, metrics, parts)
    except ValueError as error:  # Arrow's own are such, too
        for number, (_, payload) in enumerate(chunks.payloads(), start=1):
            chunks.records(number, payload)  # says where it is and what
        raise RecordError(f"{chunks.path}: {error}; run the suite again with --fresh.") from error


def _item_columns(chunks: Chunks, metrics: Sequence[str], parts: Sequence[str]) -> ItemColumns:
    """Raises ValueError for values that our records never hold."""
    from pyarrow.compute import list_flatten

    records, written, sizes, offsets = _records(chunks, metrics, parts)
    offered = field(records, "options")
    options = lengths(offered)
    outcomes = {name: _outcomes(field(records, "metrics", name)) for name in metrics}
    return ItemColumns(
        items=Texts(field(records, "item")),
        prompt_hashes=Texts(field(records, "prompt_hash")),
        answers=Answers(
            metrics={name: values for name, (values, _) in outcomes.items()},
            unmeasured={name: unmeasured for name, (_, unmeasured) in outcomes.items()},
            likelihoods=_numbers(field(list_flatten(offered), "log_likelihood")),
            first_option=np.cumsum(options) - options,
            options=options,
            texts=np.concatenate([each.texts for each in written]),
            blank=np.concatenate([each.blank for each in written]),
            end_unknown=np.concatenate([each.end_unknown for each in written]),
            cut=np.concatenate([each.cut for each in written]),
            tokens=np.concatenate([each.tokens for each in written]),
            cuts=np.concatenate([each.cuts for each in written]),
            repeats=_repeats(written),
            parts={name: _parts(field(records, "parts", name)) for name in parts},
            documents=_documents(field(records, "document")),
            chunks=np.repeat(offsets, sizes),
            places=np.arange(len(records)) - np.repeat(np.cumsum(sizes) - sizes, sizes),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What is kept of the generated answers of n records; see `Answers`."""

    texts: Indices
    blank: Mask
    end_unknown: Mask
    cut: Mask
    tokens: Floats
    cuts: Indices
    repeats: Repeats | None = None
    scores: Floats = default(default_factory=lambda: np.empty(0))
    """Of one answer an item, those that are there."""


def _written(answers: Any, repeats: Any) -> _Written:
    """Strings become numbers at once, so that only a batch of them is in memory. `repeats`: the further answers."""
    from pyarrow.compute import list_flatten

    first = _of_each(answers)
    counts = lengths(repeats)
    if not counts.any():
        return first
    further = _of_each(list_flatten(repeats))
    starts, number = np.cumsum(counts) - counts, counts + (first.texts != NO_TEXT)
    whose = np.repeat(np.arange(counts.size), counts)

    def total(own: Any, others: Any) -> Floats:
        found: Floats = own + np.bincount(whose, weights=others, minlength=counts.size)
        return found

    texts = first.texts.copy()
    for place in np.flatnonzero(counts).tolist():
        others = further.texts[starts[place] : starts[place] + counts[place]].tolist()
        texts[place] = _number_of(f"{texts[place]} {' '.join(map(str, others))}")
    off = total(0.0, further.texts != first.texts[whose])
    scores, begins = np.empty(int(number.sum())), np.cumsum(number) - number
    scores[begins[first.texts != NO_TEXT]] = first.scores
    scores[begins[whose] + (number - counts)[whose] + np.arange(whose.size) - starts[whose]] = further.scores
    return _Written(
        texts=texts,
        blank=total(first.blank, further.blank) >= np.maximum(number, 1) / 2,
        end_unknown=total(first.end_unknown, further.end_unknown) > 0,
        cut=total(first.cut, further.cut) >= np.maximum(number, 1) / 2,
        tokens=total(first.tokens, further.tokens),
        cuts=total(first.cuts, further.cuts).astype(np.int64),
        repeats=Repeats(counts=number, alike=(off == 0) & (counts > 0), scores=scores, first=begins),
    )


def _repeats(written: Sequence[_Written]) -> Repeats | None:
    """Of all batches; None where none has an item with several answers."""
    if all(each.repeats is None for each in written):
        return None
    counts, alike, scores = [], [], []
    for each in written:
        own = each.repeats
        given = (each.texts != NO_TEXT).astype(np.int64)
        counts.append(given if own is None else own.counts)
        alike.append(given > 1 if own is None else own.alike)
        scores.append(np.full(int(given.sum()), NONE) if own is None else own.scores)
    several = np.concatenate(counts)
    return Repeats(
        counts=several,
        alike=np.concatenate(alike),
        scores=np.concatenate(scores),
        first=np.cumsum(several) - several,
    )


def _of_each(answers: Any) -> _Written:
    if answers.null_count == len(answers):
        nothing = np.zeros(len(answers), dtype=np.int64)
        never = nothing > 0
        return _Written(
            texts=nothing + NO_TEXT,
            blank=never,
            end_unknown=never,
            cut=never,
            tokens=np.full(len(answers), NONE),
            cuts=nothing,
        )
    texts = field(answers, "text").to_pylist()
    endings, which = codes(field(answers, "finish"))
    given = present(answers)
    cut = np.asarray([*endings, ""])[which] == "length"
    return _Written(
        tokens=_numbers(field(answers, "tokens")),
        cuts=cut.astype(np.int64),
        texts=np.asarray([NO_TEXT if text is None else _number_of(text) for text in texts], dtype=np.int64),
        blank=np.asarray([text is not None and not text.strip() for text in texts], dtype=np.bool_),
        end_unknown=given & (which < 0),
        cut=cut,
        scores=_numbers(field(answers, "score"))[given],
    )


def _number_of(text: str) -> int:
    """63 bits of BLAKE2b and never `NO_TEXT`: among a million texts, two collide once in ten million runs."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1 or 1


def _records(
    chunks: Chunks, metrics: Sequence[str], wholes: Sequence[str]
) -> tuple[Any, list[_Written], Indices, Indices]:
    """Every record but its answer, and what is kept of the answers; how many records each chunk holds, and the byte
    where it begins. What a record lacks is null in it.

    The first chunk of a batch is also read as records: they refuse a key that this version does not know.
    """
    import pyarrow
    from pyarrow.compute import list_flatten

    number, text = pyarrow.float64(), pyarrow.string()
    answer = pyarrow.struct({"text": text, "tokens": number, "finish": text, "score": number})
    shape = pyarrow.struct(
        {
            "item": text,
            "prompt_hash": text,
            "options": pyarrow.list_(pyarrow.struct({"log_likelihood": number})),
            "answer": answer,
            "repeats": pyarrow.list_(answer),
            "document": pyarrow.struct(
                {name: text if name in PACKED else number for name in DocumentScore.model_fields}
            ),
            **({"parts": pyarrow.struct(dict.fromkeys(wholes, pyarrow.list_(number)))} if wholes else {}),
            "metrics": pyarrow.struct(dict.fromkeys(metrics, pyarrow.struct({"kind": text, "value": number}))),
        }
    )
    kept = [each for each in shape if each.name not in ("answer", "repeats")]
    written = [_of_each(pyarrow.nulls(0, answer))]
    parts, sizes = [], [np.empty(0, dtype=np.int64)]
    offsets: list[int] = []
    for batch in _batches(chunks.payloads()):
        chunks.records(len(offsets) + 1, batch[0][1])
        lines = [OPENING + payload + b"}\n" for _, payload in batch]
        lists = _table(lines, {"records": pyarrow.list_(shape)}, unexpected="ignore")["records"].combine_chunks()
        records = list_flatten(lists)
        written.append(_written(field(records, "answer"), field(records, "repeats")))
        parts.append(pyarrow.StructArray.from_arrays([field(records, each.name) for each in kept], fields=kept))
        sizes.append(lengths(lists))
        offsets += [offset for offset, _ in batch]
    records = pyarrow.chunked_array(parts, type=pyarrow.struct(kept))
    return records, written, np.concatenate(sizes), np.asarray(offsets, dtype=np.int64)


def _batches(payloads: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for offset, payload in payloads:
        batch.append((offset, payload))
        size += len(payload)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_plan(stream: BinaryIO) -> PlanColumns:
    """The columns of a plan's file from here on. Raises ValueError when it is damaged."""
    import pyarrow

    nothing = np.empty(0, dtype=np.int64)
    tables, is_right, counts = [_planned([])], [np.empty(0, dtype=np.bool_)], [nothing]
    texts, characters = [nothing], [nothing]
    known = pyarrow.nulls(0, pyarrow.string())
    read: list[int] = []
    start = stream.tell()
    while lines := stream.readlines(BATCH_BYTES):
        table = _planned(lines)
        offered = table["options"].combine_chunks()
        is_right.append(_is_right(offered, table["expected"].combine_chunks()))
        counts.append(lengths(offered))
        known = _known_texts(offered, known)
        texts.append(_option_texts(offered, known))
        characters.append(_option_characters(offered))
        tables.append(table.drop_columns(["options", "expected"]))
        read += map(len, lines)
    items = pyarrow.concat_tables(tables, promote_options="permissive")
    column = {name: items[name].combine_chunks() for name in items.column_names}
    sizes, options = np.asarray(read, dtype=np.int64), np.concatenate(counts)
    return PlanColumns(
        items=Texts(column["item"]),
        prompt_hashes=Texts(column["prompt_hash"]),
        fits=~present(column["too_long"]),
        bytes=np.nan_to_num(_numbers(column["bytes"])),
        slices={each.name: Labels(*codes(field(column["slices"], each.name))) for each in column["slices"].type},
        clusters=codes(column["cluster"])[1],
        is_right=np.concatenate(is_right),
        option_texts=np.concatenate(texts),
        option_characters=np.concatenate(characters),
        first_option=np.cumsum(options) - options,
        options=options,
        lines=start + np.cumsum(sizes) - sizes,
    )


def _is_right(offered: Any, expected: Any) -> Mask:
    """Of every option in lists of them, whether it is the text expected of its list."""
    from pyarrow.compute import equal, list_flatten, list_parent_indices

    return flags(equal(list_flatten(offered), expected.take(list_parent_indices(offered))))


def _known_texts(offered: Any, known: Any) -> Any:
    """The texts that have a number, and the new ones of these options while there are numbers left."""
    import pyarrow
    from pyarrow.compute import list_flatten, unique

    if len(known) >= MOST_TEXTS:
        return known
    here = unique(list_flatten(offered)).drop_null()
    return unique(pyarrow.concat_arrays([known, here]))[:MOST_TEXTS]


def _option_texts(offered: Any, known: Any) -> Indices:
    """The number of every option's text, from 1; 0 for one that is not known."""
    from pyarrow.compute import index_in, list_flatten

    found = index_in(list_flatten(offered), value_set=known)
    return np.where(present(found), in_memory(found, np.int32) + 1, 0).astype(np.int64)


def _option_characters(offered: Any) -> Indices:
    from pyarrow.compute import list_flatten, utf8_length

    found = utf8_length(list_flatten(offered))
    return np.where(present(found), in_memory(found, np.int32), 0).astype(np.int64)


def _planned(lines: Sequence[bytes]) -> Any:
    """Planned items without their prompts. Slice fields are the first item's: a plan's items have the same ones."""
    first = [PlannedItem.model_validate_json(line) for line in lines[:1]]
    try:
        return _plan_table(lines, first)
    except ValueError:
        return _plan_table(lines, [PlannedItem.model_validate_json(line) for line in lines])


def _plan_table(lines: Sequence[bytes], known: Iterable[PlannedItem]) -> Any:
    """Items whose slice fields are those of the `known` ones. Raises ValueError for another shape."""
    import pyarrow

    number, text = pyarrow.float64(), pyarrow.string()
    kinds = dict.fromkeys(PlannedItem.model_fields, text)
    kinds |= {"index": number, "tokens": number, "bytes": number, "options": pyarrow.list_(text)}
    kinds["slices"] = pyarrow.struct({name: text for item in known for name in item.slices})
    nothing = pyarrow.Table.from_batches([], schema=pyarrow.schema(kinds))
    table = _table(lines, kinds, unexpected="error") if lines else nothing
    return table.drop_columns(["prompt", "index", "tokens"])


def _table(lines: Sequence[bytes], kinds: Mapping[str, Any], *, unexpected: Literal["ignore", "error"]) -> Any:
    """JSON objects, one a line, as Arrow's table. Raises ValueError for other lines and other kinds of values."""
    import pyarrow
    from pyarrow import json

    table = json.read_json(
        pyarrow.BufferReader(b"".join(lines)),
        read_options=json.ReadOptions(block_size=max(BLOCK_BYTES, *map(len, lines))),
        parse_options=json.ParseOptions(explicit_schema=pyarrow.schema(kinds), unexpected_field_behavior=unexpected),
    )
    if table.num_rows != len(lines):
        raise ValueError("a line that is not one object")
    return table


def _numbers(column: Any) -> Floats:
    """`NONE` where there is none. Arrow also takes NaN and Infinity for numbers; we do not."""
    given, values = present(column), in_memory(column, np.float64)
    if not np.isfinite(values[given]).all():
        raise ValueError("a number that is not finite")
    return np.where(given, values, NONE)


def _outcomes(column: Any) -> tuple[Floats, Mask]:
    """Values of a metric, and which records do not know it."""
    kinds, which = codes(field(column, "kind"))
    values, unmeasured = _numbers(field(column, "value")), ~present(column)
    is_scored, is_failed = (np.asarray([*kinds, ""])[which] == kind for kind in ("scored", "failed"))
    if not (is_scored | is_failed | unmeasured).all() or (is_scored == np.isnan(values)).any():
        raise ValueError("an outcome that is neither a score nor a failure")
    return values, unmeasured


def _parts(column: Any) -> Floats:
    """Lists of one length, [n, k]; `NONE` in the rows of items without one."""
    from pyarrow.compute import list_flatten

    given, sizes = present(column), lengths(column)
    widths = np.unique(sizes[given])
    if widths.size > 1:
        raise ValueError("parts of a metric of the whole that differ in number")
    found = np.full((len(column), int(widths[0]) if widths.size else 0), NONE)
    values = _numbers(list_flatten(column))
    found[given] = values.reshape(int(given.sum()), -1) if widths.size else found[given]
    return found


def _documents(column: Any) -> Objects:
    documents = np.full(len(column), None, dtype=np.object_)
    for place in np.flatnonzero(present(column)).tolist():
        documents[place] = DocumentScore.model_validate(column[place].as_py())
    return documents
