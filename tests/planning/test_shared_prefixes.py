"""Beginnings that prompts share."""

from __future__ import annotations

import random

from harness.planning.shared_prefixes import SHORTEST, root_prefix_lengths, shared_prefix_lengths

EXAMPLES = tuple(range(1000, 1200))
"""As few-shot examples stand in front of every prompt."""


def own(seed: int, length: int = 20) -> tuple[int, ...]:
    source = random.Random(seed)
    return tuple(source.randrange(500) for _ in range(length))


def test_examples_in_front_of_every_prompt() -> None:
    """One head for all, whatever the order."""
    prompts = [(*EXAMPLES, *own(seed)) for seed in range(9)]
    assert shared_prefix_lengths(prompts) == [200] * 9
    assert shared_prefix_lengths(prompts[::-1]) == [200] * 9


def test_prompts_without_a_common_beginning() -> None:
    assert shared_prefix_lengths([own(seed) for seed in range(9)]) == [0] * 9
    assert shared_prefix_lengths([]) == []
    assert shared_prefix_lengths([own(1)]) == [0]


def test_a_short_beginning_is_not_worth_it() -> None:
    """`Question:` in front of everything."""
    begin = tuple(range(SHORTEST - 1))
    assert shared_prefix_lengths([(*begin, *own(seed)) for seed in range(9)]) == [0] * 9


def test_every_subject_has_its_own_examples() -> None:
    """A system prompt in front of all, then other examples for each subject: the longer head of each subject wins."""
    system = tuple(range(2000, 2030))
    subjects = [tuple(range(start, start + 300)) for start in (3000, 4000, 5000)]
    prompts = [(*system, *subject, *own(seed)) for seed in range(5) for subject in subjects]
    assert shared_prefix_lengths(prompts) == [330] * 15


def test_documents_behind_one_system_prompt() -> None:
    """The system prompt is what the documents' heads have in common; a head of its own has none."""
    system = tuple(range(2000, 2100))
    heads = [(*system, *range(start, start + 300)) for start in (3000, 4000, 5000)]
    prompts = [(*head, *own(seed)) for seed in range(5) for head in heads]
    assert shared_prefix_lengths(prompts) == [400] * 15
    assert root_prefix_lengths([*heads, heads[0], (), EXAMPLES]) == [100, 100, 100, 100, 0, 0]
    assert root_prefix_lengths([]) == []
    assert root_prefix_lengths([EXAMPLES, EXAMPLES]) == [0, 0]


def test_questions_about_one_document_and_single_ones() -> None:
    document = tuple(range(3000, 3400))
    prompts = [own(1), (*document, *own(2)), (*document, *own(3)), own(4)]
    assert shared_prefix_lengths(prompts) == [0, 400, 400, 0]


def test_a_head_leaves_every_prompt_a_token() -> None:
    """Equal prompts, and one that is the beginning of another."""
    assert shared_prefix_lengths([EXAMPLES, EXAMPLES]) == [199, 199]
    assert shared_prefix_lengths([EXAMPLES[:150], EXAMPLES, EXAMPLES]) == [149] * 3


def test_heads_are_common_beginnings() -> None:
    """Random prefix trees: what is called shared is shared with another prompt, and shorter than the prompt."""
    source = random.Random(7)
    for _ in range(50):
        prompts: list[tuple[int, ...]] = [own(source.randrange(100), source.randrange(1, 80))]
        for _ in range(30):
            base = source.choice(prompts)
            prompts.append((*base[: source.randrange(len(base) + 1)], *own(source.randrange(100), 30)))
        heads = shared_prefix_lengths(prompts)
        for index, (prompt, head) in enumerate(zip(prompts, heads, strict=True)):
            assert 0 <= head < len(prompt)
            others = [other for place, other in enumerate(prompts) if place != index]
            assert head == 0 or any(other[:head] == prompt[:head] for other in others)


def test_many_nested_prompts() -> None:
    """Each the beginning of the next: no recursion, no quadratic time."""
    prompts = [tuple(range(length)) for length in range(1, 1500)]
    assert len(shared_prefix_lengths(prompts)) == 1499
