"""`python -m harness` is `quantgate`."""

from harness.entry import main

main()
