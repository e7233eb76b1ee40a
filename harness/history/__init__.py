"""Versions of a suite over time, from their verdicts. Owns the rows and their drawing; judges nothing."""

from harness.history.render import history_csv, history_html, history_table, write_history
from harness.history.rows import HistoryRow, collect

__all__ = ["HistoryRow", "collect", "history_csv", "history_html", "history_table", "write_history"]
