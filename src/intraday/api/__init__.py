"""REST, live push and dashboard pages: reads snapshots and ports, decides nothing. Not built yet."""
