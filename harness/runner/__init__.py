"""The schedule of a run: which evaluations are missing, which worker computes them, resume. Judges nothing."""
