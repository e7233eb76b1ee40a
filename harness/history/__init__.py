"""Versions of a suite over time, from their verdicts. Owns series, shifts and their drawing; judges nothing."""

from harness.history.build import History, HistoryRun, Selection, Skipped, collect
from harness.history.export import history_csv, history_json
from harness.history.page import history_html, write_history
from harness.history.rows import HistoryRow
from harness.history.series import Shift
from harness.history.table import history_text

__all__ = [
    "History",
    "HistoryRow",
    "HistoryRun",
    "Selection",
    "Shift",
    "Skipped",
    "collect",
    "history_csv",
    "history_html",
    "history_json",
    "history_text",
    "write_history",
]
