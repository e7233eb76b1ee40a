"""`metric: metrics.py:score`: what it may give, what is refused before a run, what fails an answer and not the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import Generation
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.measures.answered import Answered, ScoreError
from harness.planning.measures.scored import Scored
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.records.items import Failed, ItemRecord
from harness.records.items import Scored as Value

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
ROWS = [{"id": f"q{n}", "text": f"Item {n}", "label": str(n), "weight": n} for n in range(1, 4)]
TASK = {"data": "rows.jsonl", "prompt": "{{text}}:", "answer": "{{label}}"}


@pytest.fixture
def planned(tmp_path: Path, suite_of: LoadSuite, write_rows: WriteRows) -> Callable[..., TaskPlan]:
    """A plan whose metric is in this Python."""

    def plan(code: str, metric: str = "metrics.py:score", gates: tuple[Any, ...] = (), **more: object) -> TaskPlan:
        write_rows("rows.jsonl", ROWS)
        (tmp_path / "metrics.py").write_text(code)
        task = {"generate": {**TASK, "metric": metric, **more}, "id": "id"}
        loaded = suite_of({"t": task}, gates=gates, allow_task_code=True)
        (found,) = plan_suite(loaded, ScriptedTokenizer(), context_length=None)
        return found

    return plan


def answered(plan: TaskPlan, text: str, index: int = 0) -> ItemRecord:
    return plan.score(index, [Generation(text=text, tokens=(1,), finish="stop")])


def refusal(plan: Callable[..., TaskPlan], code: str, **more: Any) -> str:
    with pytest.raises(SuiteError) as caught:
        plan(code, **more)
    return str(caught.value)


def test_it_gets_answer_references_and_row(planned: Callable[..., TaskPlan]) -> None:
    """The answer as the task's regex left it, the references as a list, and the row with all its fields."""
    code = "def score(answer, references, row):\n    return int(answer) * row['weight'] / int(references[0])\n"
    plan = planned(code, regex="= (.+)")
    assert plan.metrics == ("score",)
    assert answered(plan, "it is = 6 ", index=2).metrics == {"score": Value(value=6.0)}


def test_a_mapping_gives_a_metric_for_each_key(planned: Callable[..., TaskPlan]) -> None:
    """Named by function and key; less is better where the function says so; a gate finds them by these names."""
    code = (
        "def score(answer, references, row):\n    return {'hit': answer == references[0], 'errors': len(answer)}\n"
        "score.higher_is_better = {'errors': False}\n"
    )
    gate = {"task": "t", "metric": "score.hit", "max_drop": 0.1}
    plan = planned(code, gates=(gate,))
    assert (plan.metrics, plan.lower_is_better) == (("score.hit", "score.errors"), ("score.errors",))
    assert answered(plan, "1").metrics == {"score.hit": Value(value=1.0), "score.errors": Value(value=1.0)}
    with pytest.raises(SuiteError, match=r"has no metric 'score'.*score\.hit, score\.errors"):
        planned(code, gates=({**gate, "metric": "score"},))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("1 / (len(answer) - 4)", "metrics.py:score raised ZeroDivisionError: division by zero"),
        ("float('nan') if answer == 'oops' else 1", "gave nan; expected a finite number"),
        ("None if answer == 'oops' else 1", "gave None; expected a finite number"),
        ("'good' if answer == 'oops' else 1", "gave 'good'; expected a finite number"),
        ("__import__('sys').exit(3) if answer == 'oops' else 1", "raised SystemExit: 3"),
        ("{'a': 1} if answer == 'oops' else 1", "gave 'a' here, and one number for the first item"),
    ],
)
def test_what_cannot_be_scored_fails_and_is_no_zero(planned: Callable[..., TaskPlan], body: str, says: str) -> None:
    """Exceptions, exits and what is no number are stored as failures of that item, with the reason."""
    plan = planned(f"def score(answer, references, row):\n    return {body}\n")
    found = answered(plan, "oops").metrics["score"]
    assert isinstance(found, Failed)
    assert says in found.error
    assert isinstance(answered(plan, "fine!").metrics["score"], Value)


def test_a_mutated_row_is_its_own(planned: Callable[..., TaskPlan]) -> None:
    """What the function does to row and references reaches no other call; what it prints stays out of the output."""
    code = (
        "def score(answer, references, row):\n    print('hello')\n    references.clear()\n"
        "    row['weight'] += 1\n    return row['weight']\n"
    )
    plan = planned(code)
    assert [answered(plan, "x", index=1).metrics["score"] for _ in range(3)] == [Value(value=3.0)] * 3


def test_prints_do_not_reach_the_output(planned: Callable[..., TaskPlan], capsys: pytest.CaptureFixture[str]) -> None:
    """`--format json` stays JSON: prints of the file and of the function go to the error stream."""
    plan = planned("print('loaded')\n\ndef score(answer, references, row):\n    print('scored')\n    return 1\n")
    answered(plan, "x")
    said = capsys.readouterr()
    assert said.out == ""
    assert {"loaded", "scored"} <= set(said.err.split())


def test_a_function_that_draws_is_found() -> None:
    """A sample of the answers is scored twice; a function that gives two numbers fails those, and says both."""
    numbers = iter(range(1000))
    drawn = Scored(shown="metrics.py:score", function=lambda *_: next(numbers))

    def said(text: str) -> str:
        try:
            return str(drawn(Answered(answer=text, references=(), row={})))
        except ScoreError as error:
            return str(error)

    failed = [found for found in (said(f"answer {each}") for each in range(200)) if "and then" in found]
    assert 5 <= len(failed) <= 30
    assert all("draws or remembers" in each for each in failed)


def test_a_hang_ends() -> None:
    """An answer that takes over the limit fails; the run goes on."""

    def endless(*_: object) -> float:
        while True:
            pass

    slow = Scored(shown="metrics.py:score", function=endless, limit_s=0.05)
    with pytest.raises(ScoreError, match=r"took over 0\.05 s for one answer"):
        slow(Answered(answer="x", references=(), row={}))


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("def other(a, r, w):\n    return 1\n", "metrics.py has no function 'score'; it has other"),
        ("score = 3\n", "metrics.py has no function 'score'"),
        ("def score(answer):\n    return 1\n", "expected a function of (answer, references, row)"),
        ("async def score(a, r, w):\n    return 1\n", "expected a plain function"),
        ("import nowhere_at_all\n", "could not be imported: ModuleNotFoundError"),
        ("def score(:\n", "could not be imported: SyntaxError"),
        ("def score(a, r, w):\n    raise KeyError('x')\n", "raised KeyError: 'x', on the first item"),
        ("def score(a, r, w):\n    return {}\n", "gave an empty mapping"),
        ("def score(a, r, w):\n    return {'a b': 1}\n", "expected keys that are names"),
        (
            "def score(a, r, w):\n    return 1\nscore.higher_is_better = 'no'\n",
            "higher_is_better: expected true or false",
        ),
        ("def score(a, r, w):\n    return 1\nscore.higher_is_better = {'b': False}\n", "higher_is_better: expected"),
    ],
)
def test_what_is_refused_before_a_run(planned: Callable[..., TaskPlan], code: str, says: str) -> None:
    """Files and functions that do not fit are problems of the suite, with their place."""
    found = refusal(planned, code)
    assert says in found
    assert "suite.yaml" in found
    assert "tasks.t.generate.metric" in found


def test_names_that_are_taken(planned: Callable[..., TaskPlan]) -> None:
    """A function called as a metric of quantgate's would be taken for it."""
    says = refusal(planned, "def contains(a, r, w):\n    return 1\n", metric="metrics.py:contains")
    assert "contains is a metric of quantgate's" in says


def test_it_runs_only_where_the_suite_allows_it(tmp_path: Path, suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Without `allow_task_code` the file is not even imported."""
    write_rows("rows.jsonl", ROWS)
    (tmp_path / "metrics.py").write_text("raise SystemExit(9)\n")
    with pytest.raises(SuiteError, match="allow_task_code: true"):
        suite_of({"t": {"generate": {**TASK, "metric": "metrics.py:score"}}})


def test_its_code_is_part_of_the_identity(planned: Callable[..., TaskPlan], tmp_path: Path) -> None:
    """Another function, or another local file that it imports, is another task; the same text is the same one."""
    code = "from helper_of_metric import one\n\ndef score(a, r, w):\n    return one()\n"
    (tmp_path / "helper_of_metric.py").write_text("def one():\n    return 1\n")
    first = planned(code).hash
    assert planned(code).hash == first
    (tmp_path / "helper_of_metric.py").write_text("def one():\n    return 1.0  # now a float\n")
    assert planned(code).hash != first
    assert planned(code + "# more\n").hash != first


def test_it_needs_no_references(planned: Callable[..., TaskPlan]) -> None:
    """A task without `answer` gives an empty list; a metric that compares asks for it."""
    code = "def score(answer, references, row):\n    return len(references)\n"
    assert answered(planned(code, answer=None), "x").metrics["score"] == Value(value=0.0)
    with pytest.raises(SuiteError, match="exact_match compares with a reference: add answer"):
        planned(code, metric=["exact_match", "metrics.py:score"], answer=None)
