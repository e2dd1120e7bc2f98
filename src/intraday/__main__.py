"""``python -m intraday``."""

from intraday.cli import main

main()
