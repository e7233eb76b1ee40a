"""Before a run: what a suite can certify with its items, and about how long it takes. Judges nothing."""
