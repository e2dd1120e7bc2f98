"""PostgreSQL, embedded or given: supervisor, schema, stores and the live writer. Implements ``domain.ports``; decides nothing."""
