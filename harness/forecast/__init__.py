"""Before a run: what a suite can certify with its items, and roughly how long it takes. Judges nothing."""
