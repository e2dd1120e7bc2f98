"""LIVE_MODE: ticks in, signals out. The engine is synchronous; the consumer around it is the only part that waits."""
