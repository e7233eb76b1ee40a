"""What works on this machine, determined by trying it on a tiny model."""
