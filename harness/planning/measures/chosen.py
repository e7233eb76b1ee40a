"""The metrics that a `generate` task asks for, wherever they come from, in the order asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from harness.datafiles.rows import problem
from harness.metrics.corpus import COMPANIONS
from harness.metrics.row import AgainstSchema, OfTexts, TextScore
from harness.metrics.table import METRICS, computed_by
from harness.planning.measures.answered import Answered, Measure, Measures
from harness.planning.measures.best_reference import best_reference, library_versions
from harness.planning.measures.json_schema import json_schema
from harness.planning.measures.library_metrics import library_measures
from harness.planning.measures.python_file import python_measures
from harness.planning.prompts.answers import strictness_of
from harness.suite.load import LoadedSuite
from harness.suite.metric_names import PythonMetric, elsewhere
from harness.suite.task_model import Generate


def chosen_measures(loaded: LoadedSuite, spec: Generate, names: Sequence[str], first: Answered, key: str) -> Measures:
    """`first`: the first item with its reference as the answer. Raises `SuiteError` for a metric that does not fit."""
    by_name: dict[str, Measure] = {}
    lower: set[str] = set()
    facts: dict[str, object] = {}
    whole: list[str] = []
    strictness, texts = strictness_of(spec), computed_by(TextScore)
    for name in names:
        asked = elsewhere(name)
        if asked is not None:
            where = f"{key}.metric"
            if isinstance(asked, PythonMetric):
                found = python_measures(loaded, asked, first, where)
            else:
                found = library_measures(loaded, asked, first, where)
            for twice in by_name.keys() & found.by_name.keys():
                raise problem(loaded.shown, f"{key}.metric", f"two metrics are called {twice}; rename a function")
            by_name |= found.by_name
            lower |= found.lower_is_better
            facts |= found.facts
        elif name in texts:
            by_name[name] = best_reference(texts[name], strictness)
        elif name in METRICS and isinstance(METRICS[name].computed, AgainstSchema):
            by_name[name], schema = json_schema(loaded, spec.schema_file or "", f"{key}.schema")
            facts |= schema
        elif name in METRICS and isinstance(METRICS[name].computed, OfTexts):
            whole.append(name)
            beside = COMPANIONS[name]
            by_name.setdefault(beside, best_reference(texts[beside], strictness))
            facts["sacrebleu"] = version("sacrebleu")
        else:
            raise problem(loaded.shown, f"{key}.metric", f"expected a metric of answers, got {name!r}")
    versions = library_versions([texts[name] for name in names if name in texts])
    return Measures(
        by_name=by_name,
        lower_is_better=frozenset(lower),
        whole=tuple(whole),
        facts=facts | ({"libraries": dict(versions)} if versions else {}),
    )
