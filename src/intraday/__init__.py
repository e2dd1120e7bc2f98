"""Intraday trading signals for NSE India: decides and alerts, never places an order."""

__version__ = "0.1.0"
