"""The tokens at which a candidate is farthest from the baseline, in context: one of them can carry half of a mean."""

from __future__ import annotations

from harness.notation import DASH, count, level, percent, significant
from harness.records.measures import DivergentToken, DivergentTokens
from harness.records.verdict import CandidateVerdict, Verdict
from harness.reports.blocks import (
    Block,
    Column,
    Fold,
    Line,
    Lines,
    Paragraph,
    Row,
    Section,
    numbers,
    table,
    titled,
)
from harness.shown import name_in_line

SHORT = 5
"""In Markdown, of a candidate and task."""
COLUMNS = titled(
    Column("Context ⟦token⟧", label="Context", kind="sentence"),
    *numbers("KL, nats", "Share of all", "Δp"),
    Column("Baseline's first", label="Baseline"),
    Column("Candidate's first", label="Candidate"),
    Column("Document", kind="sentence"),
    *numbers("Token"),
)
SHORT_COLUMNS = titled("Context ⟦token⟧", *numbers("KL, nats", "Share of all", "Δp"), "Document", *numbers("Token"))


def section(verdict: Verdict) -> Section | None:
    """None where nothing diverges."""
    about = Paragraph(
        "The scored tokens with the highest KL, each ⟦marked⟧ behind the text before it, with the change of its own "
        "probability and what either model finds most likely there. Where a few carry much of the mean KL, a median or "
        "a percentile says more of the other tokens."
    )
    found = [(candidate, tokens) for candidate in verdict.candidates for tokens in candidate.divergent]
    folds = tuple(_fold(candidate, tokens) for candidate, tokens in found)
    short = tuple(_short(candidate, tokens) for candidate, tokens in found)
    title = "Most divergent tokens"
    return Section(name="tokens", title=title, blocks=(about, *folds), short=short) if found else None


def few(verdict: Verdict) -> Section | None:
    """A line where few tokens carry much of a mean; None where they do nowhere."""
    lines = tuple(
        Line(label=candidate.variant, text=f"{tokens.task}: {says}, most of all {_where(tokens.most[0])}")
        for candidate in verdict.candidates
        for tokens in candidate.divergent
        if (says := carried(tokens))
    )
    return Section(blocks=(Lines(title="few tokens carry much of a mean KL", lines=lines),)) if lines else None


def carried(tokens: DivergentTokens) -> str:
    """`1 token of 4,096 carries 48 % of the mean KL`; empty where no few tokens carry much."""
    if tokens.few is None or tokens.carried is None:
        return ""
    verb = "carries" if tokens.few == 1 else "carry"
    return f"{count(tokens.few, 'token')} of {tokens.tokens:,} {verb} {percent(tokens.carried)} of the mean KL"


def in_context(token: DivergentToken) -> str:
    """The token marked behind what stands before it, on one line and without the spaces in front of it; empty where
    its text was not stored."""
    if token.text is None:
        return ""
    shown = token.text.lstrip(" ") or token.text
    spaces = token.text.removesuffix(shown)
    return f"{'…' if token.before else ''}{_line((token.before or '') + spaces)}⟦{_line(shown)}⟧"


def _fold(candidate: CandidateVerdict, tokens: DivergentTokens) -> Fold:
    rows = tuple(_row(token) for token in tokens.most)
    says = carried(tokens)
    told: list[Block] = [Paragraph(f"{says}.", strong=True)] if says else []
    if any(token.text is None for token in tokens.most):
        told.append(Paragraph("An earlier version stored no texts of these tokens; their places are known."))
    note = f"{count(len(tokens.most), 'token')} of {tokens.tokens:,}"
    return Fold(
        summary=f"{candidate.variant} · {tokens.task}",
        note=f"{note}; {says}" if says else note,
        blocks=(*told, table(COLUMNS, *rows)),
        open=bool(says),
    )


def _short(candidate: CandidateVerdict, tokens: DivergentTokens) -> Fold:
    rows = tuple(
        (in_context(token) or DASH, *_figures(token), token.item, f"{token.place + 1:,}")
        for token in tokens.most[:SHORT]
    )
    says = carried(tokens)
    return Fold(
        summary=f"{candidate.variant}: most divergent tokens of {tokens.task}",
        note=f"({says})" if says else "",
        blocks=(table(SHORT_COLUMNS, *rows),),
        subject=candidate.variant,
    )


def _row(token: DivergentToken) -> Row:
    tops = (DASH if each is None else f"⟦{_line(each)}⟧" for each in (token.baseline_top, token.top))
    return (in_context(token) or DASH, *_figures(token), *tops, token.item, f"{token.place + 1:,}")


def _figures(token: DivergentToken) -> tuple[str, str, str]:
    """KL, its share, and the change of the token's probability."""
    return significant(token.kl, 3), percent(token.share), level(token.delta_p, "fraction")


def _where(token: DivergentToken) -> str:
    shown = in_context(token)
    place = f"token {token.place + 1:,} of {token.item}"
    return f"{place}: {shown}" if shown else place


def _line(text: str) -> str:
    """With what breaks a line, or is no more than a gap, shown in signs that common fonts have."""
    return name_in_line(text.replace("\n", "↵").replace("\t", "⇥"))
