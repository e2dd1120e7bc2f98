"""The words every layer shares: arrays, events, ports, sessions, errors. Imports nothing of the project."""
