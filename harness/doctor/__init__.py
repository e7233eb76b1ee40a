"""What works on this machine, found out by doing it on a tiny model."""
