"""A FAIL before the end of a task: the bet against the limit, its wealth after the last items, what it had to reach."""

from __future__ import annotations

from harness.derivations.shapes import Condition, Derivation, Sheet
from harness.derivations.tango import count_failures, count_flips
from harness.notation import in_formula
from harness.records.columns import Floats
from harness.samples.pairs import PairedMetric
from harness.stats import BettingTest
from harness.stats.betting import BETS, LARGEST, MOST_AT_RISK, SMALLEST

METHOD = (
    "test by betting, which may be looked at after every block (Ville 1939; Waudby-Smith and Ramdas, JRSS B 86, 2024): "
    "each drop D multiplies the wealth of a stake λ by 1 + λ · (D − m); the wealth is the mean over the stakes, and "
    "reaches 1 / α′ with chance at most α′ while the mean drop is at most m"
)


def betting(
    metric: PairedMetric, values: Floats, weights: Floats, *, planned: int, limit: float, alpha: float, share: float
) -> Derivation:
    """`values`, `weights`: the units in the order asked, [units]. `alpha`: the gate's own. `share`: the test's part."""
    test, _ = played(values, weights, limit=limit, alpha=share)
    before = played(values[:-1], weights[:-1], limit=limit, alpha=share)[0].wealth
    gates = round(alpha / share)
    sheet = Sheet("Counted", alpha=alpha, gates=gates)
    sheet.counted("n", metric.count, f"pairs of the items asked, of {planned:,} planned")
    if metric.kind == "binary":
        count_flips(sheet, metric.worse, metric.better)
    count_failures(sheet, metric)
    if metric.clusters is not None:
        says = "clusters among them: D is a cluster's mean drop, its weight (size over the plan's largest) scales λ"
        sheet.counted("G", values.size, says)
    sheet.counted("drop", float(metric.drops.mean()), "mean drop over them; what stopped early overstates it")
    sheet.section("The bet")
    sheet.counted("m", limit, "the limit that is bet against")
    sheet.step(
        "α′", f"the gate's alpha, shared among the {gates} that can stop the variant", "{alpha} / {gates}", share
    )
    sheet.step("W_q", "wealth that is needed", "1 / {α′}", 1 / share)
    bet = f"min({SMALLEST:g} · {LARGEST / SMALLEST:g}^("
    says = f"{bet}(j − 1) / (s − 1)), {MOST_AT_RISK:g} / (1 + m)); the table of stakes has them"
    sheet.counted("s", BETS, f"stakes, j = 1 … s: λ_j = {says}")
    if metric.kind == "binary" and metric.whole and metric.clusters is None:
        best = int(test.wealths.argmax())
        of_best = "(1 + {λ} · (1 − {m}))^{b} · (1 − {λ} · (1 + {m}))^{c} · (1 − {λ} · {m})^({n} − {b} − {c})"
        sheet.section("The stake that won most")
        sheet.step("λ", f"stake {best + 1}", f"{bet}{{share}}), {MOST_AT_RISK:g} / (1 + {{m}}))",
                   float(test.stakes[best]), share=best / (BETS - 1))  # fmt: skip
        sheet.step("W_j", "its wealth", of_best, float(test.wealths[best]))
    sheet.section("Wealth")
    sheet.counted("W_before", before, "wealth before the last of them in the order asked")
    sheet.counted("ΣW_j", float(test.wealths.sum()), "sum over the stakes of their wealth, in the table")
    sheet.step("W", "wealth: the mean over the stakes", "{ΣW_j} / {s}", test.wealth)
    sheet.step("f", "by which the last one multiplied it", "{W} / {W_before}", test.wealth / before)
    numbers = f"{in_formula(test.wealth)} ≥ {in_formula(1 / share)}"
    rule = Condition(gives="FAIL", rule="FAIL if W ≥ W_q", numbers=numbers, holds=test.wealth >= 1 / share)
    return sheet.derivation(METHOD, rule)


def played(values: Floats, weights: Floats, *, limit: float, alpha: float) -> tuple[BettingTest, Floats]:
    """The test after these units, and the wealth after each, [units]."""
    test = BettingTest(margin=limit, alpha=alpha)
    return test, test.take(values, weights=weights)
