"""Replay of the journal or of stored candles through the Engine, accounts and metrics. Not built yet."""
