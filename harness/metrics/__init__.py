"""What quantgate measures: one row per metric, in a file per family, and where each is computed."""
