"""The HTML page: safe with hostile text, self-contained, the same bytes for the same verdict."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.records.verdict import Verdict
from harness.reports.formats import write_reports
from harness.reports.html import render_html
from tests.reports.example import LONG, example

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Outline(HTMLParser):
    """Collects tags, attributes and text; notes a tag that closes another than the open one."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.crossed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(example())


@pytest.mark.fault(
    "T28", "control characters, markup and CI commands in ids, slices and answers", "text in every report"
)
def test_hostile_text_is_text(page: str) -> None:
    """Nothing a model wrote becomes an element, an attribute or an address, and it can still be read."""
    outline = Outline(page)
    assert not outline.seen & {"script", "img", "iframe", "object", "link", "b>0043", "form"}
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert "<script>alert('owned')</script>" in outline.text
    assert "intents-<b>0043" in outline.text
    assert "\u202e" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", page)


def test_the_page_is_well_formed(page: str) -> None:
    """Every element is closed where it was opened."""
    outline = Outline(page)
    assert outline.crossed == []
    assert outline.open == []


def test_the_page_needs_nothing_else(page: str) -> None:
    """No address outside the page is ever loaded: links go to the page's own sections, styles are inside."""
    outline = Outline(page)
    targets = [value for name, value in outline.attributes if name in ("href", "src", "srcset", "action", "data")]
    assert targets
    assert all(target.startswith("#") for target in targets)
    ids = {value for name, value in outline.attributes if name == "id"}
    assert {target.removeprefix("#") for target in targets} <= ids
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_every_section_is_there(page: str) -> None:
    """Everything the design promises stands on the page, with each variant's verdict as a word."""
    text = Outline(page).text
    for word in ("PASS", "FAIL", "INCONCLUSIVE", "INVALID", "bf16", "int8", "nf4", "fake"):
        assert word in text
    ids = {value for name, value in Outline(page).attributes if name == "id"}
    assert ids == {
        "gates",
        "tradeoff",
        "drops",
        "flips",
        "divergence",
        "tokens",
        "slices",
        "measures",
        "cost",
        "checks",
        "environment",
        "method",
    }
    assert "not available" in text
    assert "about 2,410 more items would decide" in text
    assert "211 of 211 linear" in text


def test_limits_on_batches_are_shown(page: str) -> None:
    """What a variant's batches went by stands with its engine."""
    assert "at most 2,048 padded tokens a pass and 46,603 of states, within 4,096 MiB" in Outline(page).text


def test_what_did_not_pass_says_how_to_see_why(page: str) -> None:
    """The command that explains it stands with every FAIL and INCONCLUSIVE that has numbers."""
    assert "quantgate explain 20260301-101500-a1b2 2 --variant nf4" in Outline(page).text


def test_what_is_left_out_is_said(page: str) -> None:
    """A cut answer and flips beyond the cap are counted, never dropped in silence."""
    text = Outline(page).text
    assert f"{len(LONG) - 2000:,} more characters" in text
    assert "76 more not shown" in text


def test_charts_say_what_they_show(page: str) -> None:
    """Every chart has a title and a description for those who cannot see it."""
    charts = re.findall(r"<svg[^>]*role=\"img\".*?</desc>", page, flags=re.DOTALL)
    assert len(charts) == page.count('role="img"') == 8
    assert all("<title>" in chart and "<desc>" in chart for chart in charts)


def test_equal_verdicts_give_equal_bytes(tmp_path: Path) -> None:
    """No report holds a clock or chance, and nothing is left beside them."""
    write_reports(example(), tmp_path / "a")
    write_reports(example(), tmp_path / "b")
    written = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert written == ["junit.xml", "report.html", "report.md"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in written)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_little_is_enough(keep: int) -> None:
    """No candidate, a clean one or only an invalid one: the page is still drawn, with what there is."""
    whole = example()
    bare = whole.model_copy(
        update={
            "candidates": whole.candidates[keep : keep + 1] if keep else (),
            "baseline_findings": (),
            "baseline_facts": None,
            "baseline_memory": None,
            "reference": None,
        }
    )
    outline = Outline(render_html(bare))
    assert outline.crossed == []
    assert bare.run in outline.text


def test_missing_numbers_are_drawn_as_missing() -> None:
    """A measure, a bound or a ratio that could not be had leaves its place empty instead of a zero."""
    first = example().candidates[1]
    hollow = first.model_copy(
        update={
            "measures": tuple(
                m.model_copy(update={"baseline": None, "candidate": None, "change": None, "lower": None, "upper": None})
                for m in first.measures
            ),
            "findings": tuple(
                f.model_copy(update={"value": None, "lower": None, "upper": None}) for f in first.findings
            ),
            "speed": tuple(
                row.model_copy(update={"baseline": None, "candidate": None, "ratio": None, "lower": None})
                for row in first.speed
            ),
            "facts": None,
        }
    )
    page = render_html(example().model_copy(update={"candidates": (hollow,)}))
    text = Outline(page).text
    assert "not available" in text
    assert "None" not in text
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", text.replace("na na", ""))


def test_the_example_is_a_verdict() -> None:
    """What the reports are tested with is what is stored: it survives the trip through JSON."""
    text = example().model_dump_json()
    assert Verdict.model_validate_json(text) == example()


def test_an_unwritable_place_is_a_record_error(tmp_path: Path) -> None:
    """A report that cannot be written says so by its path and leaves nothing behind."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RecordError, match="file"):
        write_reports(example(), blocked)


def test_reports_start_light() -> None:
    """Importing the reports loads no template engine, no plotting and no numeric library."""
    code = (
        "import sys, harness.reports, harness.trends; "
        "print(*[m for m in ('jinja2','matplotlib','pandas','numpy','torch','scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
