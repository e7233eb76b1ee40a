"""Sampled answers, and several of them to one item: the requests, and what is computed over the answers.

Owns where a task's sampling and repeats come from (the suite has the last word over lm-eval's task), and the seeds. An
answer's seed is a hash of the suite's seed, the item, its prompt and the number of the repeat, and of nothing else: so
every variant draws with the same random numbers, in whatever batches, and the first of eight answers is the one of a
single answer. Greedy requests add nothing to a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from harness.datafiles.rows import problem
from harness.engines.protocol import GenerateRequest
from harness.metrics.repeats import most_frequent, over_answers, pass_at
from harness.metrics.row import OverAnswers
from harness.planning.requests import SAMPLING, ItemRequests
from harness.planning.task_plan import Request
from harness.suite.load import LoadedSuite
from harness.suite.several_answers import EXAMPLE
from harness.suite.task_model import Sampling, Task

SAMPLER = "philox-gumbel-1"
"""Code of the random numbers and of how tokens are drawn with them; a change of either gives it the next number."""


@dataclass(frozen=True, kw_only=True)
class Several:
    """How a task is asked: how many answers to an item, and which metrics look at all of them."""

    repeats: int
    metrics: tuple[str, ...]
    """Names of pass@k and maj@k."""
    sampling: Sampling | None
    """Of the suite; None leaves it to an lm-eval task's own settings."""


def several_of(task: Task, lm_evals: Any) -> Several:
    """From the suite, and where that says nothing from lm-eval's task."""
    if task.generate is not None:
        names = task.generate.metric
        repeats, sampling = task.generate.repeats, task.generate.sampling
    else:
        own = int(getattr(lm_evals.config, "repeats", 1) or 1)
        names, sampling = task.metric, task.sampling
        repeats = task.repeats if task.repeats is not None else own
    listed = (names,) if isinstance(names, str) else names
    metrics = tuple(name for name in listed if over_answers(name) is not None)
    return Several(repeats=repeats, metrics=metrics, sampling=sampling)


def drawn(loaded: LoadedSuite, name: str, asked: ItemRequests, several: Several) -> ItemRequests:
    """The document's requests as they are sampled. Raises `SuiteError` for settings that none can have, and for several
    answers that would all be equal."""
    texts = [each for each in asked.requests if isinstance(each, GenerateRequest)]
    key = f"tasks.{name}"
    if not texts:
        if several.repeats > 1 or several.sampling is not None or several.metrics:
            raise problem(loaded.shown, key, "only generated answers can be sampled, and this task scores options")
        return asked
    if several.sampling is not None:
        changed = [replace(each, **several.sampling.model_dump()) for each in texts]
    else:
        changed = [_checked(loaded, key, each) for each in texts]
    if several.repeats > 1 and len(changed) > 1:
        raise problem(loaded.shown, key, f"asks {len(changed)} prompts an item; only one can be asked several times")
    if several.repeats > 1 and changed[0].temperature <= 0:
        says = (
            f"asks every item {several.repeats} times and takes the likeliest token each time, so that all its answers "
            f"are equal: add {EXAMPLE} to the task, or repeats: 1"
        )
        raise problem(loaded.shown, key, says)
    return replace(asked, requests=tuple(changed))


def _checked(loaded: LoadedSuite, key: str, request: GenerateRequest) -> GenerateRequest:
    """A request with the task's own settings, in the types and the ranges that the suite's have."""
    if request.temperature == 0:
        return request
    own = {name: getattr(request, name) for name in SAMPLING}
    try:
        return replace(request, **Sampling.model_validate(own, strict=False).model_dump())
    except ValidationError as error:
        found = error.errors()[0]
        says = f"generation_kwargs: {found['loc'][0]}: {found['msg'].lower()}, got {found['input']!r}"
        raise problem(loaded.shown, f"{key}.lm_eval", f"{says}; set sampling: at the task") from error


def asked_several_times(requests: Sequence[Request], several: Several, *, seed: int, item: str) -> tuple[Request, ...]:
    """An item's requests, sampled ones with the seed of each repeat."""
    found: list[Request] = []
    for request in requests:
        if not isinstance(request, GenerateRequest) or request.temperature <= 0:
            found.append(request)
            continue
        found += [
            replace(request, seed=seed_of(seed, item, request.prompt, repeat)) for repeat in range(several.repeats)
        ]
    return tuple(found)


def seed_of(seed: int, item: str, prompt: Sequence[int], repeat: int) -> int:
    """63 bits."""
    text = f"{seed}/{item}/{repeat}/{' '.join(map(str, prompt))}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def sampling_facts(requests: Sequence[Request], several: Several, seed: int) -> Mapping[str, object]:
    """What sampling adds to the settings of a task; nothing for greedy answers."""
    sampled = next((each for each in requests if isinstance(each, GenerateRequest) and each.temperature > 0), None)
    if sampled is None:
        return {}
    settings = {name: getattr(sampled, name) for name in SAMPLING}
    return {"sampling": {**settings, "repeats": several.repeats, "seed": seed, "sampler": SAMPLER}}


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One of several answers: its metrics, and the answer that was taken from the text, by filter."""

    values: Mapping[str, object]
    said: Mapping[str, str]
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Metric to why it is 0."""


def over_attempts(name: str, base: str, attempts: Sequence[Attempt]) -> float | None:
    """pass@k or maj@k over what the metric `base` says of each attempt; None where that is neither right nor wrong."""
    row = over_answers(name)
    assert row is not None
    assert isinstance(row.computed, OverAnswers)
    values = [each.values.get(base) for each in attempts]
    if any(value not in (0, 1) for value in values):
        return None
    right = [value == 1 for value in values]
    if row.computed.way == "pass":
        return pass_at(row.computed.k, len(right), sum(right))
    suffix = base.partition(",")[2]
    return float(right[most_frequent([each.said[suffix] for each in attempts[: row.computed.k]])])


def base_of(name: str, metrics: Sequence[str]) -> str | None:
    """The metric that pass@k or maj@k counts: the first one, or the first of its filter."""
    suffix = name.partition(",")[2]
    return next((each for each in metrics if not suffix or each.partition(",")[2] == suffix), None)
