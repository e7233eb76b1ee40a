"""An engine's folder, as one would be added to `harness/engines`."""
