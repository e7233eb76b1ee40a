"""The campaign of seeded faults: runs every test that carries a `fault` mark and writes docs/trust.md.

python -m tests.faults.campaign [-- what goes to pytest]    exit code 1 when one was not caught
python -m tests.faults.campaign --list                      only what is seeded, as JSON; runs nothing
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from tests.faults.seeds import Reported, collected, judged
from tests.faults.trust import PAGE, page


def main() -> None:
    parser = argparse.ArgumentParser(prog="campaign", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="what is seeded, as JSON; runs nothing")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes")
    parser.add_argument("pytest", nargs="*", help="goes to pytest, after --")
    options = parser.parse_args()
    if options.list:
        seeds = collected(options.pytest)
        sys.stdout.write(json.dumps([{"row": seed.row, "seeded": seed.seeded} for seed in seeds]) + "\n")
        return
    seeds, reported = collected(options.pytest), Reported()
    code = pytest.main(["-m", "fault", "-q", *options.pytest], plugins=[reported])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(f"the campaign did not come to its end (pytest: {int(code)}); {options.page} is as it was")
    found = judged(seeds, reported)
    options.page.write_text(page(found))
    missed = [seed for seed in found if seed.outcome == "not caught"]
    for seed in missed:
        sys.stderr.write(f"NOT CAUGHT {seed.row}: {seed.seeded} ({seed.why})\n")
    sys.stderr.write(f"{len(found)} faults seeded, {len(missed)} not caught; the page is {options.page}\n")
    sys.exit(1 if missed or not found else 0)


if __name__ == "__main__":
    main()
