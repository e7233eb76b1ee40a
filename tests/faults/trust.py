"""docs/trust.md: what quantgate promises and what it does not, and what became of every seeded fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.faults.seeds import Seed

PAGE = Path(__file__).parents[2] / "docs" / "trust.md"
RIGHT = "the right result"
"""How a fault is told where its mark says nothing: the test compares values."""
AREAS = {
    "T": "Tasks, prompts, tokens, data, metrics",
    "M": "Models, checkpoints, adapters, servers",
    "F": "What is judged is what was meant",
    "S": "Security",
    "I": "The machine: disks, memory, pipes, limits",
    "C": "Kills and hangs",
}
PROMISES = """\
# What a PASS can be trusted for

Written by `make faults`, which seeds every fault below into inputs, models, records or processes, and looks at what
quantgate makes of it. Do not edit: the words are in `tests/faults/trust.py`, the tables come from the run.

## What quantgate promises

- **The same question to everybody.** Prompts are made into token ids once, and every local variant gets those ids. Each
  character of prompt and option is scored once. What a tokenizer makes impossible is refused, or counted and named.
- **The model that was loaded is the one that is judged.** What was hashed is what was opened; weights that are missing,
  left over or made for something else stop the variant. "Quantized" is read off the tensors in memory, over all
  parameters, and held against what the suite or the checkpoint claims.
- **PASS is shown, never assumed.** A limit holds when a bound on the paired difference holds it, at the error rate that
  the suite sets. Too little evidence is INCONCLUSIVE. What cannot be compared, or where there was nothing to lose, is
  INVALID. A failure of the harness is never a score, and a run in which no limit was judged is no PASS.
- **Results are what was measured.** Records carry checksums and are bound to their address, so a damaged, moved or
  swapped record is found when it is read. A verdict is derived from its findings each time. A run that is killed and
  given again comes to the records of one that was left alone.
- **Where a verdict was asked for, exit code 0 is PASS and nothing else**; 10 FAIL, 11 INCONCLUSIVE, 12 INVALID, 2 a
  mistake in suite or usage, 3 the run could not be done. 1 is never a verdict. `--report-only` asks for none.
- **A suite is data.** It runs no code that lies beside a task or a model unless it says so.

## What it does not promise

- **Forgery.** Whoever may write to `results/` and forges records with all their checksums is believed. Checksums find
  accidents and single changes; nothing is signed. Whoever must be kept out must not have the folder.
- **Served weights.** Behind an address quantgate sees answers. It cannot see the weights, their format or whether they
  change during the run; it asks what the server says of itself, and asks some items again.
- **Code that was allowed.** A task's own code (`allow_task_code`) and a model's own (`trust_remote_code`) run with your
  rights and can do anything, results included. They are hashed, not judged.
- **Other questions than yours.** A verdict is about the items of the suite and those like them. Whether they are what
  your users ask, whether the model saw them in training, and whether a limit is strict enough is for you to say.
- **Being right every time.** At an alpha of 5 % a variant that is just beyond a limit passes in up to one of twenty
  runs. `docs/statistics.md` has how often, measured.
- **Libraries.** What is loaded is checked, and ways of computing are tried against each other; a kernel that is wrong
  only on inputs nobody tried is not found.
- **Other machines.** Speed and memory hold for the machine that measured them. Scores of another processor differ in
  their last digits, and nearly tied answers may fall the other way.
- **Faults that nobody thought of.** The tables below are the ones that were.
"""


def page(seeds: Sequence[Seed]) -> str:
    """The whole page."""
    parts = [PROMISES, _numbers(seeds)]
    missed = [seed for seed in seeds if seed.outcome == "not caught"]
    if missed:
        parts.append("### Not caught\n\n" + "".join(f"- **{seed.row}**: {seed.seeded}\n" for seed in missed))
    rows = [seed for seed in seeds if not is_kind(seed)]
    for letter, title in AREAS.items():
        parts += _table(title, [seed for seed in rows if seed.row[:1] == letter])
    parts += _table("Others", [seed for seed in rows if seed.row[:1] not in AREAS])
    parts += _table("Kinds, with inputs that the tests make themselves", [seed for seed in seeds if is_kind(seed)])
    return "\n".join(parts)


def is_kind(seed: Seed) -> bool:
    return seed.row.startswith("kind:")


def _numbers(seeds: Sequence[Seed]) -> str:
    tests = {test for seed in seeds for test in seed.tests}
    caught = sum(seed.outcome == "caught" for seed in seeds)
    untried = sum(seed.outcome == "not tried" for seed in seeds)
    rows = len({seed.row for seed in seeds if not is_kind(seed)})
    kinds = len({seed.row for seed in seeds if is_kind(seed)})
    return (
        "## What was seeded\n\n"
        f"{len(seeds)} faults in {len(tests)} tests: {rows} cases and {kinds} kinds.\n"
        "A case is one that somebody met in the field or seeded by hand; a kind is a test that makes its own inputs.\n"
        "Cases that quantgate was right on from the start are among them, so that they stay right.\n\n"
        f"**Caught: {caught}. Not caught: {len(seeds) - caught - untried}.** Not tried on this machine: {untried}.\n"
    )


def _table(title: str, seeds: Sequence[Seed]) -> Iterable[str]:
    if not seeds:
        return
    lines = [f"## {title}\n", "| case | what was seeded | how it is told | outcome |", "|---|---|---|---|"]
    yield "\n".join([*lines, *map(line, seeds)]) + "\n"


def line(seed: Seed) -> str:
    """A row of a table."""
    outcome = {"caught": "caught", "not caught": "**NOT CAUGHT**", "not tried": f"not tried: {seed.why}"}[seed.outcome]
    return f"{beginning(seed)} {escaped(seed.told or RIGHT)} | {escaped(outcome)} |"


def beginning(seed: Seed) -> str:
    """Of its row: what was seeded, which stays whatever becomes of it."""
    return f"| {escaped(seed.row.removeprefix('kind: '))} | {escaped(seed.seeded)} |"


def escaped(text: str) -> str:
    """As a cell of a Markdown table takes it; what stands in backticks is no markup."""
    parts = " ".join(text.replace("|", "\\|").split()).split("`")
    return "`".join(part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts))
