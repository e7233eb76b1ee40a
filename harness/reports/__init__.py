"""A verdict for people and for CI: sections of plain blocks, drawn by every format. Owns formatting; refuses to judge,
to measure and to read anything but a `Verdict`.

Model output is hostile until it went through `harness.shown`. Importing the package loads no renderer.
"""
