"""The suite as people write it: strict models, YAML with places, JSON Schema, a starter suite."""
