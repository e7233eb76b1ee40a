"""`python -m harness` is `quantgate`."""

from harness.cli import main

main()
