"""What each command does, from settings to a result for the CLI to show. ``app`` wires, these run."""
