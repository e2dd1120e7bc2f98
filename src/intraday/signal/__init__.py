"""Decisions and alerts."""
