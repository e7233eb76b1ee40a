"""Host, tasks, and what each variant ran on."""

from __future__ import annotations

from harness.notation import NONE, byte_size, duration, significant
from harness.records.evaluation_manifest import EngineFacts, ImportFacts, batch_words
from harness.records.verdict import TaskFacts, Verdict
from harness.reports import wording
from harness.reports.blocks import Facts, Panels, Section

Pairs = list[tuple[str, str]]


def section(verdict: Verdict) -> Section:
    """A panel each; what is not known is left out."""
    panels = [_facts("Host", _host(verdict)), _facts("Tasks", [(task.task, _task(task)) for task in verdict.tasks])]
    for name, candidate in wording.sides(verdict):
        if candidate is None:
            panels.append(_facts(name, _engine(verdict.baseline_facts)))
            if verdict.base is not None and verdict.base.facts is not None:
                panels.append(_facts("base model", _engine(verdict.base.facts)))
            continue
        made = [
            ("quantization", candidate.quantization),
            ("made", candidate.made or ""),
            ("environment", candidate.environment or ""),
        ]
        panels.append(_facts(name, [*made, *_engine(candidate.facts)]))
    return Section(name="environment", title="Environment", blocks=(Panels(panels=tuple(panels)),))


def _facts(title: str, pairs: Pairs) -> Facts:
    return Facts(title, pairs=tuple(pair for pair in pairs if pair[1]))


def _host(verdict: Verdict) -> Pairs:
    host = verdict.host
    return [
        ("processor", f"{host.processor}, {host.cores} cores"),
        ("memory", byte_size(host.memory_bytes)),
        ("accelerators", ", ".join(host.accelerators) or "none"),
        ("system", f"{host.system}, {host.machine}"),
        ("python", host.python),
        ("quantgate", verdict.quantgate),
        ("host fingerprint", host.fingerprint),
    ]


def _task(task: TaskFacts) -> str:
    too_long = f", {task.too_long:,} too long to ask" if task.too_long else ""
    notes = "".join(f"; note: {note}" for note in task.notes)
    tokens = f", {task.tokens:,} tokens" if task.tokens else ""  # imported results do not say how many
    return f"{task.kind}, {task.items:,} items{tokens}{too_long}; {task.source}{notes}"


def _engine(facts: EngineFacts | None) -> Pairs:
    if facts is None:
        return [("engine", NONE)]
    if facts.imported is not None:
        return _imported(facts.imported, facts.notes)
    sizes = [NONE if size is None else byte_size(size) for size in (facts.weight_bytes, facts.disk_bytes)]
    return [
        ("engine", f"{facts.engine}, {facts.scoring_path} scoring"),
        ("architecture", f"{facts.architecture} ({facts.model_type})"),
        ("parameters", f"{facts.parameters:,}"),
        ("dtype", facts.dtype),
        ("device", ", ".join([facts.device, *facts.device_names])),
        ("quantized modules", f"{facts.quantized_modules:,} of {facts.linear_modules:,} linear"),
        ("kinds", ", ".join(f"{amount:,} {kind}" for kind, amount in sorted(facts.quantized_kinds.items()))),
        ("dequantised", facts.dequantised or ""),
        ("bits per weight", NONE if facts.bits_per_weight is None else significant(facts.bits_per_weight, 3)),
        ("resident weights", sizes[0]),
        ("on disk", sizes[1]),
        ("kernels", ", ".join(facts.kernels)),
        ("vocabulary", f"{facts.vocabulary:,}"),
        ("context", NONE if facts.context_length is None else f"{facts.context_length:,} tokens"),
        ("batches", _batches(facts)),
        ("loaded in", duration(facts.load_s)),
        ("weights digest", (facts.weights_digest or "")[:16]),
        ("not finite", ", ".join(facts.non_finite)),
        ("versions", ", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items()))),
        *(("note", note) for note in facts.notes),
    ]


def _imported(imported: ImportFacts, notes: tuple[str, ...]) -> Pairs:
    """What the files say; nothing of it was seen here."""
    return [
        ("results", f"imported, computed by {imported.library} {imported.version}".strip()),
        ("model", f"{imported.model} (as the files say)"),
        *imported.noted.items(),
        *(("file", f"{name}, SHA-256 {digest[:16]}") for name, digest in imported.files.items()),
        *(("note", note) for note in notes),
    ]


def _batches(facts: EngineFacts) -> str:
    """Batch limits, of engines that have them."""
    if facts.pass_tokens is None or facts.cache_tokens is None or facts.memory_budget is None:
        return ""
    return batch_words(facts.pass_tokens, facts.cache_tokens, facts.memory_budget)
