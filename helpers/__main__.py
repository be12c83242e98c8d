"""Run the command line as ``python -m helpers``."""

from helpers.cli import main

main()
