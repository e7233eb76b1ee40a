"""Nothing to lose is no PASS: a limit on a loss shows nothing where the baseline lies at its floor."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.explanations.explain import Shown, explain_findings
from harness.notation import WORST_FIRST
from harness.records.verdict import CandidateVerdict
from tests.faults.items import choices, picks, texts
from tests.gates.handmade import one

Form = dict[str, object]
FORMS: list[Form] = [{"max_drop": 0.05}, {"max_relative_drop": "50%"}, {"min_recovery": "50%"}]
N = 400
GOLD = [n % 4 for n in range(N)]
SOUND = [gold if n % 8 else (gold + 1) % 4 for n, gold in enumerate(GOLD)]
"""Right on seven of eight."""


def judged(bench: object, form: Form, *, metric: str = "acc", part: str | None = None) -> CandidateVerdict:
    gate = {"task": "t", "metric": metric, **form, **({} if part is None else {"slice": part})}
    return one(bench.verdict([gate]))  # type: ignore[attr-defined]


@pytest.mark.fault("T20", "a baseline that is never right, and a candidate that is not either", "INVALID, at_zero")
@pytest.mark.fault("F34", "a baseline at 0 under min_recovery and max_relative_drop", "INVALID")
@pytest.mark.fault("T1", "references that normalisation deletes, so that nobody can be right", "INVALID, at_zero")
@pytest.mark.fault("T2", "a metric that knows no script without spaces, so that both sides have 0", "INVALID, at_zero")
@pytest.mark.fault("T4", "references that are no texts, so that both sides have 0", "INVALID, at_zero")
@pytest.mark.fault("T5", "null as reference, so that both sides have 0", "INVALID, at_zero")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("metric", ["exact_match", "contains", "f1", "rougeL", "exact_match,strict-match"])
def test_a_baseline_that_is_never_right(tmp_path: Path, form: Form, metric: str) -> None:
    """0 % against 0 %: INVALID for every form and metric, with a code and the reason in words."""
    said = {side: [f"{side} {n}" for n in range(N)] for side in ("fp32", "q")}
    bench = texts(tmp_path, said, {"fp32": np.zeros(N), "q": np.zeros(N)}, metric=metric)
    candidate = judged(bench, form, metric=metric)
    assert (candidate.decision, candidate.findings[0].code) == ("INVALID", "at_zero")
    assert "the baseline" in candidate.findings[0].reason


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("level", [0.25, 0.2, 0.0])
def test_a_baseline_at_chance_or_below(tmp_path: Path, form: Form, level: float) -> None:
    """Of four options a quarter is guessed: a baseline with no more is INVALID, for an equal candidate and a better."""
    weak = [gold if n < level * N else (gold + 1) % 4 for n, gold in enumerate(GOLD)]
    for name, other in (("same", weak), ("better", SOUND)):
        bench = choices(tmp_path / name, {"fp32": picks(weak, seed=1), "q": picks(other, seed=5)}, GOLD)
        candidate = judged(bench, form)
        assert candidate.decision == "INVALID"
        assert candidate.findings[0].code == ("at_zero" if level == 0 else "at_chance")


@pytest.mark.parametrize("form", FORMS)
def test_a_baseline_with_one_answer_for_all(tmp_path: Path, form: Form) -> None:
    """It always says the same, and is right where that happens to be the reference: INVALID, options or texts."""
    gold = [0 if n % 5 else 1 for n in range(N)]  # 80 % A: above chance all the same
    always = [0] * N
    bench = choices(tmp_path / "c", {"fp32": picks(always, seed=1), "q": picks(always, seed=5)}, gold)
    candidate = judged(bench, form)
    assert (candidate.decision, candidate.findings[0].code) == ("INVALID", "one_answer")
    right = np.asarray([float(each == 0) for each in gold])
    bench = texts(tmp_path / "t", {"fp32": ["ham"] * N, "q": ["ham"] * N}, {"fp32": right, "q": right})
    assert judged(bench, form, metric="exact_match").findings[0].code == "one_answer"


def test_one_answer_that_is_always_right_is_no_floor(tmp_path: Path) -> None:
    """Where every reference is the same, a model that is right says always the same: it can lose, so it is judged."""
    gold = [0] * N
    same = choices(tmp_path / "s", {"fp32": picks(gold, seed=1), "q": picks(gold, seed=5)}, gold)
    assert judged(same, {"max_drop": 0.02}).decision == "PASS"
    lost = choices(tmp_path / "l", {"fp32": picks(gold, seed=1), "q": picks([1] * N, seed=5)}, gold)
    assert judged(lost, {"max_drop": 0.02}).decision == "FAIL"


def test_every_slice_has_its_own_floor(tmp_path: Path) -> None:
    """Right everywhere but on one slice: that slice's limit is INVALID, the others' are judged."""
    parts = ["x" if n < N // 2 else "y" for n in range(N)]
    half = [each if parts[n] == "x" else (GOLD[n] + 1) % 4 for n, each in enumerate(SOUND)]
    bench = choices(tmp_path, {"fp32": picks(half, seed=1), "q": picks(half, seed=5)}, GOLD, slices=parts)
    found = judged(bench, {"max_drop": 0.05}, part="each").findings
    assert [(each.slice, each.decision, each.code) for each in found] == [
        ("part=x", "PASS", None),
        ("part=y", "INVALID", "at_zero"),
    ]


def test_a_slice_of_one_label_is_no_floor(tmp_path: Path) -> None:
    """A good model says the label of a slice on all its items; one reference in it differs. It is judged."""
    parts = [f"{gold}" for gold in GOLD]
    gold = [1 if n == 0 else each for n, each in enumerate(GOLD)]
    bench = choices(tmp_path, {"fp32": picks(GOLD, seed=1), "q": picks(GOLD, seed=5)}, gold, slices=parts)
    found = judged(bench, {"max_drop": 0.05}, part="each").findings
    assert [each.code for each in found] == [None] * 4


def test_where_less_is_better_the_floor_is_above(tmp_path: Path) -> None:
    """A share of errors of 100 % has nothing to lose; one of 10 % has."""
    said = {side: [f"{side} {n}" for n in range(N)] for side in ("fp32", "q")}
    for level, code in ((1.0, "at_zero"), (0.1, None)):
        values = np.asarray([float(n < level * N) for n in range(N)])
        bench = texts(
            tmp_path / str(level), said, {"fp32": values, "q": values}, metric="error_rate", lower_is_better=True
        )
        found = judged(bench, {"max_drop": 0.05}, metric="error_rate").findings[0]
        assert (found.code, found.decision) == (code, "PASS" if code is None else "INVALID")


def test_a_limit_wider_than_the_level_shows_nothing(tmp_path: Path) -> None:
    """The baseline has 1 %; who is never right would hold 2 pp. A PASS of it is INVALID, a level gate is judged."""
    said = {side: [f"{side} {n}" for n in range(N)] for side in ("fp32", "q")}
    values = np.asarray([float(n < 4) for n in range(N)])
    bench = texts(tmp_path, said, {"fp32": values, "q": values})
    assert judged(bench, {"max_drop": 0.02}, metric="exact_match").findings[0].code == "blind_limit"
    assert judged(bench, {"min": 0.001}, metric="exact_match").decision == "PASS"


@pytest.mark.fault("kind: floor", "a baseline at 10 %, a candidate that is never right, a limit of 20 pp", "INVALID")
def test_a_limit_above_the_level_lets_all_of_it_be_lost(tmp_path: Path) -> None:
    """Whatever the level is: under a limit above it nobody can FAIL. One below it is judged."""
    said = {side: [f"{side} {n}" for n in range(N)] for side in ("fp32", "q")}
    values = np.asarray([float(n % 10 == 0) for n in range(N)])
    bench = texts(tmp_path, said, {"fp32": values, "q": np.zeros(N)})
    assert judged(bench, {"max_drop": 0.2}, metric="exact_match").findings[0].code == "blind_limit"
    assert judged(bench, {"max_drop": 0.05}, metric="exact_match").decision == "FAIL"


def test_few_items_at_chance_pass_nothing(tmp_path: Path) -> None:
    """Under 20 items a share says little: what is undecided stays so, and a PASS of a wide limit is none."""
    gold, weak = [0, 1] * 8, [0, 0] * 8
    weak[0] = 1
    bench = choices(tmp_path, {"fp32": picks(weak, seed=1, width=2), "q": picks(weak, seed=5, width=2)}, gold)
    assert judged(bench, {"max_drop": 0.02}).decision == "INCONCLUSIVE"
    assert judged(bench, {"max_drop": 0.4}).findings[0].code == "at_chance"


@pytest.mark.fault("T19", "a candidate whose options all tie, where the right one always comes first", "FAIL")
@pytest.mark.fault("T7", "an option of which nothing is scored, so that all options tie on both sides", "at_chance")
def test_options_that_tie(tmp_path: Path) -> None:
    """A candidate without an opinion has 1/k and FAILs; is the baseline like that too, there is nothing to lose."""
    gold = [0] * N
    tie = np.full((N, 2), -0.7)
    bench = choices(tmp_path / "q", {"fp32": picks(gold, seed=1, width=2), "q": tie}, gold)
    candidate = judged(bench, {"max_drop": 0.05})
    assert (candidate.decision, candidate.measures[0].candidate) == ("FAIL", 0.5)
    assert any(f"{N} of {N} (acc)" in check.says for check in candidate.checks if check.name == "options apart")
    both = choices(tmp_path / "b", {"fp32": tie, "q": tie}, gold)
    assert judged(both, {"max_drop": 0.05}).findings[0].code == "at_chance"


def test_a_few_ties_neither_help_nor_hinder(tmp_path: Path) -> None:
    """5 of 400 items tie on both sides: named, and the limit is held as without them."""
    base = picks(SOUND, seed=1)
    base[1:6] = -1.0
    bench = choices(tmp_path, {"fp32": base, "q": base - 0.001}, GOLD)
    candidate = judged(bench, {"max_drop": 0.02})
    assert candidate.decision == "PASS"
    assert candidate.measures[0].kind == "binary"
    assert any("5 of 400 (acc)" in check.says for check in candidate.checks)


def test_nan_is_no_tie(tmp_path: Path) -> None:
    """Likelihoods that are no numbers are failures, all of them INVALID."""
    bench = choices(tmp_path, {"fp32": picks(SOUND, seed=1), "q": np.full((N, 4), np.nan)}, GOLD)
    assert judged(bench, {"max_drop": 0.05}).decision == "INVALID"


FLOORS = st.sampled_from(["never right", "at chance", "one answer", "all tie"])


@pytest.mark.fault("kind: floor", "baselines at a floor of any kind beside any candidate, under any limit")
@settings(max_examples=40, deadline=None)
@given(
    floor=FLOORS,
    form=st.one_of(
        st.floats(0.001, 0.9).map(lambda each: {"max_drop": each}),
        st.floats(0.001, 0.9).map(lambda each: {"max_relative_drop": each}),
        st.floats(0.1, 0.999).map(lambda each: {"min_recovery": each}),
    ),
    n=st.integers(20, 300),
    width=st.integers(2, 4),
    good=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_at_a_floor_nothing_passes(floor: str, form: Form, n: int, width: int, good: float, seed: int) -> None:
    """INVALID with a code, whatever the candidate does."""
    source = np.random.default_rng(seed)
    gold = source.integers(0, width, n).tolist()
    if floor == "one answer" and len(set(gold)) == 1:
        gold[0] = (gold[0] + 1) % width
    always = int(source.integers(0, width))
    chosen = {
        "never right": [(each + 1) % width for each in gold],
        "at chance": [each if place < n // width else (each + 1) % width for place, each in enumerate(gold)],
        "one answer": [always] * n,
        "all tie": [0] * n,
    }[floor]
    base = np.full((n, width), -1.0) if floor == "all tie" else picks(chosen, seed=seed, width=width)
    other = [each if source.random() < good else (each + 1) % width for each in gold]
    with tempfile.TemporaryDirectory() as folder:
        bench = choices(Path(folder), {"fp32": base, "q": picks(other, seed=seed + 7, width=width)}, gold)
        candidate = judged(bench, form)
    assert candidate.decision == "INVALID"
    assert candidate.findings[0].code in ("at_zero", "at_chance", "one_answer")


@pytest.mark.fault("kind: blind", "candidates that know nothing beside a sound baseline")
@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["one answer", "all tie", "random"]),
    share=st.floats(0.1, 0.9),
    n=st.integers(20, 500),
    width=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_who_knows_nothing_never_passes(kind: str, share: float, n: int, width: int, seed: int) -> None:
    """The baseline is right on nine of ten; any limit between 0 and what it has above chance."""
    source = np.random.default_rng(seed)
    gold = [place % width for place in range(n)]
    sound = [each if place % 10 else (each + 1) % width for place, each in enumerate(gold)]
    blind = {
        "one answer": picks([0] * n, seed=seed, width=width),
        "all tie": np.full((n, width), -1.0),
        "random": picks(source.integers(0, width, n).tolist(), seed=seed, width=width),
    }[kind]
    limit = share * 0.5 * (0.9 - 1 / width)
    with tempfile.TemporaryDirectory() as folder:
        bench = choices(Path(folder), {"fp32": picks(sound, seed=seed + 3, width=width), "q": blind}, gold)
        for form in ({"max_drop": limit}, {"min_recovery": 1 - limit / 0.9}):
            assert judged(bench, form).decision != "PASS"  # type: ignore[arg-type]


@pytest.mark.fault("kind: sound", "equal answers of sound models, with ties and without", "PASS where items suffice")
@settings(max_examples=30, deadline=None)
@given(level=st.floats(0.6, 1.0), ties=st.floats(0, 0.1), width=st.integers(2, 4), seed=st.integers(0, 1000))
def test_sound_models_are_not_refused(level: float, ties: float, width: int, seed: int) -> None:
    """The same answers to 300 items hold 2 pp, whatever share of them ties."""
    source = np.random.default_rng(seed)
    gold = source.integers(0, width, 300).tolist()
    chosen = [each if source.random() < level else (each + 1) % width for each in gold]
    base = picks(chosen, seed=seed, width=width)
    base[source.random(300) < ties] = -1.0
    with tempfile.TemporaryDirectory() as folder:
        bench = choices(Path(folder), {"fp32": base, "q": base - 0.001}, gold)
        candidate = judged(bench, {"max_drop": 0.02})
        worst = min((each.decision for each in candidate.findings), key=WORST_FIRST.index)
    assert candidate.decision == "PASS"
    assert WORST_FIRST.index(candidate.decision) <= WORST_FIRST.index(worst)


@pytest.mark.parametrize(
    ("share", "form", "code"), [(0.25, FORMS[0], "at_chance"), (0.3, {"max_drop": 0.2}, "blind_limit")]
)
def test_an_explanation_shows_the_numbers_and_why_they_show_nothing(
    tmp_path: Path, share: float, form: Form, code: str
) -> None:
    """The steps are there, the reason is the finding's, and nothing is promised that would change it in vain."""
    weak = [gold if n < share * N else (gold + 1) % 4 for n, gold in enumerate(GOLD)]
    bench = choices(tmp_path, {"fp32": picks(weak, seed=1), "q": picks(weak, seed=5)}, GOLD)
    candidate = judged(bench, form)
    assert candidate.findings[0].code == code
    (found,) = explain_findings(bench.store, bench.manifest(), candidate.findings, Shown())
    assert found.sections
    assert (found.decision, found.reason) == ("INVALID", candidate.findings[0].reason)
    assert {each.of for each in found.changes} <= {"limit"}
