"""What a report is made of: a small union of plain blocks that every format draws, and sections of them.

A block holds words and data descriptions, no markup and nothing of a gate or a metric. Text in it may be foreign: each
format makes it safe as it draws. One that draws nothing of a block's kind
writes its `words`: the same in lines of plain text; a chart's say what it shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeVar

from harness.notation import WORST_FIRST
from harness.records.decisions import without_decision
from harness.records.findings import FindingDecision
from harness.records.measures import Flip
from harness.reports.charts.forest import Forest
from harness.reports.charts.histogram import Histogram
from harness.reports.charts.lines import LineChart
from harness.reports.charts.scatter import Scatter

Audience = Literal["html", "markdown", "junit", "annotations", "terminal", "compare"]
"""Who reads: a report format each, and `compare` for the terminal of `quantgate compare`."""
Chart = Forest | Histogram | Scatter | LineChart
Mark = FindingDecision | Literal["no gate", "hollow", "ring", "break", "shift"] | int
"""What stands before a word in a key: a decision's mark, a mark of a line chart, or the colour of a line."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Headline:
    """What a report is of, and the decision."""

    title: str
    about: str
    tag: str = ""
    decision: FindingDecision | None = None
    word: str = ""
    """The decision, or what stands in its place; empty for none."""
    judged: bool = True
    """Whether `decision` may be shown as one."""
    sentence: str
    note: str = ""
    warning: str = ""

    @property
    def rest(self) -> str:
        """The sentence without the decision in front, which is shown beside it."""
        return without_decision(self.sentence, self.decision)

    def words(self) -> Iterator[str]:
        yield f"{self.word} {self.rest}".strip()


@dataclass(frozen=True)
class Paragraph:
    text: str
    _: KW_ONLY
    strong: bool = False
    quiet: bool = True

    def words(self) -> Iterator[str]:
        yield self.text


@dataclass(frozen=True)
class Line:
    """One thing said. `about`: the variants it is about, in front of it."""

    text: str
    _: KW_ONLY
    label: str = ""
    about: tuple[str, ...] = ()
    only: tuple[Audience, ...] = ()
    """The audiences that get it; empty for all."""
    annotation: str = ""
    """Title of the annotation it is; empty where it is none."""


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Things said one after the other: under a title, as notes, or as steps in their order."""

    lines: tuple[Line, ...]
    title: str = ""
    kind: Literal["titled", "note", "quiet", "steps"] = "titled"

    def words(self) -> Iterator[str]:
        yield from [self.title] * bool(self.title)
        for line in self.lines:
            yield ": ".join(filter(None, (line.label, ", ".join(line.about), line.text)))


@dataclass(frozen=True)
class Cell:
    """`decision`: whose colour it has; as a `badge` it is the decision itself, with its mark."""

    text: str = ""
    _: KW_ONLY
    small: str = ""
    """Under the text: bounds, a command."""
    tags: tuple[str, ...] = ()
    decision: FindingDecision | None = None
    badge: bool = False


@dataclass(frozen=True)
class Column:
    """`detail`: a second line of the title. `label`: the title where the table is drawn as a list."""

    title: str
    _: KW_ONLY
    detail: str = ""
    label: str = ""
    kind: Literal["text", "name", "unbroken", "number", "sentence"] = "text"
    rank: int = 0
    """Where there is no room, columns with a higher rank go first; those of rank 0 never go."""


Row = tuple[Cell | str, ...]
"""A text stands for a cell without more."""


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own."""

    rows: tuple[Row, ...]
    _: KW_ONLY
    heading: Row = ()
    note: str = ""
    """Below the rows."""


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    title: str = ""
    note: str = ""
    """Below it."""
    against: str = ""
    """What all rows are compared with: a terminal, which shows it nowhere else, says so over the first column."""
    wraps: bool = True
    """Whether figures may take two lines where there is no room."""

    def words(self) -> Iterator[str]:
        yield from [self.title] * bool(self.title)
        for group in self.groups:
            yield from [" ".join(each.text for each in cells(group.heading))] * bool(group.heading)
            for row in map(cells, group.rows):
                pairs = zip(self.columns, row, strict=True)
                yield ", ".join(f"{column.title} {each.text}".strip() for column, each in pairs if each.text)
            yield from [group.note] * bool(group.note)
        yield from [self.note] * bool(self.note)


@dataclass(frozen=True)
class Facts:
    """Names with what they are."""

    title: str
    pairs: tuple[tuple[str, str], ...]

    def words(self) -> Iterator[str]:
        yield self.title
        yield from (f"{name}: {text}" for name, text in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Card:
    """One variant at a glance; `word` says in place of a decision that there is none."""

    title: str
    decision: FindingDecision
    word: str
    kind: str
    sentence: str
    pairs: tuple[tuple[str, str], ...]

    def words(self) -> Iterator[str]:
        yield f"{self.title}: {self.word}. {self.sentence}"
        yield from (f"{name}: {text}" for name, text in self.pairs)


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Charts or facts beside each other. `key`: what their marks mean. `width`: that of a panel."""

    panels: tuple[Card | Facts | Chart, ...]
    key: tuple[tuple[Mark, str], ...] = ()
    width: Literal["", "wide", "one"] = ""

    def words(self) -> Iterator[str]:
        for panel in self.panels:
            yield from panel.words() if isinstance(panel, Card | Facts) else [f"{panel.title}: {panel.says}"]


@dataclass(frozen=True, kw_only=True)
class Flips:
    """Items whose outcome changed, with both answers."""

    baseline: str
    variant: str
    flips: tuple[Flip, ...]

    def words(self) -> Iterator[str]:
        yield from (f"{flip.task} {flip.item}: {flip.direction.replace('_', ' ')}" for flip in self.flips)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One thing that was judged: a gate on a variant, a check, or a variant as a whole."""

    kind: Literal["gate", "check", "verdict"]
    decision: FindingDecision
    weight: Literal["block", "warn", "note"]
    """What it does where it is not PASS."""
    name: str
    case: str
    """Its name where nothing else tells two of them apart."""
    reason: str
    line: str
    """The reason with what it is about, for places that show nothing else."""
    on_slice: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """Everything judged of one variant."""

    title: str
    outcomes: tuple[Outcome, ...]
    otherwise: str = ""
    """Said where none of them says why the variant did not pass."""
    seconds: float | None = None

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Gates and checks that are not PASS, checks first."""
        told = [each for each in self.outcomes if each.decision != "PASS" and each.kind != "verdict"]
        return tuple(sorted(told, key=lambda each: each.kind != "check"))

    def words(self) -> Iterator[str]:
        yield from (f"{self.title} {each.decision}: {each.line}" for each in self.outcomes)


@dataclass(frozen=True, kw_only=True)
class Footer:
    parts: tuple[tuple[str, str], ...]
    """Each with what is said of it in parentheses, or nothing."""

    def words(self) -> Iterator[str]:
        yield " · ".join(f"{part} ({aside})" if aside else part for part, aside in self.parts)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that a reader opens."""

    summary: str
    note: str = ""
    blocks: tuple[Block, ...] = ()
    open: bool = False
    subject: str = ""
    """The variant it is about: folds of sections at one place are put together by it."""

    def words(self) -> Iterator[str]:
        yield f"{self.summary} {self.note}".strip()
        for block in self.blocks:
            yield from block.words()


Block = Headline | Paragraph | Lines | Table | Facts | Panels | Flips | Outcomes | Footer | Fold


@dataclass(frozen=True, kw_only=True)
class Section:
    """One concept in a report. Without a title it belongs to the report's head or foot."""

    blocks: tuple[Block, ...]
    name: str = ""
    title: str = ""
    link: str = ""
    """In a list of sections; empty: the title."""
    short: tuple[Block, ...] | None = None
    """For those who read a few lines: terminal, Markdown, JUnit, annotations. None: they get all blocks."""


def cells(row: Row) -> tuple[Cell, ...]:
    """The cells of a row or of a heading."""
    return tuple(Cell(each) if isinstance(each, str) else each for each in row)


def badge(decision: FindingDecision) -> Cell:
    """A decision with its mark."""
    return Cell(decision, decision=decision, badge=True)


def numbers(*titles: str) -> tuple[Column, ...]:
    """Columns of figures."""
    return tuple(Column(title, kind="number") for title in titles)


def table(columns: Sequence[Column | str], *rows: Row) -> Table:
    """A table of one group; a title stands for a column of texts."""
    return Table(columns=titled(*columns), groups=(Group(rows),))


def titled(*columns: Column | str) -> tuple[Column, ...]:
    """Columns, a title for one of texts."""
    return tuple(Column(each) if isinstance(each, str) else each for each in columns)


def told(lines: Sequence[Line], audience: Audience) -> list[Line]:
    """The lines for this audience."""
    return [line for line in lines if not line.only or audience in line.only]


def first(values: Sequence[T], order: Sequence[tuple[float, ...]], most: int) -> tuple[tuple[T, ...], int]:
    """At most so many in their order, and how many are left out: the highest in `order` go first."""
    kept = sorted(sorted(range(len(values)), key=lambda place: order[place])[:most])
    return tuple(values[place] for place in kept), len(values) - len(kept)


def telling(decisions: Sequence[tuple[bool, FindingDecision]]) -> list[tuple[float, ...]]:
    """The order for `first` of things judged, each with whether it is on a slice: whole tasks, then the worst."""
    return [(float(on_slice), float(WORST_FIRST.index(decision))) for on_slice, decision in decisions]
