"""lm-eval's own tasks and local lm-eval YAML, with the code that they bring."""
