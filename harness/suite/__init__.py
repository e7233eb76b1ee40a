"""The suite as people write it: strict models, YAML with line numbers, JSON Schema, a starter suite."""
