"""`python -m control.cli` is `podling`."""

from control.cli.main import main

main()
