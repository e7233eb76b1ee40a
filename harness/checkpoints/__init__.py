"""Which files a model reference means and what is in them. Standard library only: planning and every worker ask here,
also in interpreters that have nothing else, so that both mean the same."""
