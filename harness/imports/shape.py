"""What a reader of foreign result files gives: neutral, frozen shapes, and the table of readers.

A reader opens what a user names (a folder, a file) and says which model was evaluated, by what, on which tasks; a task
streams its items. It interprets its own format and nothing else: pairing, storing and judging are the core's.

What a reader refuses, with `UnreadableError`: files that are missing, damaged or ambiguous. What it never does: guess a
value, leave out an item, or keep a million of them (an `ImportedTask` streams; each call of `items` reads again).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, cast

from harness.errors import Problem, SuiteError

TaskKind = Literal["choice", "generate", "perplexity"]


class UnreadableError(SuiteError):
    """Files that cannot be imported: which file, which line, what was expected, what came, what to do."""

    def __init__(self, place: object, says: str) -> None:
        """`place`: a path, or `path:line`."""
        super().__init__((Problem(place=str(place), key="", message=says),))


@dataclass(frozen=True, kw_only=True, slots=True)
class NoValue:
    """Why an item has no value for a metric: the evaluator failed on it, or wrote NaN. Never for a wrong answer."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedOption:
    """An option of a multiple choice with its summed log-likelihood in nats; None when that is not finite."""

    text: str
    log_likelihood: float | None
    greedy: bool = False
    """Whether it is what greedy decoding would write; False where the files do not say."""
    tokens: int | None = None
    """None where the files do not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedAnswer:
    """A generated answer."""

    text: str
    tokens: int | None = None
    """Tokens of the answer; None where the files do not say."""
    finish: Literal["stop", "length"] | None = None
    """Whether it ended by itself or at the token limit; None where the files do not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedDocument:
    """A scored document: its negative log-likelihood in nats; None when that is not finite."""

    nll: float | None
    tokens: int | None = None
    """Scored tokens; None where the files do not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedItem:
    """One model's result on one item, once. An item asked several times is several of these in a row."""

    place: str
    """Where it stands, for messages: `samples_x.jsonl:17`, `log.eval:samples/3_epoch_1.json`."""
    id: str
    """Names the item within its task, the same for every model."""
    repeat: int = 0
    """Which of the repeats of this item (epochs), in any numbering; one item's repeats follow each other."""
    prompt: str = ""
    """What the model was shown, for people."""
    asked: str = ""
    """Everything else that decides the answer, as text of any form (context, stop strings, limits, seeds of a hash):
    it is hashed together with the prompt and the options' texts, and has to be the same for both sides."""
    target: str = ""
    """The reference answer as text; has to be the same for both sides."""
    options: tuple[ImportedOption, ...] = ()
    answer: ImportedAnswer | None = None
    document: ImportedDocument | None = None
    bytes: int = 0
    """UTF-8 bytes of the document's scored text; 0 where there is none."""
    values: Mapping[str, float | NoValue]
    """Every metric of the task, by name. A float that is not finite is taken for a `NoValue`."""
    cluster: str | None = None
    slices: Mapping[str, str] = field(default_factory=dict)
    """Field to value; every item of a task has the same fields."""


@dataclass(frozen=True, kw_only=True)
class ImportedMetric:
    """A metric of a task as gates name it: `acc`, and `exact_match,strict-match` where a filter made it."""

    name: str
    higher_is_better: bool = True


@dataclass(frozen=True, kw_only=True)
class ImportedTask:
    """One task that the files hold, for one model."""

    name: str
    """As the files name it; any text."""
    kind: TaskKind
    metrics: tuple[ImportedMetric, ...]
    must_agree: Mapping[str, str] = field(default_factory=dict)
    """What was asked of the model, such as `task version`, `number of examples`, `chat template (SHA-256)`,
    `generation settings`: a name that people understand, and the value as text. A difference is refused."""
    count: int | None = None
    """How many items the files say there are; None where they do not say."""
    value_per_repeat: bool = True
    """Whether a repeat's values are its own; False where the files have one value for all repeats of an item, which
    each of them then carries."""
    source: str
    """The file that holds the items, for people."""
    fields: tuple[str, ...] = ()
    """Fields of an item that `items` can slice by or take clusters from; empty where it finds its own."""
    items: Callable[[Selection], Iterator[ImportedItem]]
    """Reads the items again with every call, one at a time."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the user wants of a task's items beside what the reader finds by itself."""

    slice_by: tuple[str, ...] = ()
    """Fields of the item whose values are slices."""
    cluster_by: str | None = None
    """The field whose value names the item's cluster."""


@dataclass(frozen=True, kw_only=True)
class ImportedFile:
    """A file that was read. Its hash, over all bytes, is part of what the results are stored under."""

    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ImportedSide:
    """One model's results: all that a reader found where the user pointed."""

    model: str
    """As the files name it; any text."""
    library: str
    """What evaluated it: `lm-eval`, `inspect_ai`, `NeMo Evaluator`, or `a script` where nothing is said."""
    version: str = ""
    """Of the library; empty where the files do not say."""
    files: tuple[ImportedFile, ...]
    tasks: Mapping[str, ImportedTask]
    """By name."""
    noted: Mapping[str, str] = field(default_factory=dict)
    """What may differ between the sides, such as `dtype`, `batch size`, `device`: reported where it does."""
    notes: tuple[str, ...] = ()
    """What the reader decided, for people: which of several dates it took."""


class Reader(Protocol):
    """The module of a reader's row has this function as `read`."""

    def __call__(self, path: Path) -> ImportedSide:
        """Open what is at `path`. Raises `UnreadableError`; whether every line is sound shows when the items are
        streamed, which raises `UnreadableError` too."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReaderRow:
    """A reader: its name on the command line and in suites, and the module that has its `read`."""

    name: str
    module: str
    description: str
    marks: tuple[str, ...]
    """Patterns, relative to what the user names, of files that only this format has."""

    def read(self, path: Path) -> ImportedSide:
        """As `Reader`; imports the module."""
        return cast(Reader, importlib.import_module(self.module).read)(path)


READERS: Mapping[str, ReaderRow] = {
    row.name: row
    for row in (
        ReaderRow(
            name="lm-eval",
            module="harness.imports.lm_eval_files",
            description="a folder written by lm-eval with --output_path and --log_samples",
            marks=("results_*.json", "*/results_*.json", "samples_*.jsonl", "*/samples_*.jsonl"),
        ),
        ReaderRow(
            name="inspect",
            module="harness.imports.inspect_logs",
            description="a log of Inspect (.eval, or .json), or a folder of them",
            marks=("*.eval", "*/*.eval", "[12][0-9][0-9][0-9]-*T*_*_*.json"),
        ),
        ReaderRow(
            name="nemo",
            module="harness.imports.nemo_bundles",
            description="a NeMo Evaluator bundle: results.jsonl beside eval-*.json",
            marks=("eval-*.json", "*/eval-*.json"),
        ),
        ReaderRow(
            name="jsonl",
            module="harness.imports.jsonl_files",
            description="a JSONL file of your own, one item a line, or a folder of them, one a task",
            marks=("*.jsonl",),
        ),
    )
}
