"""What a planned sample can certify, and what it says where that is not known."""

from __future__ import annotations

import pytest

from harness.forms import FORMS
from harness.forms.design import Design, Flips, SeenError
from harness.metrics.row import Kind
from harness.stats.promise import certified_drop

FLIPS = Flips(share=0.05)


def planned(kind: Kind = "binary", metric: str = "acc", count: int = 600, **known: object) -> Design:
    return Design(metric=metric, kind=kind, count=count, alpha=0.05, flips=FLIPS, **known)  # type: ignore[arg-type]


def test_a_drop_needs_flips_alone() -> None:
    """As many points as these items certify; the items that the limit needs."""
    found = FORMS["max_drop"].certify(planned(), 0.01)
    assert found.certifies == f"{100 * certified_drop(600, discordance=0.05):.2g} pp"
    assert not found.enough
    assert found.possible
    assert found.needs is not None
    assert found.needs > 600
    assert found.says.endswith(f"the limit of 1 pp needs about {found.needs:,}")


def test_a_share_needs_the_level() -> None:
    """Without it the points are known and their share is not."""
    assert FORMS["min_recovery"].certify(planned(), 0.9).certifies is None
    found = FORMS["min_recovery"].certify(planned(level=0.5), 0.9)
    assert found.certifies == f"{100 * certified_drop(600, discordance=0.05) / 0.5:.2g} %"
    assert found == FORMS["max_relative_drop"].certify(planned(level=0.5), 0.1)


@pytest.mark.parametrize("key", FORMS)
def test_every_form_says_something_of_every_kind(key: str) -> None:
    """With nothing known and with a spread known; a loss that is certified comes with what it rests on."""
    form = FORMS[key]
    metrics = {"binary": "acc", "graded": "f1", "ratio": "length_ratio", "corpus": "macro_f1",
               "perplexity": "perplexity", "divergence": "kl_mean", "speed": "ttft_s",
               "memory": "weight_bytes"}  # fmt: skip
    for kind in sorted(form.kinds):
        for seen in (None, SeenError(error=0.01, run="r")):
            found = form.certify(planned(kind, metrics[kind], seen=seen, level=0.5), 0.5)
            assert found.possible
            assert (found.basis is None) <= (found.certifies in (None, "exact"))


@pytest.mark.parametrize(("kind", "metric", "few"), [("perplexity", "perplexity", 20), ("speed", "ttft_s", 10)])
def test_too_few_cannot_pass(kind: Kind, metric: str, few: int) -> None:
    """Under twenty documents, or ten timed pairs, nothing is decided, so it is said before the run."""
    found = FORMS["max"].certify(planned(kind, metric, count=few - 1), 1.0)
    assert (found.possible, found.enough, found.needs) == (False, False, few)
    assert FORMS["max"].certify(planned(kind, metric, count=few), 1.0).possible
