"""How long a row may be before the fast ways stop being right for a model: attention windows, and rotary frequencies
that depend on how long the text is.

Both are read off the loaded model. Windows have many names in configurations; one that is named and not in use costs
speed and no correctness. Frequencies of the `longrope` kind are those of the short or of the long text, those of the
`dynamic` kind differ with every length beyond the original one; transformers takes them from the longest row of a
batch, so rows that need different ones must never meet. The right score is that of the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.engines.transformers.loading import core_of

WINDOW_NAMES = re.compile(
    r"(?!n_|num_|max_|use_)(?:\w+_)?windows?(?:_sizes?|_len|_length)?"
    r"|(?:\w+_)?(?:attention|attn)_chunk_(?:size|len|length)"
    r"|local_attention(?:_size)?"
)
"""Settings that say how far back a layer looks, or how long the pieces are in which it looks."""
EVERYWHERE = frozenset(("full_attention", "global"))
"""Kinds of layer that see everything."""
OWN_CODE = "transformers."
"""Models of transformers itself name their windows. Others are trusted as far as they were tried."""


@dataclass(frozen=True, kw_only=True)
class ContextLimits:
    """Limits of one model, in tokens of a row."""

    window: int | None = None
    """The shortest attention window or chunk of any layer; None where every layer sees everything."""
    original: int | None = None
    """Rows up to this long all have the same rotary frequencies; None where every row has them."""
    by_length: bool = False
    """Longer rows have frequencies of their own for every length, not one set for all of them."""
    tried: int | None = None
    """How far code that is not transformers' own was found right; None for transformers' own."""
    rotary: tuple[tuple[Any, str], ...] = ()
    """Modules, and prefixes of their fields, that remember the longest text they saw."""

    @classmethod
    def of(cls, model: Any) -> ContextLimits:
        core = core_of(model)
        config = core.config.get_text_config()
        kinds = [(module, prefix, kind) for module in core.modules() for prefix, kind in _rope_kinds(module)]
        changing = [(module, prefix, kind) for module, prefix, kind in kinds if kind == "longrope" or "dynamic" in kind]
        return cls(
            window=_window(config),
            original=min((_original(config, module, prefix) for module, prefix, _ in changing), default=None),
            by_length=any("dynamic" in kind for _, _, kind in changing),
            rotary=tuple((module, prefix) for module, prefix, kind in changing if "dynamic" in kind),
        )

    def as_tried(self, model: Any, tokens: int) -> ContextLimits:
        """The same after a trial with a row of so many tokens."""
        own = type(core_of(model)).__module__.startswith(OWN_CODE)
        return self if own else replace(self, tried=tokens)

    @property
    def shared(self) -> int | None:
        """Longest row that may share a pass, a cache or a batch with others in the fast ways; None for no limit."""
        return min((each for each in (self.window, self.original, self.tried) if each is not None), default=None)

    def within(self, tokens: int) -> bool:
        return self.shared is None or tokens <= self.shared

    def rope_group(self, tokens: int) -> int:
        """Rows of one group have the same rotary frequencies and may be in one batch."""
        if self.original is None or tokens <= self.original:
            return 0
        return tokens if self.by_length else 1

    def fresh(self) -> None:
        """Let no pass see frequencies that an earlier, longer text left behind."""
        for module, prefix in self.rotary:
            original = getattr(module, f"{prefix}original_inv_freq")
            setattr(module, f"{prefix}inv_freq", original.to(getattr(module, f"{prefix}inv_freq").device))
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)

    @property
    def notes(self) -> list[str]:
        """What is slower for it, and why."""
        notes = []
        slower = "go option by option, and their answers by transformers' own loop"
        if self.window is not None:
            notes.append(f"rows of more than {self.window} tokens {slower}: a layer's attention reaches no further")
        if self.original is not None:
            how = "with the text's length" if self.by_length else "there"
            apart = "one length at a time" if self.by_length else "apart from shorter ones"
            notes.append(f"rows of more than {self.original} tokens {slower}, {apart}: rotary frequencies change {how}")
        if self.tried is not None:
            notes.append(f"rows of more than {self.tried} tokens {slower}: the model's own code was tried up to there")
        return notes


def _window(config: Any) -> int | None:
    if (kinds := getattr(config, "layer_types", None)) and set(kinds) <= EVERYWHERE:
        return None
    named = {name: value for name, value in config.to_dict().items() if WINDOW_NAMES.fullmatch(name)}
    for own in getattr(type(config), "attribute_map", {}):
        if WINDOW_NAMES.fullmatch(own):
            named[own] = getattr(config, own, None)
    if getattr(config, "use_sliding_window", True) is False:
        named.pop("sliding_window", None)
    return min((size for value in named.values() for size in _sizes(value)), default=None)


def _sizes(value: Any) -> Iterator[int]:
    """Whole positive numbers in a setting, which may have one for each layer."""
    if isinstance(value, list | tuple):
        for each in value:
            yield from _sizes(each)
    elif isinstance(value, int) and not isinstance(value, bool) and value > 0:
        yield value


def _rope_kinds(module: Any) -> Iterator[tuple[str, str]]:
    """A rotary embedding's kinds, each with the prefix of its fields; nothing for any other module."""
    kind = module.__dict__.get("rope_type")
    if isinstance(kind, Mapping):
        yield from ((f"{layer}_", str(each)) for layer, each in kind.items())
    elif kind is not None:
        yield "", str(kind)


def _original(config: Any, module: Any, prefix: str) -> int:
    """Tokens up to which the frequencies of short texts hold, as `dynamic_rope_update` of transformers finds them."""
    own = getattr(module, "config", config)
    for source in (getattr(own, "rope_parameters", None), getattr(own, "rope_scaling", None)):
        layer = source.get(prefix.rstrip("_")) if isinstance(source, Mapping) and prefix else source
        if isinstance(layer, Mapping) and layer.get("rope_type", layer.get("type")) == "longrope":
            found = layer.get("original_max_position_embeddings")
            if found is not None:
                return int(found)
    named = getattr(own, "original_max_position_embeddings", None)
    kind = module.rope_type if not prefix else module.rope_type[prefix.rstrip("_")]
    return int(named) if named is not None and kind == "longrope" else int(module.original_max_seq_len)
