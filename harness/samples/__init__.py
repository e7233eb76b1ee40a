"""Paired answers as arrays: per item, per document, per timed pair, and of three models. Judges nothing."""
