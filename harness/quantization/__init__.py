"""Quantized checkpoints made from the fine-tuned model, with a card that says how."""
