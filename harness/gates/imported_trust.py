"""What must be taken on trust where results were imported, and how the two sides' set-ups differ.

Never claims anything of weights, tokens, speed or memory: none of them was seen.
"""

from __future__ import annotations

from harness.records.evaluation_manifest import EngineFacts, ImportFacts
from harness.records.findings import Check


def is_imported(facts: EngineFacts | None) -> bool:
    return facts is not None and facts.imported is not None


def trust_check(imported: ImportFacts) -> Check:
    """A note for every imported variant: which model it is, is the word of its files."""
    by = f"{imported.library} {imported.version}".strip()
    says = (
        f"its results were computed elsewhere by {by} and imported: that they are {imported.model}'s, how it was "
        "quantized and how it was run is taken on trust; its weights were not seen, speed and memory not measured"
    )
    return Check(name="taken on trust", held=False, blocks=False, says=says)


def differing_set_up(own: ImportFacts, baseline: EngineFacts | None) -> tuple[Check, ...]:
    """A note on what may differ between the sides and does; none where nothing does."""
    other = None if baseline is None else baseline.imported
    differing = [] if other is None else _differing(own, other)
    says = f"what may differ between the sides does: {'; '.join(differing)}"
    return (Check(name="same set-up", held=False, blocks=False, says=says),) if differing else ()


def _differing(own: ImportFacts, other: ImportFacts) -> list[str]:
    pairs = [(own.library, f"{own.library} {own.version}", f"{other.library} {other.version}")]
    names = dict.fromkeys((*other.noted, *own.noted))
    pairs += [(name, own.noted.get(name, "nothing"), other.noted.get(name, "nothing")) for name in names]
    return [f"{name} {now:.120} against {then:.120}" for name, now, then in pairs if now != then]
