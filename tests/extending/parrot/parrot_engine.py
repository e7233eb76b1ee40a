"""Answers as the scripted engine does, under a name of its own."""

from __future__ import annotations

from dataclasses import replace

from harness.engines.protocol import Facts, LoadSpec
from harness.engines.scripted import ScriptedEngine, tokenizer

__all__ = ["load", "tokenizer"]


def load(spec: LoadSpec) -> Parrot:
    return Parrot(spec)


class Parrot(ScriptedEngine):
    def facts(self) -> Facts:
        return replace(super().facts(), engine="parrot", model_type="parrot")
