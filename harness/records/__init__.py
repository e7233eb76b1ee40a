"""What is stored, and the only reader and writer of `results/`."""
