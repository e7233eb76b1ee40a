"""Rules for suites whose results are imported: every variant is, and no key says how something would be run."""

from __future__ import annotations

from collections.abc import Iterator

from harness.suite.models import Suite

Found = Iterator[tuple[tuple[str | int, ...], str]]
OF_VARIANT = frozenset({"baseline", "imported"})
OF_SUITE = frozenset({"suite", "alpha", "variants", "tasks", "gates", "waivers"})
OF_TASK = frozenset({"imported", "slice_by", "cluster_by"})
"""The keys that mean something where nothing is run."""


def import_problems(suite: Suite) -> Found:
    """What contradicts an import, or is imported where the rest is run, as (location, message)."""
    imported = [name for name, variant in suite.variants.items() if variant.imported is not None]
    if imported:
        yield from _variants(suite, imported[0])
        yield from _keys(suite)
        yield from _tasks(suite)
        return
    for name, task in suite.tasks.items():
        if task.imported is not None:
            yield ("tasks", name, "imported"), "goes with variants that are imported, and none of this suite is"


def _variants(suite: Suite, imported: str) -> Found:
    for name, variant in suite.variants.items():
        if variant.imported is None:
            says = f"{imported} is imported, so every variant has to be; give it an import, or leave it out"
            yield ("variants", name), says
            continue
        for key in sorted(variant.model_fields_set - OF_VARIANT):
            yield ("variants", name, key), "says how a model is loaded, and an imported variant was run elsewhere"


def _keys(suite: Suite) -> Found:
    for key in sorted(suite.model_fields_set - OF_SUITE):
        if getattr(suite, key):
            yield (key,), "says how models are run, and the results of this suite are imported"


def _tasks(suite: Suite) -> Found:
    for name, task in suite.tasks.items():
        for key in sorted(task.model_fields_set - OF_TASK):
            says = "the results are imported: write imported: NAME, with slice_by and cluster_by where you want them"
            yield ("tasks", name, key), says
