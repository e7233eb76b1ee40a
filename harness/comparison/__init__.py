"""Comparisons from saved records: strict pairing, drops, flips, ratios, divergences, slices. No judgement."""

from harness.comparison.candidates import CandidateComparison, Comparison, compare_run

__all__ = ["CandidateComparison", "Comparison", "compare_run"]
