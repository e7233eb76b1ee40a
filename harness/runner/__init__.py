"""The schedule of a run: which evaluations are missing, which worker does them, resume. Owns no judgement."""
