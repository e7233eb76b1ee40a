"""The key under which each evaluation of a run is stored: what determines it, and which attempt to use."""

from __future__ import annotations

from harness.errors import RecordError
from harness.planning.identity import evaluation_key
from harness.planning.task_plan import TaskPlan
from harness.records.evaluation_manifest import IDENTITY_SCHEMA, Identity
from harness.records.store import Store
from harness.runner.variants import RunVariant

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


class Keys:
    """The keys of one run. An evaluation that this run has begun keeps its key until the run ends."""

    def __init__(self, store: Store, tokenizer: str, run: str, *, fresh: bool) -> None:
        """`tokenizer`: identity of the plan's; `fresh`: nothing that earlier runs stored is used."""
        self._store, self._tokenizer, self._run, self._fresh = store, tokenizer, run, fresh
        self._attempts: dict[str, str] = {}
        self._renewed: set[str] = set()

    def identity(self, variant: RunVariant, plan: TaskPlan, baseline: str | None) -> Identity:
        """`baseline`: key of the evaluation whose states are used, as in `Identity`."""
        plain = variant.identity(plan, self._tokenizer, baseline)
        attempt = self._attempt(variant, evaluation_key(plain))
        return plain.model_copy(update={"attempt": attempt}) if attempt else plain

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

    def renew(self, variant: RunVariant) -> None:
        """What is stored of the variant is another model's: all of it is computed again."""
        self._renewed.add(variant.name)

    def _attempt(self, variant: RunVariant, key: str) -> str:
        if self._is_mine(variant):
            return self._run
        if key not in self._attempts:
            self._attempts[key] = self._store.latest_attempt(key)
        return self._attempts[key]

    def _is_mine(self, variant: RunVariant) -> bool:
        """Whether only what this run computes of the variant is used."""
        return self._fresh or not variant.is_known or variant.name in self._renewed
