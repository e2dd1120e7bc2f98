"""Settings from config/*.yaml and the environment; seen by cli and app only."""
