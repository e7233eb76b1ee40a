"""Perplexity plans and the sums of a document."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.engines.protocol import Window, WindowScore
from harness.engines.scripted import ScriptedTokenizer
from harness.errors import SuiteError
from harness.planning.plan_suite import plan_suite
from harness.planning.task_plan import TaskPlan
from harness.planning.tokens import HfTokenizer

LoadSuite = Callable[..., Any]
WriteRows = Callable[..., str]
ROWS = [{"id": f"d{n}", "text": "abcdefghij" * n, "kind": "ab"[n % 2]} for n in (1, 2, 3)]
SPEC = {"data": "rows.jsonl", "window": 8}


def plan_of(loaded: Any, tokenizer: Any = None, **options: Any) -> TaskPlan:
    (plan,) = plan_suite(loaded, tokenizer or ScriptedTokenizer(), **{"context_length": 64, **options})
    return plan


def test_a_document_is_an_item_of_windows(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Every byte of the document scored once from the start token; bytes, slices and start are recorded."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"perplexity": {**SPEC, "stride": 4}, "id": "id", "slice_by": ["kind"]}}))
    windows = [each for each in plan.requests[1] if isinstance(each, Window)]
    assert [len(each.tokens) - each.scored_from for each in windows] == [8, 4, 4, 4]
    assert windows[0].tokens[0] == 1
    item = plan.items[1]
    assert (item.item, item.tokens, item.bytes, item.slices) == ("d2", 20, 20, {"kind": "a"})
    assert (plan.kind, plan.divergence, plan.metrics) == ("perplexity", True, ())
    assert "window 8, stride 4, from '\\x01'" in plan.source


def test_bytes_are_utf8(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Bits per byte count bytes, not characters."""
    write_rows("rows.jsonl", [{"text": "né 😀"}])
    assert plan_of(suite_of({"t": {"perplexity": SPEC}})).items[0].bytes == len("né 😀".encode())


def test_words_are_lm_evals_and_no_part_of_the_identity(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Counted as lm-eval's own tasks do, empty ends included; a plan of an earlier version has the same hash."""
    from lm_eval.api.task import PerplexityTask

    texts = ["two words", " one\n", "a  b\tc", "日本 です", "\u00a0x\u2003y"]
    write_rows("rows.jsonl", [{"text": text} for text in texts])
    plan = plan_of(suite_of({"t": {"perplexity": {**SPEC, "window": 64}}}))
    assert plan.words == tuple(PerplexityTask.count_words(text) for text in texts) == (2, 3, 3, 2, 3)
    assert replace(plan, words=()).hash == plan.hash


def test_bos_is_where_a_document_starts_and_is_not_scored(
    suite_of: LoadSuite, write_rows: WriteRows, bos_tokenizer: HfTokenizer
) -> None:
    """A tokenizer that adds BOS puts one before the document, and only text is scored."""
    write_rows("rows.jsonl", [{"text": "red green"}])
    plan = plan_of(suite_of({"t": {"perplexity": {**SPEC, "window": 32}}}), bos_tokenizer)
    (window,) = plan.requests[0]
    assert isinstance(window, Window)
    assert window.tokens[0] == bos_tokenizer.prefix_token
    assert window.tokens[1:] == bos_tokenizer.encode("red green", add_special_tokens=False)
    assert window.scored_from == 1


def test_window_stride_and_divergence_belong_to_the_plan(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Another window or stride is another task; so the hash differs even where the tokens are the same."""
    write_rows("rows.jsonl", ROWS[:1])
    specs = [SPEC, {**SPEC, "window": 32}, {**SPEC, "window": 33}, {**SPEC, "stride": 3}]
    assert len({plan_of(suite_of({"t": {"perplexity": spec}})).hash for spec in specs}) == 4
    assert not plan_of(suite_of({"t": {"perplexity": {**SPEC, "divergence": False}}})).divergence


@pytest.mark.parametrize(
    ("row", "spec", "expected"),
    [
        ({"text": "  "}, {}, "rows.jsonl:4: tasks.t.perplexity.field: expected a string in 'text', got '  '"),
        ({"text": 3}, {}, "rows.jsonl:4: tasks.t.perplexity.field: expected a string in 'text', got 3"),
        ({}, {"field": "body"}, "rows.jsonl:1: tasks.t.perplexity.field: expected a field 'body'"),
        ({"id": "d4"}, {"window": 65}, "tasks.t.perplexity.window: expected at most the model's context of 64, got 65"),
    ],
)
def test_what_cannot_be_scored_is_named(
    suite_of: LoadSuite, write_rows: WriteRows, row: Mapping[str, object], spec: Mapping[str, object], expected: str
) -> None:
    """An empty document, a field that is not there, a window beyond the model's context."""
    write_rows("rows.jsonl", [*ROWS, {"id": "d9", "text": "x", **row}])
    with pytest.raises(SuiteError) as caught:
        plan_of(suite_of({"t": {"perplexity": {**SPEC, **spec}}}))
    assert expected in str(caught.value)


def two_windows(**changes: Any) -> list[WindowScore]:
    first: dict[str, Any] = {
        "log_probs": (-1.0, -2.0),
        "kl": (0.5, 0.25),
        "top1_agree": (True, False),
        "delta_p": (0.1, -0.3),
        "ear": (0.75, 0.5),
        "baseline_top": (7, 8),
        "top": (7, 9),
    }
    second: dict[str, Any] = {
        "log_probs": (-0.5,), "kl": (0.375,), "top1_agree": (True,), "delta_p": (0.2,), "ear": (0.875,),
        "baseline_top": (4,), "top": (4,),
    }  # fmt: skip
    return [WindowScore(**{**first, **changes}), WindowScore(**second)]


def test_a_documents_record_sums_its_windows(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Likelihood, divergence, agreement and probability changes over all windows; every KL kept for quantiles."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"perplexity": SPEC}}))
    document = plan.score(0, two_windows()).document
    assert document is not None
    assert (document.nll, document.tokens, document.kl, document.top1_agree) == (3.5, 3, 1.125, 2)
    assert document.delta_p == pytest.approx(0.0, abs=1e-12)
    assert document.delta_p_squared == pytest.approx(0.01 + 0.09 + 0.04)
    assert struct.unpack("<3f", base64.b64decode(document.kl_values or "")) == (0.5, 0.25, 0.375)
    assert document.ear == 2.125
    halves = struct.unpack("<3e", base64.b64decode(document.delta_p_values or ""))
    assert halves == pytest.approx((0.1, -0.3, 0.2), rel=2**-11)
    tops = struct.unpack("<9I", base64.b64decode(document.tops or ""))
    assert tops == (0, 7, 7, 2, 4, 4, 1, 8, 9)


def test_an_engine_that_gives_less_leaves_it_out(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """What a document's record lacks is not written at all, as versions before had it."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"perplexity": SPEC}}))
    score = WindowScore(log_probs=(-1.0,), kl=(0.5,), top1_agree=(True,), delta_p=(0.25,))
    document = plan.score(0, [score]).document
    assert document is not None
    assert (document.kl, document.ear, document.tops) == (0.5, None, None)
    assert "ear" not in document.model_dump_json()


@pytest.mark.parametrize("field", ["kl", "delta_p", "ear"])
def test_a_divergence_that_is_no_number_fails_the_document(
    suite_of: LoadSuite, write_rows: WriteRows, field: str
) -> None:
    """One NaN anywhere, and nothing of the document counts."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"perplexity": SPEC}}))
    document = plan.score(0, two_windows(**{field: (0.5, math.nan)})).document
    assert document is not None
    assert (document.nll, document.kl, document.ear) == (None, None, None)


def test_a_baselines_document_has_no_divergence(suite_of: LoadSuite, write_rows: WriteRows) -> None:
    """Where no baseline states were given the divergence is absent, not zero."""
    write_rows("rows.jsonl", ROWS)
    plan = plan_of(suite_of({"t": {"perplexity": SPEC}}))
    document = plan.score(0, [WindowScore(log_probs=(-1.0,))]).document
    assert document is not None
    assert (document.nll, document.kl, document.top1_agree, document.kl_values) == (1.0, None, None, None)


@pytest.mark.parametrize(
    "changes",
    [{"log_probs": (math.nan, -1.0)}, {"log_probs": (-math.inf, -1.0)}, {"kl": (math.nan, 0.0)}],
)
def test_a_document_with_a_number_that_is_none_has_failed(
    suite_of: LoadSuite, write_rows: WriteRows, changes: Mapping[str, Any]
) -> None:
    """NaN or infinity anywhere makes the document a failure; its tokens still count."""
    write_rows("rows.jsonl", ROWS)
    document = plan_of(suite_of({"t": {"perplexity": SPEC}})).score(0, two_windows(**changes)).document
    assert document is not None
    assert (document.nll, document.tokens) == (None, 3)
