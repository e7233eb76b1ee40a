"""Quantized checkpoints made from the fine-tuned model, with how they were made."""
