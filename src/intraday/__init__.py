"""Intraday trading signals for NSE India: decides and alerts, never places an order."""
