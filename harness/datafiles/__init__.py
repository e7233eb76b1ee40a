"""Local data files, read strictly into rows, and their values as text."""
