"""What quantgate measures: one row a metric."""
