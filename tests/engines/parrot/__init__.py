"""An engine's folder, as one would be added to `harness/engines`: tests put it into a copy of the tree."""
