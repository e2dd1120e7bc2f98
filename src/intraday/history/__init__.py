"""HISTORICAL_MODE: the steps in order; speaks ports only."""
