"""Suite to tokenised requests, identical for every variant. Loads a tokenizer and lm-eval, never a model."""
