"""Versions of a suite over time, from their verdicts. Owns series, shifts and their drawing; judges nothing."""

from harness.trends.build import History, HistoryRun, Selection, Skipped, collect
from harness.trends.export import history_csv, history_json
from harness.trends.figure_rows import HistoryRow
from harness.trends.history_page import history_html, write_history
from harness.trends.series import Shift
from harness.trends.table import history_text

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
