"""Plans every task of a suite. Owns which planner makes which kind of task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from harness.datafiles.rows import problem
from harness.engines.decoding import Decoding
from harness.errors import Problem, SuiteError
from harness.metrics.table import known_metrics
from harness.planning.clock_dependence import Watching
from harness.planning.item_tasks import plan_item_task
from harness.planning.lm_eval.lm_eval_tasks import lm_eval_docs
from harness.planning.lm_eval.rolling_documents import plan_rolling_documents
from harness.planning.perplexity import plan_perplexity
from harness.planning.prompts.short_forms import Docs, choice_docs, generate_docs
from harness.planning.task_input import TaskInput
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import Tokenizer
from harness.suite.load import LoadedSuite
from harness.suite.names import nearest


def plan_suite(
    loaded: LoadedSuite,
    tokenizer: Tokenizer,
    *,
    context_length: int | None,
    limit: int | None = None,
    tasks: Collection[str] | None = None,
    decoding: Decoding | None = None,
) -> tuple[TaskPlan, ...]:
    """Plan every task of a suite (or only `tasks`), its answers under the rules of `decoding`.

    Raises `SuiteError` with every problem of every data file.
    """
    plans: list[TaskPlan] = []
    problems: list[Problem] = []
    for name, task in loaded.suite.tasks.items():
        if tasks is not None and name not in tasks:
            continue
        least = min((count for count in (task.limit, limit) if count is not None), default=None)
        asked = TaskInput(
            loaded=loaded,
            name=name,
            task=task,
            tokenizer=tokenizer,
            context_length=context_length,
            limit=least,
            decoding=decoding,
        )
        try:
            plans.append(plan_task(asked))
        except SuiteError as error:
            problems.extend(error.problems)
    problems.extend(_unknown_metrics(loaded, plans))
    if problems:
        raise SuiteError(tuple(problems))
    return tuple(plans)


def plan_task(asked: TaskInput) -> TaskPlan:
    """One task by the planner of its kind. Raises `SuiteError`."""
    if asked.task.kind == "perplexity":
        return plan_perplexity(asked)
    watching = Watching(asked.tokenizer)
    docs = _docs(asked, watching)
    if docs.task.OUTPUT_TYPE == "loglikelihood_rolling":
        if asked.task.repeats is not None or asked.task.sampling is not None or asked.task.metric:
            says = "repeats, sampling and pass@k are for generated answers, and this task scores documents"
            raise problem(asked.loaded.shown, f"tasks.{asked.name}", says)
        return plan_rolling_documents(asked, docs)
    return plan_item_task(asked, docs, watching)


def _docs(asked: TaskInput, tokenizer: Tokenizer) -> Docs:
    loaded, name, task = asked.loaded, asked.name, asked.task
    if task.choice is not None:
        return choice_docs(loaded, name, task.choice, task.id, tokenizer)
    if task.generate is not None:
        return generate_docs(loaded, name, task.generate, task.id, tokenizer)
    return lm_eval_docs(loaded, name, task)


def _unknown_metrics(loaded: LoadedSuite, plans: Sequence[TaskPlan]) -> Iterator[Problem]:
    """Gates on a metric that their task does not have: known for an lm-eval task only once it is loaded."""
    by_name = {plan.name: plan for plan in plans}
    for index, gate in enumerate(loaded.suite.gates):
        for task in gate.weights or (gate.task or "",):
            plan = by_name.get(task)
            if plan is None:
                continue
            known = known_metrics(plan.kind, (*plan.metrics, *plan.whole))
            if gate.metric not in known:
                near = nearest(gate.metric, known)
                message = f"{plan.name} has no metric {gate.metric!r}{near}; expected one of {', '.join(known)}"
                yield Problem(place=loaded.shown, key=f"gates[{index}].metric", message=message)
