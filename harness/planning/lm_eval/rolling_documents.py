"""lm-eval's perplexity tasks (`loglikelihood_rolling`): its documents, in the bytes and words that the task counts."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

from harness.datafiles.rows import problem
from harness.metrics.row import Unit
from harness.metrics.table import counting
from harness.planning.lm_eval.lm_eval_tasks import first_cause
from harness.planning.perplexity import Document, count_words, plan_documents
from harness.planning.prompts.short_forms import Docs
from harness.planning.task_input import TaskInput
from harness.planning.task_plan import TaskPlan

PROBE = -1.0
"""A log-likelihood, to see how a task processes one."""
DEFAULT_WINDOW = 2048
"""For a model that does not say how long its context is."""


def plan_rolling_documents(given: TaskInput, docs: Docs) -> TaskPlan:
    """In windows as long as the model's context. Raises `SuiteError` for a document that cannot be asked."""
    window = given.context_length or DEFAULT_WINDOW
    documents = [_document(given.name, docs, position) for position in range(len(docs.docs))]
    source = f"lm-eval {given.task.lm_eval}"
    return plan_documents(given, documents, window=window, stride=window, source=source, divergence=True)


def _document(name: str, docs: Docs, position: int) -> Document:
    """lm-eval's text, in the units of the task: a detokenised corpus counts the bytes of the page it came from."""
    doc, place, key = docs.docs[position], docs.places[position], f"tasks.{name}"
    try:
        text = docs.task.doc_to_target(doc)
        measured = docs.task.process_results(doc, (PROBE,)) if isinstance(text, str) else {}
    except Exception as error:  # a task is somebody's templates and Python
        raise problem(place, key, f"lm-eval cannot build a request from this document: {first_cause(error)}") from error
    if not isinstance(text, str) or not text:
        raise problem(place, key, f"expected text to score, got {text!r:.60}")
    return Document(
        item=docs.ids[position],
        text=text,
        fields=docs.rows[position],
        place=place,
        bytes=counted(measured, "byte", len(text.encode())),
        words=counted(measured, "word", count_words(text)),
    )


def counted(measured: Mapping[str, object], per: Unit, own: int) -> int:
    """What the task counts of a document, beside its log-likelihood; `own` where it counts none."""
    for metric in counting(per):
        match measured.get(metric):
            case (float(likelihood), Integral() as size) if likelihood == PROBE and int(size) > 0:
                return int(size)
    return own
