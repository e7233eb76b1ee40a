"""Hugging Face transformers: loading, scoring, generation and timing in one process."""
