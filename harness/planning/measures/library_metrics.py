"""`metric: lm_eval:NAME` and `metric: evaluate:NAME`: metrics that another library knows by name, answer by answer.

A metric of `evaluate` is Python that the library loads from a folder or fetches from the Hugging Face Hub, so it runs
only where the suite allows it. Which way is better is not declared there: it is known for the common ones, and the
suite says it for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.datafiles.rows import file_hash, problem
from harness.metrics.sums import WHOLE_IN_LM_EVAL
from harness.planning.measures.answered import Answered, Measures, ScoreError
from harness.planning.measures.scored import Scored, raised
from harness.planning.ties import number
from harness.suite.load import LoadedSuite
from harness.suite.locations import resolve_file
from harness.suite.metric_names import LibraryMetric
from harness.suite.names import nearest

LOWER = frozenset(("wer", "cer", "ter", "mse", "mae", "mape", "smape", "perplexity", "character"))
HIGHER = frozenset(
    (
        "exact_match",
        "bleu",
        "sacrebleu",
        "google_bleu",
        "rouge",
        "meteor",
        "chrf",
        "bertscore",
        "f1",
        "accuracy",
        "squad",
    )
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A library's metric, ready to be called."""

    function: Callable[..., object]
    """Of answer, references and row."""
    lower: bool
    facts: Mapping[str, object]


def library_measures(loaded: LoadedSuite, asked: LibraryMetric, first: Answered, key: str) -> Measures:
    """One metric, or one for each number that the library gives. Raises `SuiteError`."""
    found = _of_lm_eval(loaded, asked, key) if asked.library == "lm_eval" else _of_evaluate(loaded, asked, key)
    scored = Scored(shown=asked.written, function=found.function)
    try:
        numbers = scored(first)
    except ScoreError as error:
        raise problem(loaded.shown, key, f"{error}, on the first item with its reference as the answer") from error
    one = len(numbers) == 1
    names = {part: asked.written if one or part is None else f"{asked.written}.{part}" for part in numbers}
    return Measures(
        by_name={name: scored.measure(part) for part, name in names.items()},
        lower_is_better=frozenset(names.values()) if found.lower else frozenset(),
        facts=found.facts,
    )


def _of_lm_eval(loaded: LoadedSuite, asked: LibraryMetric, key: str) -> Found:
    """A metric of lm-eval's registry that it averages over items."""
    from lm_eval.api.metrics import mean  # which registers them
    from lm_eval.api.registry import METRIC_REGISTRY, get_metric_aggregation, is_higher_better

    known = tuple(METRIC_REGISTRY)
    if asked.name not in known:
        says = f"lm-eval has no metric {asked.name!r}{nearest(asked.name, known)}; it has {', '.join(sorted(known))}"
        raise problem(loaded.shown, key, says)
    if get_metric_aggregation(asked.name) is not mean:
        own = f": write metric: {asked.name}" if asked.name in WHOLE_IN_LM_EVAL else ""
        says = f"{asked.name} is no mean over items in lm-eval, so that no answer has a value of its own{own}"
        raise problem(loaded.shown, key, says)
    metric: Any = METRIC_REGISTRY.get(asked.name)
    lower = asked.better == "lower" if asked.better else is_higher_better(asked.name) is False

    def function(answer: str, references: Sequence[str], _: Mapping[str, object]) -> object:
        found = [_numbers_of(_call(metric, answer, reference)) for reference in references]
        return _best(found, lower=lower)

    return Found(function=function, lower=lower, facts={asked.written: f"lm_eval {version('lm_eval')}"})


def _call(metric: Any, answer: str, reference: str) -> object:
    """As lm-eval calls a metric for one generated answer."""
    try:
        return metric(references=[reference], predictions=[answer])
    except TypeError:
        return metric([reference, answer])


def _of_evaluate(loaded: LoadedSuite, asked: LibraryMetric, key: str) -> Found:
    """A metric of `evaluate`, by name or from a folder beside the suite. Raises `SuiteError`."""
    short = Path(asked.name).name.removesuffix(".py")
    if asked.better is None and short not in LOWER | HIGHER:
        says = f"{asked.name}: evaluate does not say which way is better; write {asked.written}:higher or :lower"
        raise problem(loaded.shown, key, says)
    try:
        import evaluate
    except ImportError as error:
        says = f"{asked.written} needs the package evaluate ({error}): pip install evaluate"
        raise problem(loaded.shown, key, says) from error
    local = resolve_file(loaded, asked.name)
    place = str(local) if local.exists() else asked.name
    try:
        metric: Any = evaluate.load(place)
    except Exception as error:  # it fetches and runs somebody's Python
        raise problem(loaded.shown, key, f"evaluate could not load {asked.name}: {raised(error)}") from error
    lower = asked.better == "lower" if asked.better else short in LOWER
    several = _takes_several(metric)

    def function(answer: str, references: Sequence[str], _: Mapping[str, object]) -> object:
        if several:
            return _numbers_of(metric.compute(predictions=[answer], references=[list(references)]))
        found = [_numbers_of(metric.compute(predictions=[answer], references=[each])) for each in references]
        return _best(found, lower=lower)

    facts = {asked.written: f"evaluate {version('evaluate')}", "metric": _code(metric)}
    return Found(function=function, lower=lower, facts=facts)


def _takes_several(metric: Any) -> bool:
    """Whether it takes a list of references for each answer."""
    features = metric.features if isinstance(metric.features, list) else [metric.features]
    return any(hasattr(each.get("references"), "feature") for each in features)


def _code(metric: Any) -> str:
    """Hash of the Python that scores, wherever it was loaded from."""
    import sys

    file = getattr(sys.modules.get(type(metric).__module__), "__file__", None)
    return file_hash(Path(file)) if isinstance(file, str) and Path(file).is_file() else ""


def _numbers_of(found: object) -> dict[str, float] | object:
    """Of a mapping the numbers; a list of one value, as some metrics give for one answer, is its value."""
    if not isinstance(found, Mapping):
        return found
    plain = {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in found.items()}
    numbers = {str(name): one for name, value in plain.items() if (one := number(value)) is not None}
    return numbers or found


def _best(found: Sequence[object], *, lower: bool) -> object:
    """The best over the references, number by number."""
    if not found:
        raise ValueError("there is no reference to compare with; the task needs answer")
    best = min if lower else max
    if all(isinstance(each, Mapping) for each in found):
        tables = [each for each in found if isinstance(each, Mapping)]
        return {name: best(each[name] for each in tables) for name in tables[0]}
    return best(each for each in found if isinstance(each, int | float)) if len(found) > 1 else found[0]
