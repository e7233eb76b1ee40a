"""The formula of each statistic as a reader with a calculator follows it: a file beside each way to a bound.

A derivation takes a sample and what `harness.stats` computed from it, and writes the steps with the numbers put in. It
computes no bound of its own, decides nothing, and knows no gate.
"""
