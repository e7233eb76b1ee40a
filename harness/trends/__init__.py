"""Versions of a suite over time, from their verdicts. Owns series, shifts and their drawing; judges nothing.

The page and its charts are in `history_page`, which few commands need and none has to load.
"""

from harness.trends.build import History, HistoryRun, Selection, Skipped, collect
from harness.trends.export import history_csv, history_json
from harness.trends.figure_rows import HistoryRow
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
    "history_json",
    "history_text",
]
