"""The state of the running system."""
