"""Whether prompts depend on the clock: a chat template may write today's date into all of them (Llama 3, Granite).

Such prompts are different items on another day, so that runs of two days cannot be paired. Detected by rendering a
prompt at two simulated times; it is reported, and the prompt stays as the template renders it. A task's own code cannot
be given another time: its prompt is built twice, which detects a fine clock, system randomness or a counter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.planning.around_tokenizer import AroundTokenizer
from harness.planning.lm_eval.lm_eval_tasks import lm_evals_seeds
from harness.planning.prompts.short_forms import Docs
from harness.planning.tokens import Tokenizer


class Watching(AroundTokenizer):
    """Notices when what the chat template makes is not the same at two times."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self.by_the_clock = False
        """Whether a prompt seen so far depends on the clock."""

    def chat(self, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool = True) -> str:
        text = super().chat(messages, add_generation_prompt=add_generation_prompt)
        self.by_the_clock = self.by_the_clock or self.moves(messages, add_generation_prompt=add_generation_prompt)
        return text


def unsteady(docs: Docs, position: int) -> bool:
    """Whether a task's code builds a different prompt the second time."""
    code = getattr(getattr(docs.task, "config", None), "doc_to_text", None)
    if not callable(code):
        return False
    texts = []
    for _ in range(2):
        with lm_evals_seeds():
            texts.append(code(docs.docs[position]))
    return bool(texts[0] != texts[1])
