"""Whether `quantgate plan` keeps its word: how often the gate passes at the limit that was promised with 80 % power.

    python benchmarks/promises.py                 prints the rows of the table in docs/statistics.md, some minutes

Data without a true loss are judged by the functions the gate calls. Beside the promise stands what the standard error
alone (and the design effect) would have promised, as if no unseen loss were counted with.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.stats import certifiable_drop, clustered_drop, graded_drop, pass_probability
from harness.stats.decision import normal_quantile, t_quantile
from harness.stats.promise import Sample, certified_drop, certified_loss, clustered_sample

SEED = 20_260
Row = tuple[str, float, float]
"""Which data; share of passes at the naive promise, and at the one that is made."""


def independent() -> Iterator[Row]:
    """Exact, no simulation."""
    for n in (100, 200, 500, 1000, 2000):
        for d in (0.01, 0.036, 0.079, 0.2):
            naive, promise = certifiable_drop(n, discordance=d), certified_drop(n, discordance=d)
            rates = [pass_probability(n, margin=each, discordance=d) for each in (naive, promise)]
            yield f"right or wrong, n {n}, d {100 * d:g} %", rates[0], rates[1]


def clustered(sims: int) -> Iterator[Row]:
    for d in (0.036, 0.079, 0.2):
        for clusters, size in ((40, 5), (50, 20), (200, 5), (400, 3)):
            for icc in (0.0, 0.3, 1.0):
                sample = clustered_sample([size] * clusters, discordance=d, correlation=icc)
                naive = certifiable_drop(int(sample.items / sample.design_effect), discordance=d)
                rng = np.random.default_rng([SEED, clusters, size, int(1000 * d), int(10 * icc)])
                n, labels = clusters * size, np.arange(clusters * size) // size
                bounds = []
                for _ in range(sims):
                    common, own = np.repeat(rng.random(clusters), size), rng.random(n)
                    u = np.where(rng.random(n) < math.sqrt(icc), common, own)
                    differences = np.where(u < d / 2, 1.0, np.where(u < d, -1.0, 0.0))
                    bounds.append(clustered_drop(differences, labels, margin=0.5).upper)
                rates = [float((np.array(bounds) < each).mean()) for each in (naive, certified_loss(sample))]
                yield f"{clusters} clusters of {size}, d {100 * d:g} %, icc {icc}", rates[0], rates[1]


def graded(sims: int) -> Iterator[Row]:
    for share in (0.05, 0.1, 0.2):
        for n in (50, 200, 500, 1000):
            for name in ("all of the range", "a tenth of the range", "long tail"):
                rng = np.random.default_rng([SEED, n, int(100 * share), len(name)])
                sizes = _sizes(name, rng, (sims, n))
                signs = np.sign(rng.random((sims, n)) - 0.5)
                data = np.where(rng.random((sims, n)) < share, sizes * signs, 0.0)
                error = math.sqrt(share * float((sizes**2).mean()) / n)
                promise = certified_loss(Sample(items=n, units=n, error=error, changed=share * n))
                naive = (t_quantile(0.95, n - 1) + normal_quantile(0.8)) * error
                bounds = np.array([graded_drop(each, margin=0.5).upper for each in data])
                rates = [float((bounds < each).mean()) for each in (naive, promise)]
                yield f"graded, n {n}, {100 * share:g} % change, {name}", rates[0], rates[1]


def _sizes(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """How much the values change that change."""
    if name == "all of the range":
        return rng.beta(0.8, 0.8, shape)
    return (
        rng.uniform(0, 0.1, shape) if name == "a tenth of the range" else np.minimum(1.0, rng.exponential(0.1, shape))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sims", type=int, default=1000, help="simulations a row (default 1000: error 1.3)")
    asked = parser.parse_args()
    for rows in (independent(), clustered(asked.sims), graded(asked.sims)):
        found = []
        for row in rows:
            found.append(row)
            print(f"{row[0]}: {100 * row[1]:.1f}, promised {100 * row[2]:.1f}", flush=True)
        for place, name in ((1, "naive"), (2, "promised")):
            rates = [100 * float(row[place]) for row in found]
            print(f"  {name}: {min(rates):.0f} to {max(rates):.0f}, mean {np.mean(rates):.1f}")


if __name__ == "__main__":
    main()
