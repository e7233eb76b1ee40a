"""Prompts, options and references of the suite's short forms, from the rows of a data file."""
