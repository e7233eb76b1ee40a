"""Runtimes behind one narrow protocol, a folder each. A runtime's library is imported in its folder only."""
