"""The key under which each evaluation of a run is stored: what determines it, and which attempt to use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.errors import RecordError
from harness.planning.identity import evaluation_key
from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import IDENTITY_SCHEMA, Identity
from harness.records.store import Store
from harness.runner.variants import RunVariant
from harness.samples.documents import divergence_field
from harness.suite.gate_model import Gate

NOTHING: Mapping[str, frozenset[str]] = {}

EARLIER = (
    "what was stored before is of a version that knew less of what decides an answer: its runs stay as they are, and "
    "their evaluations are computed again"
)


def is_of_earlier_version(store: Store, suite: str) -> bool:
    """Whether the newest run of a suite points at evaluations that this version no longer uses."""
    try:
        newest = store.run(suite, store.runs(suite)[-1].name)
        found = [store.evaluation(key) for key in newest.variants[newest.baseline].evaluations.values()]
    except (RecordError, IndexError, KeyError):
        return False
    return any(each is not None and each.identity.schema_version < IDENTITY_SCHEMA for each in found)


def _at(plain: Identity, attempt: str) -> Identity:
    return plain if plain.attempt == attempt else plain.model_copy(update={"attempt": attempt})


def fields_asked(gates: Iterable[Gate]) -> dict[str, frozenset[str]]:
    """Task to the fields of `DocumentScore` that gates on its divergence need."""
    found: dict[str, frozenset[str]] = {}
    for gate in gates:
        field = divergence_field(gate.metric)
        if gate.task is not None and field is not None:
            found[gate.task] = found.get(gate.task, frozenset()) | {field}
    return found


def lacking(store: Store, key: str, asked: frozenset[str]) -> bool:
    """Whether a whole evaluation has a divergence without what is asked, because an earlier version computed a part of
    it. Raises `RecordError` for damaged records."""
    if store.evaluation(key) is None:
        return False
    chunks = store.chunks(key)
    documents = (
        record.document
        for number, (_, payload) in enumerate(chunks.payloads(), start=1)
        for record in chunks.records(number, payload)
    )
    return any(
        document is not None and document.kl is not None and any(getattr(document, name) is None for name in asked)
        for document in documents
    )


class Keys:
    """The keys of one run. An evaluation that this run has begun keeps its key until the run ends."""

    def __init__(
        self, store: Store, tokenizer: str, run: str, *, fresh: bool, asked: Mapping[str, frozenset[str]] = NOTHING
    ) -> None:
        """`tokenizer`: identity of the plan's; `fresh`: nothing that earlier runs stored is used. `asked`: as
        `fields_asked` has them; a stored evaluation that lacks one is computed again."""
        self._store, self._tokenizer, self._run, self._fresh, self._asked = store, tokenizer, run, fresh, asked
        self._attempts: dict[str, str] = {}
        self._renewed: set[str] = set()
        self._lacking: dict[str, frozenset[str]] = {}

    def identity(self, variant: RunVariant, plan: TaskPlan, baseline: str | None) -> Identity:
        """`baseline`: key of the evaluation whose states are used, as in `Identity`."""
        plain = variant.identity(plan, self._tokenizer, baseline)
        attempt = self._attempt(variant, plan, plain)
        return _at(plain, attempt)

    def key(self, variant: RunVariant, plan: TaskPlan, baseline: str | None) -> str:
        return evaluation_key(self.identity(variant, plan, baseline))

    def timing(self, plain: str, *variants: RunVariant) -> str:
        """The key of a timing of these variants. `plain`: what it is without an attempt."""
        mine = any(self._is_mine(each) for each in variants)
        attempt = self._run if mine else self._store.latest_attempt(plain)
        return f"{plain}-{attempt}" if attempt else plain

    def timed(self, plain: str, key: str) -> None:
        """A timing was stored: later variants reuse it."""
        if key == f"{plain}-{self._run}":
            self._store.save_attempt(plain, self._run)

    def begin(self, identity: Identity) -> None:
        """An evaluation is being computed: later variants reuse it, or continue it."""
        if identity.attempt == self._run:
            self._store.save_attempt(evaluation_key(identity.model_copy(update={"attempt": ""})), self._run)

    def why_again(self, identity: Identity) -> str:
        """Why this run computes what is stored already; empty where it does not, or where all is computed again."""
        asked = self._lacking.get(evaluation_key(_at(identity, "")))
        if asked is None or identity.attempt != self._run:
            return ""
        return f"gates ask for {', '.join(sorted(asked))}, which what is stored does not have: it is computed again"

    def renew(self, variant: RunVariant) -> None:
        """What is stored of the variant is another model's: all of it is computed again."""
        self._renewed.add(variant.name)

    def _attempt(self, variant: RunVariant, plan: TaskPlan, plain: Identity) -> str:
        if self._is_mine(variant):
            return self._run
        key = evaluation_key(plain)
        if key not in self._attempts:
            latest = self._store.latest_attempt(key)
            asked = frozenset() if variant.spec.baseline or not plain.baseline else self._asked.get(plan.name)
            if asked and lacking(self._store, evaluation_key(_at(plain, latest)), asked):
                self._lacking[key], latest = asked, self._run
            self._attempts[key] = latest
        return self._attempts[key]

    def _is_mine(self, variant: RunVariant) -> bool:
        """Whether only what this run computes of the variant is used."""
        return self._fresh or not variant.is_known or variant.name in self._renewed
