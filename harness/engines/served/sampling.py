"""Sampled answers of servers: the settings in each one's own words. The server draws, by its own random numbers.

Taken on trust: that a server follows what it is sent, in which order it applies it, and that a seed makes its answers
repeatable. A setting that a kind of server has no word for is refused by name. That all answers to a question are the
same, as from a server that takes no temperature, is seen when the answers are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.engines.protocol import GenerateRequest
from harness.errors import EngineError

SEEDS = 2**31
"""Servers keep a seed in 32 bits, some with a sign."""
NEUTRAL: Mapping[str, float] = {"top_p": 1.0, "top_k": 0, "min_p": 0.0}
"""The settings that leave every token in, with the value that does."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one kind of server takes."""

    server: str
    able: frozenset[str]
    """Of `NEUTRAL`."""
    seeded: bool = True
    every: int | None = 0
    """Its top_k for all tokens; None where it takes none and is sent none."""
    greedy: Mapping[str, object] = field(default_factory=lambda: {"temperature": 0})
    """What it is sent for the likeliest token."""
    more: Mapping[str, object] = field(default_factory=dict)
    """What it is also sent for a drawn one."""
    whole_top_p: bool = True
    """It takes a top_p of 1."""


ALL = frozenset(NEUTRAL)
OPENAI = Words(server="an OpenAI-style server", able=frozenset({"top_p"}), every=None)
VLLM = Words(server="vLLM", able=ALL)
LLAMACPP = Words(
    server="llama.cpp's server",
    able=ALL,
    more={"samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"]},  # it would take the temperature last
)
SGLANG = Words(server="SGLang", able=ALL, seeded=False, every=-1)
TGI = Words(
    server="TGI",
    able=frozenset({"top_p", "top_k"}),
    every=None,
    greedy={},
    more={"do_sample": True},
    whole_top_p=False,
)


def sampling(words: Words, request: GenerateRequest, root: str) -> dict[str, object]:
    """The settings of one request. Raises `EngineError` for one that the server has no word for."""
    if request.temperature <= 0:
        return dict(words.greedy)
    asked = {name: getattr(request, name) for name in NEUTRAL}
    unable = [name for name, value in asked.items() if value != NEUTRAL[name] and name not in words.able]
    if unable:
        told = ", ".join(f"{name} {asked[name]:g}" for name in unable)
        raise EngineError(
            f"{root}: the suite samples with {told}, which {words.server} does not take; its answers would be drawn "
            "from other tokens than the baseline's. Leave it out of sampling, or use another server"
        )
    found: dict[str, object] = {"temperature": request.temperature, **words.more}
    if request.top_p < 1 or words.whole_top_p:
        found["top_p"] = request.top_p
    if request.top_k > 0 or words.every is not None:
        found["top_k"] = request.top_k if request.top_k > 0 else words.every
    if "min_p" in words.able:
        found["min_p"] = request.min_p
    if words.seeded:
        found["seed"] = request.seed % SEEDS
    return found
