"""Which files a model reference means and what is in them. Standard library only: planning and every worker use it,
also in bare interpreters, so that both agree."""
