"""Metrics of generated answers that need more than two texts: a schema, a Python file, a class of another library."""
