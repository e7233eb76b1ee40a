"""A whole plan: samples, batches, hashes, and what a suite and its data have wrong with each other."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.engines.protocol import ScoreRequest
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.batching import ANSWERED_TOKENS, BATCHING, BATCHING_WHOLE, MOST_ITEMS, PADDED_TOKENS
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import plan_texts, sample
from harness.records.items import Failed

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
CHOICE = {"data": "rows.jsonl", "prompt": "{{text}}", "choices": ["yes", "no"], "answer": "{{label}}"}
GENERATE = {"data": "rows.jsonl", "prompt": "{{text}}", "answer": "{{label}}", "max_new_tokens": 8}
TASKS = {
    "ask": {"choice": CHOICE, "id": "id", "slice_by": ["topic"]},
    "say": {"generate": GENERATE, "id": "id"},
    "read": {"perplexity": {"data": "rows.jsonl", "window": 16}, "id": "id"},
}


def rows(count: int) -> list[dict[str, object]]:
    words = random.Random(5)
    return [
        {"id": f"q{n}", "text": "word " * words.randint(1, 60), "label": "yes" if n % 2 else "no", "topic": "ab"[n % 2]}
        for n in range(count)
    ]


def plans_of(loaded: Any, **options: Any) -> tuple[Any, ...]:
    return plan_suite(loaded, ScriptedTokenizer(), **{"context_length": None, **options})


def test_a_sample_is_seeded_and_in_order() -> None:
    """The same seed and task give the same items, in file order; another seed or task gives others."""
    assert sample(5, None, 0, "t") == sample(5, 5, 0, "t") == sample(5, 9, 0, "t") == [0, 1, 2, 3, 4]
    chosen = sample(1000, 50, 0, "t")
    assert chosen == sorted(set(chosen)) == sample(1000, 50, 0, "t")
    assert len(chosen) == 50
    assert chosen != sample(1000, 50, 1, "t")
    assert chosen != sample(1000, 50, 0, "u")


def test_the_smaller_limit_holds(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """The task's own limit and the command line's; indices start at 0 and are without gaps."""
    write_rows("rows.jsonl", rows(40))
    loaded = suite_of({"t": {**TASKS["ask"], "limit": 10}})
    for limit, expected in ((None, 10), (4, 4), (30, 10)):
        (plan,) = plans_of(loaded, limit=limit)
        assert [item.index for item in plan.items] == list(range(expected))


def test_only_the_tasks_asked_for(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """`--task` plans those tasks, in the suite's order."""
    write_rows("rows.jsonl", rows(4))
    assert [plan.name for plan in plans_of(suite_of(TASKS), tasks=["read", "ask"])] == ["ask", "read"]


def test_batches_hold_every_item_once_within_the_policy(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Inside a block longest first; tokens padded to the longest and items stay under the stated limits. Only
    documents, at which nothing is stopped, are one block."""
    write_rows("rows.jsonl", rows(300))
    for plan in plans_of(suite_of(TASKS)):
        assert sorted(index for chunk in plan.chunks for index in chunk) == list(range(300))
        lengths = [[plan.length(index) for index in chunk] for chunk in plan.chunks]
        assert all(len(chunk) <= MOST_ITEMS for chunk in lengths)
        assert all(len(chunk) == 1 or len(chunk) * max(chunk) <= plan.batch_tokens for chunk in lengths)
        assert (len(plan.order.ends) == 1) == (plan.kind == "perplexity")
        for first, end in pairwise([0, *plan.order.ends]):
            block = [index for chunk in plan.chunks[first:end] for index in chunk]
            for prefix in {plan._shared_prefix(index) for index in block}:
                flat = [plan.length(index) for index in block if plan._shared_prefix(index) == prefix]
                assert flat == sorted(flat, reverse=True)
        assert plan.batch_tokens == (ANSWERED_TOKENS if plan.kind == "generate" else PADDED_TOKENS)
        assert plan.batching == (BATCHING_WHOLE if plan.kind == "perplexity" else BATCHING)


@pytest.mark.parametrize(("name", "field"), [("ask", "context"), ("say", "prompt")])
def test_examples_in_front_are_shared(name: str, field: str, suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Every request says how much of its prompt the others begin with too, and batches count what is left."""
    examples = "Question: is it so? Answer: yes. " * 4
    write_rows("rows.jsonl", [{**row, "text": f"{examples}{row['id']}: {row['text']}"} for row in rows(50)])
    (plan,) = plans_of(suite_of(TASKS), tasks=[name])
    requests = [request for (request,) in plan.requests]
    heads = {getattr(request, field)[: request.shared] for request in requests}
    assert len(heads) == 1
    assert len(examples) <= len(next(iter(heads))) < min(len(getattr(request, field)) for request in requests)
    alone = [len(getattr(request, field)) for request in requests]
    assert all(plan.length(index) < length for index, length in enumerate(alone))


def test_a_system_prompt_is_the_stem_of_its_documents(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Requests say what their beginning shares with other beginnings."""
    system = "You answer questions about a document. " * 3
    documents = [f"{name} " * 40 for name in ("Alpha", "Brown", "Chess")]
    made = [
        {**row, "text": f"{system}{document}{row['id']}: {row['text']}"} for row in rows(8) for document in documents
    ]
    write_rows("rows.jsonl", [{**row, "id": f"{row['id']}.{number}"} for number, row in enumerate(made)])
    (plan,) = plans_of(suite_of(TASKS), tasks=["ask"])
    requests = [request for (request,) in plan.requests if isinstance(request, ScoreRequest)]
    assert len({request.context[: request.shared] for request in requests}) == 3
    assert len({request.context[: request.root_prefix] for request in requests}) == 1
    assert all(len(system) <= request.root_prefix < request.shared for request in requests)


PROGRAM = """
import sys
from pathlib import Path
from harness.engines.scripted import ScriptedTokenizer
from harness.planning.plan_suite import plan_suite
from harness.suite.load import load_suite
for plan in plan_suite(load_suite(Path(sys.argv[1])), ScriptedTokenizer(), context_length=None, limit=20):
    print(plan.hash, plan.chunks)
"""


def test_a_plan_is_the_same_in_every_process(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Hashes and batches do not depend on the process or on Python's hash seed: resume and reuse stand on it."""
    write_rows("rows.jsonl", rows(60))
    loaded = suite_of(TASKS)
    here = [f"{plan.hash} {plan.chunks}" for plan in plans_of(loaded, limit=20)]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(loaded.path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout.splitlines() == here


def test_what_is_asked_is_in_the_hash(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """A changed prompt, option, reference, token limit or stop string is another plan; a changed gate is not."""
    write_rows("rows.jsonl", rows(6))
    choice = [CHOICE, {**CHOICE, "prompt": "{{text}}?"}, {**CHOICE, "choices": ["yes", "no", "other"]}]
    generate = [
        GENERATE,
        {**GENERATE, "max_new_tokens": 9},
        {**GENERATE, "until": ["\n"]},
        {**GENERATE, "answer": "{{label}}!"},
        {**GENERATE, "ignore_case": True},
        {**GENERATE, "metric": ["exact_match", "f1"]},
    ]
    hashes = [plans_of(suite_of({"t": {"choice": spec}}))[0].hash for spec in choice]
    hashes += [plans_of(suite_of({"t": {"generate": spec}}))[0].hash for spec in generate]
    assert len(set(hashes)) == len(hashes)
    gated = suite_of({"t": {"choice": CHOICE}}, gates=[{"task": "t", "metric": "acc", "max_drop": 0.02}])
    assert plans_of(gated)[0].hash == hashes[0]


def test_an_item_beyond_the_context_is_counted_and_never_cut(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Its requests are empty, it is planned with the reason, and it scores as a failure for every variant alike."""
    write_rows("rows.jsonl", [{"text": "x" * n, "label": "yes"} for n in (5, 7, 8, 9)])
    both = suite_of({"ask": {"choice": CHOICE}, "say": {"generate": {**GENERATE, "max_new_tokens": 4}}})
    ask, say = plans_of(both, context_length=11)
    # " yes" is 4 tokens, the last of which is only predicted: 8 + 4 - 1 just fits.
    assert [item.too_long for item in ask.items] == [None, None, None, "needs 12 tokens, the model's context is 11"]
    assert ask.requests[3] == ()
    assert sorted(index for chunk in ask.chunks for index in chunk) == [0, 1, 2, 3]
    failed = ask.score(3, ()).metrics
    assert set(failed) == {"acc", "acc_norm"}
    assert all(isinstance(each, Failed) and each.stage == "too_long" for each in failed.values())
    assert len(ask.requests[0][0].continuations) == 2
    # A reply of up to 4 tokens needs its room too.
    assert [item.too_long is None for item in say.items] == [True, True, False, False]


def test_a_task_of_which_nothing_fits_is_an_error(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Nothing can be judged, so it is said before any model loads."""
    write_rows("rows.jsonl", rows(3))
    with pytest.raises(SuiteError, match=r"tasks\.t: none of its 3 items fits the model: the first needs"):
        plans_of(suite_of({"t": {"generate": GENERATE}}), context_length=9)


def test_problems_of_all_tasks_are_told_at_once(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """One error with one line per broken task."""
    write_rows("rows.jsonl", rows(3))
    bad = {"a": {"choice": {**CHOICE, "data": "none.jsonl"}}, "b": {"generate": {**GENERATE, "prompt": "{{nope}}"}}}
    with pytest.raises(SuiteError) as caught:
        plans_of(suite_of(bad))
    assert [problem.key for problem in caught.value.problems] == ["tasks.a.choice.data", "tasks.b.generate.prompt"]


def test_a_gate_on_a_metric_the_task_has_not_is_an_error(suite_of: LoadSuite, tmp_path: Path) -> None:
    """lm-eval's metrics are known once the task is loaded: then the gates are held against them, before the run."""
    (tmp_path / "rows.jsonl").write_text('{"q": "a", "a": 0}\n')
    (tmp_path / "task.yaml").write_text(
        "task: local\ndataset_path: json\ntest_split: test\noutput_type: multiple_choice\n"
        f"dataset_kwargs: {{cache_dir: {tmp_path}/cache, data_files: {{test: {tmp_path}/rows.jsonl}}}}\n"
        "doc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\ndoc_to_choice: ['yes', 'no']\n"
    )
    gates = [{"task": "t", "metric": "acc_normed", "max_drop": 0.02}, {"task": "t", "metric": "acc", "max_drop": 0.02}]
    with pytest.raises(SuiteError) as caught:
        plans_of(suite_of({"t": {"lm_eval": "task.yaml"}}, gates=gates))
    (problem,) = caught.value.problems
    assert problem.key == "gates[0].metric"
    assert "t has no metric 'acc_normed', did you mean acc_norm?; expected one of acc, acc_norm" in problem.message


def test_texts_for_checking_another_tokenizer(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Every distinct text that was encoded, with its ids, so that a variant's own tokenizer can be held against it."""
    write_rows("rows.jsonl", [{"text": "same", "label": "yes", "n": n} for n in range(3)])
    for plan in plans_of(suite_of({"t": {"choice": CHOICE}, "u": {"generate": GENERATE}})):
        texts = plan_texts(plan)
        expected = {"same yes", "same no"} if plan.kind == "choice" else {"same"}
        assert {each.text for each in texts} == expected
        assert len(texts) == len(expected)
        for each in texts:
            encoded = ScriptedTokenizer().encode(each.text, add_special_tokens=each.add_special_tokens)
            assert each.ids == encoded
