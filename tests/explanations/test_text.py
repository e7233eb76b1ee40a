"""What a person sees: nothing a model wrote raw, the known names for an unknown one, odd findings explained too."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness import api
from harness.cli import app
from harness.comparison import compare_run
from harness.errors import RecordError, UsageError
from harness.explanations import as_json, print_explanation
from harness.gates import judge
from harness.records.run_manifest import Accepted, CalibrationOverlap
from tests.explanations.saved import HOSTILE, findings, judged, whole
from tests.gates.handmade import NOW, QUANTIZED, answers, binary_bench

GATES: list[dict[str, object]] = [
    {"task": "t", "metric": "acc", "max_drop": 0.02, "name": "careful"},
    {"task": "t", "metric": "acc", "max_drop": 0.05, "slice": "each"},
    {"task": "w", "metric": "perplexity", "max_increase": 0.02},
    {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    judged(whole(folder, prompt=HOSTILE), GATES)
    return folder


def printed(root: Path, gate: str, *, width: int = 100, terminal: bool = True, full: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    for each in api.explain("r1", gate, results=root):
        print_explanation(each, console, full=full)
    return out.getvalue()


@pytest.mark.parametrize("full", [False, True])
def test_hostile_text_is_shown_and_does_nothing(root: Path, full: bool) -> None:
    """Escapes, direction marks, markup and commands of CI logs are seen as text, short and in full."""
    text = printed(root, "0", full=full)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "::error" not in text
    assert "[bold]x[/bold]" in text
    assert "␛[31m" in text


@pytest.mark.parametrize("width", [30, 60, 200])
@pytest.mark.parametrize("gate", ["0", "2", "3"])
def test_a_terminal_of_any_width(root: Path, width: int, gate: str) -> None:
    """Wrapped to the width, apart from paths and commands, which are for copying; nothing is lost."""
    text = printed(root, gate, width=width)
    long = [line for line in text.splitlines() if len(line) > width and "/" not in line and "quantgate" not in line]
    assert long == []
    for word in ("Rule", "What would change it", "Where the numbers are"):
        assert word in text.replace("\n", " ")


def test_a_pipe_gets_whole_lines(root: Path) -> None:
    """One formula a line, whatever the width, without escapes."""
    text = printed(root, "0", width=40, terminal=False)
    assert any("most likely share of pairs from wrong to right, were the drop D" in line for line in text.splitlines())
    assert "\x1b" not in text


def test_json_is_the_explanation(root: Path) -> None:
    """The same numbers, unrounded; no NaN or infinity, which are not JSON."""
    found = api.explain("r1", "1", results=root)
    again = json.loads(as_json(found), parse_constant=pytest.fail)
    assert [each["slice"] for each in again] == ["half=a", "half=b"]
    assert [each["upper"] for each in again] == [each.upper for each in found]
    assert again[0]["sections"][0]["steps"][0]["value"] == found[0].sections[0].steps[0].value


@pytest.mark.parametrize("gate", ["gates[0]", "0", "careful", "t/acc/max_drop"])
def test_a_gate_has_several_names(root: Path, gate: str) -> None:
    """Its place, its number, its own name, what it looks at."""
    found = api.explain("r1", gate, results=root)
    assert found[0].gate == "gates[0]"


@pytest.mark.parametrize(
    ("gate", "options", "says"),
    [
        ("gates[9]", {}, r"there are gates\[0\] \(careful: t/acc/max_drop\), gates\[1\]"),
        ("t/f1", {}, "t/f1: no gate of run r1 is called so"),
        ("0", {"variant": "int3"}, "--variant int3: run r1 has fp32, q"),
        ("0", {"variant": "fp32"}, "--variant fp32: 0 judged q"),
        ("1", {"slice": "half=z"}, "--slice half=z: 1 looks at half=a, half=b"),
        ("0", {"slice": "half=a"}, "0 looks at all items together"),
    ],
)
def test_an_unknown_name_lists_the_known(root: Path, gate: str, options: dict[str, str], says: str) -> None:
    """A usage error says what there is."""
    with pytest.raises(UsageError, match=says):
        api.explain("r1", gate, results=root, **options)  # type: ignore[arg-type]


def test_the_command_prints_text_and_json(root: Path) -> None:
    """Through the command line: one finding as text, and as JSON that parses."""
    run = CliRunner().invoke(app, ["explain", "latest", "careful", "--results", str(root), "--flips", "1"])
    assert (run.exit_code, "gates[0] careful  q against fp32" in run.output) == (0, True), run.output
    assert run.output.count("expected:") == 1
    run = CliRunner().invoke(app, ["explain", "latest", "2", "--results", str(root), "--json"])
    assert run.exit_code == 0, run.exception
    assert json.loads(run.output)[0]["metric"] == "perplexity"


def test_a_finding_without_numbers_is_still_explained(tmp_path: Path) -> None:
    """Not measured, no such slice, a form of another version: the reason stands, nothing crashes."""
    gates: list[dict[str, object]] = [
        {"metric": "decode_tokens_per_s", "min_ratio": 1.2},
        {"task": "t", "metric": "acc", "max_drop": 0.02, "slice": "half=z"},
        {"task": "t", "metric": "f1", "max_drop": 0.02},
        {"task": "t", "metric": "acc", "max_drop": 0.02},
    ]
    bench = binary_bench(tmp_path, 200, 3, 0)
    verdict = judged(bench, gates)
    (one,) = verdict.candidates
    strange = one.findings[3].model_copy(update={"form": "min_something"})
    changed = one.model_copy(update={"findings": (*one.findings[:3], strange)})
    bench.store.save_verdict(verdict.model_copy(update={"candidates": (changed,)}))
    for place, finding in enumerate((*one.findings[:3], strange)):
        (each,) = api.explain("r1", str(place), results=tmp_path)
        assert (each.reason, each.sections, each.decision) == (finding.reason, (), finding.decision)
        print_explanation(each, Console(file=io.StringIO()))


def test_damaged_records_are_no_explanation(tmp_path: Path) -> None:
    """A flipped byte is an error that names the file, not a note."""
    bench = binary_bench(tmp_path, 200, 3, 0)
    judged(bench, [{"task": "t", "metric": "acc", "max_drop": 0.02}])
    path = bench.store.chunks(bench.key("q", "t")).path
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(RecordError, match="checksum"):
        api.explain("r1", "0", results=tmp_path)


def test_a_verdict_of_other_records_is_noted(tmp_path: Path) -> None:
    """Bounds that the records no longer give are not passed off as computed."""
    bench = binary_bench(tmp_path, 200, 3, 0)
    verdict = judged(bench, [{"task": "t", "metric": "acc", "max_drop": 0.02}])
    (one,) = verdict.candidates
    moved = one.findings[0].model_copy(update={"upper": 0.5})
    bench.store.save_verdict(
        verdict.model_copy(update={"candidates": (one.model_copy(update={"findings": (moved,)}),)})
    )
    (each,) = api.explain("r1", "0", results=tmp_path)
    assert any("other bounds than verdict.json" in note for note in each.notes)


def test_clean_items_are_those_explained(tmp_path: Path) -> None:
    """A finding judged without copied items is explained on these: the same n and bounds, and it says so."""
    copied = tuple(f"i{n}" for n in range(100, 300))
    overlap = CalibrationOverlap(
        task="t", items=300, exact=0, copied=200, copied_items=copied, distance=0.4, calibration_words=20,
        evaluation_words=10,
    )  # fmt: skip
    bench = binary_bench(tmp_path, 300, 1, 0, calibration=(overlap,))
    verdict = judged(bench, [{"task": "t", "metric": "acc", "max_drop": 0.03}])
    (each,) = api.explain("r1", "0", results=tmp_path)
    (finding,) = findings(verdict)
    assert (each.n, each.sections[0].steps[0].value, each.upper) == (100, 100, finding.upper)
    assert [note for note in each.notes if "copied_items" in note]


def test_the_promoted_version_is_what_it_is_explained_against(tmp_path: Path) -> None:
    """A gate against the reference counts flips between the two versions, and `show` is named for both runs."""
    bench = binary_bench(tmp_path, 300, 5, 0)
    bench.store.save_run(bench.manifest(run="r0"))
    bench.store.accept("s", Accepted(run="r0", variant="q", promoted_at=NOW))
    right = [0.0] * 9 + [1.0] * 291
    bench.evaluation("now", "t", answers(right))
    bench.variants = {"fp32": bench.variants["fp32"]}
    bench.variant("now", ["t"], facts=QUANTIZED, must_be_quantized=True)
    run = bench.manifest(run="r1")
    bench.store.save_run(run)
    gates: list[dict[str, object]] = [{"task": "t", "metric": "acc", "max_drop": 0.02, "against": "reference"}]
    bench.store.save_verdict(judge(bench.suite(gates), compare_run(bench.store, run), judged_at=NOW))
    (each,) = api.explain("r1", "0", results=tmp_path)
    steps = {step.symbol: step.value for section in each.sections for step in section.steps}
    assert (each.against, steps["b"], steps["c"], each.flips_total) == ("q@r0", 4, 0, 4)
    assert [command.split()[2] for command in each.commands] == ["r1", "r0"]


def test_a_waived_fail_says_both(tmp_path: Path) -> None:
    """WAIVED as in the verdict; the rule shows that it is a FAIL, and a note who excused it."""
    waiver = {"gate": "strict", "variant": "q", "reason": "known", "by": "Ada", "until": "2030-01-01"}
    gate = {"task": "t", "metric": "acc", "max_drop": 0.02, "name": "strict"}
    judged(binary_bench(tmp_path, 1000, 68, 18), [gate], waivers=[waiver])
    (each,) = api.explain("r1", "strict", results=tmp_path)
    assert (each.decision, [c.gives for c in each.conditions if c.holds]) == ("WAIVED", ["FAIL"])
    assert any("excuses: waived until 2030-01-01 by Ada" in note for note in each.notes)


def test_one_cluster_and_one_item(tmp_path: Path) -> None:
    """Nothing bounds them: infinite numbers are said in words and are null in JSON."""
    bench = binary_bench(tmp_path, 1, 1, 0)
    judged(bench, [{"task": "t", "metric": "acc", "max_drop": 0.02}, {"task": "t", "metric": "acc", "min": 0.5}])
    for place in ("0", "1"):
        found = api.explain("r1", place, results=tmp_path)
        print_explanation(found[0], Console(file=io.StringIO()))
        json.loads(as_json(found), parse_constant=pytest.fail)
