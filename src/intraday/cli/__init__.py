"""The command line: parse arguments, load settings, call ``app``, show what came back."""

from __future__ import annotations

from intraday.cli.root import main

__all__ = ["main"]
