"""Tasks as people write them: the questions for every variant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.metrics.answers import EXACT_MATCH
from harness.suite.values import Names, Spec

MOST_REPEATS = 1024


class Choice(Spec):
    """Multiple choice over a local file: the option with the highest log-likelihood is the answer."""

    data: str
    """JSONL, JSON, CSV, TSV (each also with .gz) or Parquet, relative to the suite."""
    prompt: str | None = None
    """Jinja template over the row's fields."""
    messages: str | None = None
    """Instead of `prompt`: a field (`"{{messages}}"`) with chat messages, rendered with the chat template."""
    choices: str | Names
    """Fixed options, or a template that names the field which holds them (`"{{options}}"`)."""
    answer: str | int
    """Template giving the right option's text or its zero-based index."""
    answer_is: Literal["text", "index"] | None = None
    """Whether `answer` is a text or an index; if left out, the one that fits every row. Required where both fit but
    differ."""
    delimiter: str = " "
    """Between prompt and option."""
    few_shot: str | None = None
    """File with worked examples of the same shape; `num_few_shot` of them precede every prompt."""
    num_few_shot: Annotated[int, Field(ge=0)] = 0


class Sampling(Spec):
    """How answers are drawn, by transformers' rules in their order: temperature, top_k, top_p, min_p."""

    temperature: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """From the likeliest tokens that together have this probability; 1 from all."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """From so many of the likeliest tokens; 0 from all."""
    min_p: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """From the tokens that have this share of the likeliest one's probability."""


Repeats = Annotated[int, Field(ge=1, le=MOST_REPEATS)]


class Generate(Spec):
    """Generation over a local file, greedy or sampled, scored against a reference answer. Without one, and without a
    metric that needs none, a candidate's answers are compared with the baseline's alone."""

    data: str
    prompt: str | None = None
    messages: str | None = None
    answer: str | None = None
    """Template of the reference, or the field (`"{{aliases}}"`) with a list of accepted answers. Needed unless every
    metric does without."""
    metric: str | Names = EXACT_MATCH.name
    """Of quantgate's, `metrics.py:score` for a function of your own, or `lm_eval:NAME` and `evaluate:NAME`; of several
    answers also pass@k and maj@k, of the first metric before them. Where neither `metric` nor `answer` is given there
    is none."""
    schema_file: Annotated[
        str | None, Field(alias="schema", description="JSON Schema file, relative to the suite, for `json_schema`.")
    ] = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    until: Names = ()
    ignore_case: bool = False
    ignore_punctuation: bool = False
    regex: str | None = None
    """Take the first match of this pattern (its first group when it has one) as the answer."""
    repeats: Repeats = 1
    """Answers to each item, drawn apart; needs `sampling`. An item's score is their mean."""
    sampling: Sampling | None = None
    """Draws answers instead of taking the likeliest token each time."""
    few_shot: str | None = None
    num_few_shot: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _without_reference(cls, given: object) -> object:
        """Nothing is scored where nothing says how: said once here, so that a suite that is written out says it too."""
        if isinstance(given, dict) and given.get("answer") is None and "metric" not in given:
            return {**given, "metric": ()}
        return given


class Perplexity(Spec):
    """Perplexity and divergence from the baseline over documents."""

    data: str
    field: str = "text"
    window: Annotated[int, Field(ge=2)] = 1024
    stride: Annotated[int, Field(ge=1)] | None = None
    """Tokens scored per window after the first; the window itself when left out (no overlap)."""
    divergence: bool = True


KINDS = ("choice", "generate", "perplexity", "lm_eval", "imported")


class Task(Spec):
    """The questions for every variant. Exactly one of choice, generate, perplexity, lm_eval, imported."""

    choice: Choice | None = None
    generate: Generate | None = None
    perplexity: Perplexity | None = None
    lm_eval: str | None = None
    """Name of an lm-eval task, or the path of an lm-eval YAML (relative to the suite)."""
    imported: Annotated[str | None, Field(exclude_if=lambda imported: imported is None)] = None
    """Name of the task in the imported files, where every variant is imported."""
    num_few_shot: Annotated[int, Field(ge=0)] | None = None
    """lm_eval only: overrides the task's own number of examples."""
    apply_chat_template: bool = False
    """lm_eval only: wrap prompts in the model's chat template."""
    repeats: Repeats | None = None
    """lm_eval only: answers to each item, instead of the task's own number."""
    sampling: Sampling | None = None
    """lm_eval only: how answers are drawn, instead of the task's own generation_kwargs."""
    metric: str | Names = ()
    """lm_eval only: pass@k and maj@k, beside the task's own metrics."""
    id: str | None = None
    """Field with the item's own id; if left out, an item is identified by its content."""
    slice_by: Names = ()
    cluster_by: str | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    """A seeded sample of this many items, the same for every variant."""
    reference_in_prompt: bool = False
    """The reference may occur in its own prompt, as in copying or extracting; otherwise that makes the task INVALID."""

    @model_validator(mode="after")
    def _one_kind(self) -> Task:
        kinds = [k for k in KINDS if getattr(self, k) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"expected exactly one of {', '.join(KINDS)}, "
                + (f"got {' and '.join(kinds)}" if kinds else "got none")
            )
        if self.lm_eval is None and (self.num_few_shot is not None or self.apply_chat_template):
            raise ValueError("num_few_shot and apply_chat_template at this level belong to lm_eval")
        if self.lm_eval is None and (self.repeats is not None or self.sampling is not None or self.metric):
            raise ValueError(
                "repeats, sampling and metric at this level belong to lm_eval; a generate task has them in its block"
            )
        return self

    @property
    def kind(self) -> Literal["choice", "generate", "perplexity", "lm_eval", "imported"]:
        if self.imported is not None:
            return "imported"
        if self.choice is not None:
            return "choice"
        if self.generate is not None:
            return "generate"
        return "perplexity" if self.perplexity is not None else "lm_eval"
