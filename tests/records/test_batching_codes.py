"""Old sentences for batches are read as the codes that took their place."""

from __future__ import annotations

import pytest

from harness.planning import batching, second_pass
from harness.records.batching_codes import batching_code

OLD = "shared beginnings computed once; sorted by length, at most 4096 padded tokens and 64 items a batch"


def test_an_old_sentence_is_its_code() -> None:
    """What versions up to 0.1 stored compares equal to what is stored now."""
    assert batching_code(OLD) == batching.BATCHING_WHOLE
    assert batching_code(OLD.upper()) == OLD.upper()


@pytest.mark.parametrize(
    "code", [batching.BATCHING, batching.BATCHING_WHOLE, second_pass.BATCHING, second_pass.DOCUMENT_BATCHING, ""]
)
def test_a_code_stays_as_it_is(code: str) -> None:
    """Codes, those to come included, and the empty one of verdicts that kept none."""
    assert batching_code(code) == code
